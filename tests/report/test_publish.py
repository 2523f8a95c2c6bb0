"""Published records: what a report needs, nothing of the machine's own, nothing lost by it."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.recipe.ablation import CONTROL
from harness.report.collect import Results, collect
from harness.report.publish import finish_replacement, publish
from harness.report.published import MARK, pinned
from harness.report.write import write_report
from harness.store.edition import Editions
from harness.store.liveness import identity
from report.build import OLDER, Bench, momentum
from report.conftest import Collected, Make


def again(bench: Bench, root: Path, installed: Editions | None = None) -> Results:
    return collect(bench.expansion, bench.scale, root, installed=installed)


def texts(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_the_report_of_the_records_is_that_of_the_runs(
    runs: Path, gather: Collected, tmp_path: Path
) -> None:
    bench = momentum(runs)
    found = gather(bench)
    root = publish(found, tmp_path / "t" / "runs", recipe="recipes/tiny.yaml")
    write_report(found, tmp_path / "one")
    write_report(again(bench, root), tmp_path / "other")
    one, other = texts(tmp_path / "one"), texts(tmp_path / "other")
    assert one.keys() == other.keys()
    for name in one:  # the host is the machine's own, and wandb is a mirror
        if name in ("report.md", "report.html", "results.json"):
            one[name] = one[name].replace("node7, ", "")
            for cell in (c.id for c in found.cells):
                for seed in bench.seeds:
                    wandb = f"wandb moco/w-{cell}-{seed} (offline)"
                    one[name] = one[name].replace(f"<br>{wandb}", "")
        assert other[name] == one[name], name


def test_records_are_small_and_whole(make: Make, gather: Collected, tmp_path: Path) -> None:
    bench = make()
    protocol = bench.protocol("m0.9", 0)
    records: list[dict[str, Any]] = [
        {"step": n, "epoch": n / 1000, "t": 1e9 + n, "train/loss": 6.0 - n / 1e4, "train/lr": 0.06}
        for n in range(1, 10_001)
    ]
    monitored = {"step": 5000, "epoch": 5.0, "knn/top1": 31.5, "protocol": protocol}
    bench.pretrain("m0.9", 0, records=[*records[:5000], monitored, *records[5000:]])
    bench.stage("m0.9", 0, "knn", {"knn/top1": 40.0})
    root = publish(gather(bench), tmp_path / "kept", recipe="r.yaml")
    folder = root / bench.folder("m0.9", 0).id
    lines = (folder / "attempts/0001/metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == 201
    assert monitored in found
    assert [record["step"] for record in found] == sorted(record["step"] for record in found)
    first = found[0]
    assert (first["step"], first["steps"]) == (50, 50)
    assert first["train/loss"] == pytest.approx(6.0 - 25.5e-4)
    assert {path.name for path in folder.iterdir()} == {"stage.json", "result.json", "attempts"}
    (run,) = (run for run in gather(bench).runs if run.cell == "m0.9")
    (kept,) = (run for run in again(bench, root).runs if run.cell == "m0.9")
    assert kept.curves == run.curves


@pytest.mark.parametrize("monitored", [True, False])
@pytest.mark.parametrize(("per_epoch", "epochs"), [(312, 18), (1250, 3), (5004, 20)])
def test_a_metric_that_jumps_from_step_to_step_still_agrees_with_the_result(
    make: Make, gather: Collected, tmp_path: Path, per_epoch: int, epochs: int, monitored: bool
) -> None:
    """The last epoch begins inside a published block, whose other steps have other values."""
    bench = make()
    records: list[dict[str, Any]] = []
    for n in range(1, per_epoch * epochs + 1):
        hit = 50.0 if per_epoch * (epochs - 1) < n < per_epoch * (epochs - 1) + 3 else 0.0
        said = {"step": n, "epoch": round(n / per_epoch, 4), "train/loss": 6.0}
        records.append(said | {"pretext/top1": hit})
    if monitored:
        end = {"step": len(records), "epoch": float(epochs), "knn/top1": 40.0}
        records.append(end | {"protocol": bench.protocol("m0.9", 0)})
    bench.pretrain("m0.9", 0, records=records, pretext=2 * 50.0 / per_epoch)
    bench.stage("m0.9", 0, "knn", {"knn/top1": 40.0})
    root = publish(gather(bench), tmp_path / "kept", recipe="r.yaml")
    (kept,) = (run for run in again(bench, root).runs if run.cell == "m0.9")
    assert kept.stages["pretrain"].state == "finished"
    result = root / bench.folder("m0.9", 0).id / "result.json"
    said = json.loads(result.read_text())
    said["values"]["pretext/top1"] += 0.01
    result.write_text(json.dumps(said))
    (changed,) = (run for run in again(bench, root).runs if run.cell == "m0.9")
    assert changed.stages["pretrain"].state == "damaged"


def test_the_end_of_a_diverged_run_is_kept(runs: Path, gather: Collected, tmp_path: Path) -> None:
    bench = momentum(runs)
    root = publish(gather(bench), tmp_path / "kept", recipe="r.yaml")
    journal = root / bench.folder("m0", 0).id / "attempts/0001/metrics.jsonl"
    last = json.loads(journal.read_text().splitlines()[-1])
    assert last["step"] == 94
    assert last["train/loss"] != last["train/loss"], "not a number"


def test_nothing_of_the_machine_is_published(make: Make, gather: Collected, tmp_path: Path) -> None:
    bench = make()
    home = {
        "code": {"commit": "abc", "dirty": True, "untracked": ["/home/ann/secret.txt"]},
        "machine": {"host": "ann-laptop", "system": "Linux-6.1"},
        "command": ["moco-harness", "run", "/home/ann/my.yaml", "--data=/home/ann/data", "a/b"],
        "environment": {"TOKEN": "hush"},
    }
    bench.finish("m0.9", 0, 40.0, provenance=home)
    folder = bench.stage("m0.99", 0, "pretrain", None, state=None, provenance=home)
    broken = {"how": "failed", "message": "/home/ann/runs/x: the disk is full; ~/ann/y too"}
    (folder.path / "attempts/0001/ended.json").write_text(json.dumps(broken))
    (folder.path / "attempts/0001/uncommitted.diff").write_text("+ ann's idea")
    (folder.path / "attempts/0001/traceback.txt").write_text("File /home/ann/x.py")
    files = texts(publish(gather(bench), tmp_path / "kept", recipe="r.yaml"))
    whole = "\n".join(files.values())
    for private in ("ann", "hush", "secret", "/home", "uncommitted", "checkpoints"):
        assert private not in whole, private
    attempts = [json.loads(text) for name, text in files.items() if "attempt.json" in name]
    wanted = ["moco-harness", "run", "…/my.yaml", "--data=…/data", "a/b"]
    assert wanted in [attempt["command"] for attempt in attempts]
    found = next(run for run in again(bench, tmp_path / "kept").runs if run.cell == "m0.99")
    assert found.stages["pretrain"].state == "failed"
    assert found.stages["pretrain"].entry.detail == "…/x: the disk is full; …/y too"


def test_the_report_is_of_the_editions_day(runs: Path, gather: Collected, tmp_path: Path) -> None:
    bench = momentum(runs)
    root = publish(gather(bench), tmp_path / "kept", recipe="r.yaml")
    later = again(bench, root)  # whatever code is installed by now
    assert later.installed == pinned(root)
    assert not any("installed code" in warning for warning in later.warnings)
    older = again(bench, root, Editions.same(OLDER))
    assert any("installed code" in warning for warning in older.warnings)


def test_publishing_again_replaces(make: Make, gather: Collected, tmp_path: Path) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    root = publish(gather(bench), tmp_path / "kept", recipe="r.yaml")
    (root / "left-over").mkdir()
    bench.finish("m0.99", 0, 41.0)
    publish(gather(bench), root, recipe="r.yaml")
    assert not (root / "left-over").exists()
    assert (root / bench.folder("m0.99", 0, "knn").id / "result.json").exists()
    assert not root.with_name("kept.new").exists()


def test_a_table_goes_on_from_its_published_records(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    root = publish(gather(bench), tmp_path / "kept", recipe="r.yaml")
    before = texts(root)
    shutil.rmtree(bench.runs)
    bench.finish("m0.99", 0, 41.0)
    with pytest.raises(StoreError, match="published with a result") as refused:
        publish(gather(bench), root, recipe="r.yaml")
    assert texts(root) == before
    command = re.search(r"cp -rn \S+ \S+/", str(refused.value))
    assert command is not None
    subprocess.run(command[0], shell=True, check=True)
    publish(gather(bench), root, recipe="r.yaml")
    after = texts(root)
    assert {name: after[name] for name in before} == before
    assert (root / bench.folder("m0.99", 0, "knn").id / "result.json").exists()


@pytest.mark.parametrize("lost", ["a seed of a later look", "a result"])
def test_no_published_result_is_replaced_by_less(
    make: Make, gather: Collected, tmp_path: Path, lost: str
) -> None:
    looks = [{"seeds": 3, "alpha": 0.03}, {"seeds": 4, "alpha": 0.02}]
    bench = make(seeds=(0, 1, 2), scale_changes={"looks": looks, "margin": None})
    for seed in range(4):
        bench.finish("m0.9", seed, 40.0 + seed)
    root = publish(gather(bench), tmp_path / "kept", recipe="r.yaml")
    before = texts(root)
    seed = 3 if lost == "a seed of a later look" else 0
    folders = [bench.folder("m0.9", seed, kind).path for kind in ("pretrain", "knn")]
    if seed == 3:
        for folder in folders:
            shutil.rmtree(folder)
    else:
        (folders[1] / "result.json").unlink()
        broken = {"how": "failed", "message": "the disk is full"}
        (folders[1] / "attempts/0001/ended.json").write_text(json.dumps(broken))
    with pytest.raises(StoreError, match=f"{folders[seed != 3].name}: published with a result"):
        publish(gather(bench), root, recipe="r.yaml")
    assert texts(root) == before


def test_fewer_cells_do_not_replace_all(make: Make, gather: Collected, tmp_path: Path) -> None:
    bench = make(seeds=(0, 1))
    for seed in (0, 1):
        bench.finish("m0.9", seed, 40.0)
    root = publish(gather(bench), tmp_path / "kept", recipe="r.yaml")
    before = texts(root)
    fewer = make(seeds=(0,))
    fewer.finish("m0.9", 0, 40.0)
    with pytest.raises(StoreError, match="no stage of what is published now"):
        publish(gather(fewer), root, recipe="r.yaml")
    assert texts(root) == before


def test_what_was_not_published_is_left_alone(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="did not write"):
        publish(gather(bench), tmp_path / "mine", recipe="r.yaml")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    with pytest.raises(StoreError, match="did not write"):
        publish(gather(bench), bench.runs, recipe="r.yaml")


def test_a_running_or_damaged_stage_is_not_published(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    bench = make()
    bench.finish(CONTROL, 0, 14.0)
    alive = bench.stage("m0.9", 0, "pretrain", None, state=None)
    (alive.path / "attempts/0001/alive.json").write_text(json.dumps(identity()))
    with pytest.raises(StoreError, match="running; wait"):
        publish(gather(bench), tmp_path / "kept", recipe="r.yaml")
    (alive.path / "result.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        publish(gather(bench), tmp_path / "kept", recipe="r.yaml")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("file", "changes", "why"),
    [
        (
            "result.json",
            {"weights": "0" * 12},
            "of weights that differ from those of its pre-training",
        ),
        (
            "result.json",
            {"data": {"fingerprint": "0" * 12}},
            "of data that differs from its pre-training",
        ),
        ("stage.json", {"kind": "linear"}, "its record has kind"),
    ],
)
def test_a_stale_stage_is_not_published(
    make: Make, gather: Collected, tmp_path: Path, file: str, changes: dict[str, Any], why: str
) -> None:
    bench = make()
    bench.pretrain("m0.9", 0)
    stage = bench.stage("m0.9", 0, "knn", {"knn/top1": 40.0}).path
    publish(gather(bench), tmp_path / "whole", recipe="r.yaml")
    said = json.loads((stage / file).read_text())
    (stage / file).write_text(json.dumps({**said, **changes}))
    with pytest.raises(StoreError, match=f"{stage.name}: {why}"):
        publish(gather(bench), tmp_path / "t", recipe="r.yaml")
    assert not (tmp_path / "t").exists()


def test_nothing_to_publish(make: Make, gather: Collected, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing to publish"):
        publish(gather(make()), tmp_path / "kept", recipe="r.yaml")


def test_a_damaged_mark_is_told(tmp_path: Path) -> None:
    assert pinned(tmp_path) is None
    (tmp_path / MARK).write_text("[]")
    with pytest.raises(StoreError, match="publish them again"):
        pinned(tmp_path)


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_what_lies_at_the_drafts_place_is_not_removed(
    make: Make, gather: Collected, tmp_path: Path, kind: str
) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    own = tmp_path / "own"
    own.mkdir()
    (own / "thesis.txt").write_text("mine")
    (tmp_path / "t").mkdir()
    draft = tmp_path / "t" / "runs.new"
    if kind == "link":
        draft.symlink_to(own)
    else:
        own.rename(draft)
    with pytest.raises(StoreError, match=r"runs\.new"):
        publish(gather(bench), tmp_path / "t" / "runs", recipe="r.yaml")
    assert (draft / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("at", ["draft", "removal"])
def test_a_replacement_that_is_killed_loses_nothing(
    make: Make, gather: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    root = publish(gather(bench), tmp_path / "t" / "runs", recipe="r.yaml")
    files = sorted(path.relative_to(root) for path in root.rglob("*"))
    rename, remove = Path.rename, shutil.rmtree

    def killed(place: Path, to: Path) -> Path:
        if at == "draft" and place.name == "runs.new":
            raise KeyboardInterrupt
        return rename(place, to)

    def not_removed(place: Path, **more: Any) -> None:
        if at == "removal" and place.name == ".runs.replaced":
            raise KeyboardInterrupt
        remove(place, **more)

    results = gather(bench)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        patch.setattr(shutil, "rmtree", not_removed)
        with pytest.raises(KeyboardInterrupt):
            publish(results, root, recipe="r.yaml")
    assert (root.exists(), (root.parent / ".runs.replaced").exists()) == (at == "removal", True)
    finish_replacement(root)
    assert sorted(path.relative_to(root) for path in root.rglob("*")) == files
    assert not (root.parent / ".runs.replaced").exists()


def test_a_replacement_that_fails_is_undone(
    make: Make, gather: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    root = publish(gather(bench), tmp_path / "t" / "runs", recipe="r.yaml")
    rename = Path.rename

    def fails(place: Path, to: Path) -> Path:
        if place.name == "runs.new":
            raise OSError(errno.EIO, "no way")
        return rename(place, to)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(StoreError):
        publish(gather(bench), root, recipe="r.yaml")
    assert (root / MARK).exists()


def test_a_draft_that_an_interrupted_call_left_is_replaced(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    root = publish(gather(bench), tmp_path / "t" / "runs", recipe="r.yaml")
    draft = shutil.copytree(root, tmp_path / "t" / "runs.new")
    (draft / MARK).write_text("")
    publish(gather(bench), root, recipe="r.yaml")
    assert not draft.exists()
