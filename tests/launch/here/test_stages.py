"""A plan run on this machine, beside others who run the same."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from cli.tiny import TINY
from PIL import Image

from harness.errors import NoData
from harness.launch.here.stages import Tally, run_here
from harness.launch.stage_record import describe
from harness.plan import Plan, make_plan
from harness.site import load_site
from harness.stage.reporter import Silent
from harness.store.attempt import begin
from harness.store.layout import stage_folder


def test_what_another_began_since_the_plan_is_left_to_it_with_all_that_waits(
    tmp_path: Path,
) -> None:
    recipe, runs = tmp_path / "tiny.yaml", tmp_path / "runs"
    recipe.write_text(TINY)
    made = make_plan(recipe, [], runs)
    folder = stage_folder(runs, made.stages[0].id)
    folder.create(describe(made.stages[0], "tiny"))
    attempt = begin(folder)
    tally = run_here(made, load_site(runs=runs, device="cpu"), Silent(), lambda: False)
    assert list(tally.elsewhere) == [stage.id for stage in made.stages]
    assert [str(os.getpid()) in why for why in tally.elsewhere.values()] == [True, False, False]
    attempt.end("interrupted")


def test_what_began_with_older_weights_is_moved_aside_before_they_are_made_again(
    tmp_path: Path,
) -> None:
    recipe, runs = tmp_path / "tiny.yaml", tmp_path / "runs"
    recipe.write_text(TINY)
    made = make_plan(recipe, [], runs)
    pretrain, linear = (
        stage_folder(runs, next(s.id for s in made.stages if s.kind == kind))
        for kind in ("pretrain", "linear")
    )
    for folder, stage in ((pretrain, made.stages[0]), (linear, made.stages[-1])):
        folder.create(describe(stage, "tiny"))
    attempt = begin(pretrain)
    attempt.finish({"state": "finished", "step": 8, "values": {}, "edition": "0123456789ab"})
    attempt.end("finished")
    begin(linear).end("interrupted")
    again = make_plan(recipe, [], runs, again=True)
    tally = run_here(again, load_site(runs=runs, device="cpu"), Silent(), lambda: True)
    assert tally.interrupted
    assert [path.name for path in (runs / "aside").iterdir()] == [f"{linear.id}~1"]
    assert pretrain.result


def two_runs(tmp_path: Path) -> Plan:
    """Pre-trainings on a folder of images: one of a batch that is larger than it, and one not."""
    recipe = tmp_path / "tiny.yaml"
    text = TINY.replace("{name: embedded, images: 128", "{name: imagefolder, folder: pets")
    recipe.write_text(text.replace("epochs: 2", "epochs: 1"))
    bad, good = (
        make_plan(recipe, [f"optim.batch={batch}", "linear=null"], tmp_path / "runs")
        for batch in (64, 16)
    )
    return replace(bad, stages=bad.stages + good.stages)


def here(made: Plan, tmp_path: Path) -> Tally:
    site = load_site(runs=tmp_path / "runs", data=tmp_path, device="cpu")
    return run_here(made, site, Silent(), lambda: False)


def test_data_that_do_not_do_for_one_run_do_not_stop_the_next(tmp_path: Path) -> None:
    for n in range(24):
        for part in ("train", "val"):
            path = tmp_path / "pets" / part / f"{n % 2}" / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20), (10 * n, 90, 200)).save(path)
    made = two_runs(tmp_path)
    ids = [stage.id for stage in made.stages]
    tally = here(made, tmp_path)
    assert tally.failed == [(ids[0], "optim.batch: 64 images per step, but pets has 24")]
    assert tally.finished == ids[2:]


def test_without_the_data_no_run_goes_on(tmp_path: Path) -> None:
    made = two_runs(tmp_path)
    with pytest.raises(NoData) as raised:
        here(made, tmp_path)
    assert raised.value.exit_code == 3
    assert not (tmp_path / "runs" / made.stages[2].id).exists()
