"""What is read from run folders, whole and damaged."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.recipe.ablation import CONTROL
from harness.recipe.schema import Recipe
from harness.report.collect import Results, collect_single
from harness.report.curves import thin
from harness.report.results_table import measurement
from harness.report.runs import Run
from harness.report.table_text import text as in_words
from harness.store.edition import Editions
from harness.store.liveness import identity
from report.build import ABLATION, EDITION, OLDER, Bench, recipe
from report.conftest import Collected

Make = Callable[..., Bench]


def text(results: Results, cell_id: str) -> str:
    cell = results.cell(cell_id)
    assert cell is not None
    return in_words(measurement(results, cell, results.metric)).text


def run(results: Results, cell_id: str, seed: int = 0) -> Run:
    return next(r for r in results.runs if (r.cell, r.seed) == (cell_id, seed))


def test_every_state_has_its_word(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish(CONTROL, 0, 14.0)
    bench.diverge("m0", 0)
    alive = bench.stage("m0.9", 0, "pretrain", None, state=None)
    (alive.path / "attempts/0001/alive.json").write_text(json.dumps(identity()))
    failed = bench.stage("m0.99", 0, "pretrain", None, state=None)
    ended = {"how": "failed", "message": "CUDA out of memory"}
    (failed.path / "attempts/0001/ended.json").write_text(json.dumps(ended))
    results = gather(bench)
    assert text(results, CONTROL) == "14.00 (1 seed)"
    assert text(results, "m0") == "diverged"
    assert text(results, "m0.9") == "running"
    assert text(results, "m0.99") == "failed"
    assert text(results, "m0.999") == "not run"


def test_an_evaluation_that_diverged_in_every_run_is_not_stale(
    make: Make, gather: Collected
) -> None:
    bench = make()
    bench.stage("m0.99", 0, "pretrain", {"knn/top1": 40.0, "train/loss": 6.0})
    bench.stage("m0.99", 0, "knn", {}, state="diverged")
    assert run(gather(bench), "m0.99").outcome("knn/top1").standing == "probe diverged"
    assert "stale" not in text(gather(bench), "m0.99")


def test_interrupted_and_damaged_runs(make: Make, gather: Collected) -> None:
    bench = make()
    dead = bench.stage("m0", 0, "pretrain", None, state=None)
    attempt = dead.path / "attempts/0001"
    os.utime(attempt, (0, 0))
    damaged = bench.stage("m0.9", 0, "pretrain", {})
    (damaged.path / "result.json").write_text('{"state": "fini')
    results = gather(bench)
    assert text(results, "m0") == "interrupted"
    assert text(results, "m0.9") == "damaged"
    assert any("damaged" in warning for warning in results.warnings)


def test_a_finished_pre_training_without_evaluation_has_no_value(
    make: Make, gather: Collected
) -> None:
    bench = make()
    bench.pretrain("m0.9", 0)
    assert text(gather(bench), "m0.9") == "not run"


def test_a_value_without_its_pre_training_is_no_value(make: Make, gather: Collected) -> None:
    bench = make()
    bench.stage("m0.9", 0, "knn", {"knn/top1": 99.0})
    assert text(gather(bench), "m0.9") == "not run"


def test_seeds_make_mean_and_deviation(make: Make, gather: Collected) -> None:
    bench = make((0, 1, 2))
    for seed, value in enumerate((40.0, 41.0, 42.0)):
        bench.finish("m0.9", seed, value)
    bench.finish("m0.99", 0, 40.0)
    bench.diverge("m0.99", 1)
    results = gather(bench)
    assert text(results, "m0.9") == "41.00 ± 1.00 (n = 3)"
    assert text(results, "m0.99") == "40.00 (1 of 3 seeds)\n1 diverged\n1 not run"


def test_editions_are_never_averaged_together(make: Make, gather: Collected) -> None:
    bench = make((0, 1))
    bench.finish("m0.9", 0, 40.0)
    bench.finish("m0.9", 1, 80.0, edition=OLDER)
    bench.finish("m0.99", 0, 41.0, edition=OLDER)
    results = gather(bench)
    assert results.comparability is not None
    assert results.comparability.editions["knn"] == EDITION
    assert text(results, "m0.9") == f"40.00 (1 of 2 seeds)\nstale: 80.00, of edition {OLDER}"
    assert f"stale: 41.00, of edition {OLDER}" in text(results, "m0.99")
    assert "m0.9 (seed 1)" in results.warnings[0]


def test_without_a_result_of_the_installed_code_the_most_frequent_edition_stands(
    make: Make, gather: Collected
) -> None:
    bench = make((0, 1))
    for seed in (0, 1):
        bench.finish("m0.9", seed, 40.0, edition=OLDER)
    bench.finish("m0.99", 0, 41.0, edition="cccccccccccc")
    results = gather(bench)
    assert results.comparability is not None
    assert results.comparability.editions["knn"] == OLDER
    assert text(results, "m0.9") == "40.00 ± 0.00 (n = 2)"
    assert OLDER in results.warnings[0]
    assert EDITION in results.warnings[0]


def test_evaluated_by_other_code_than_trained_is_stale(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.99", 0, 41.0)
    bench.pretrain("m0.9", 0, edition=OLDER)
    bench.stage("m0.9", 0, "knn", {"knn/top1": 40.0})
    assert text(gather(bench), "m0.9") == f"stale: 40.00, of edition {OLDER}"


def test_where_no_run_has_all_the_editions_every_run_is_stale(
    make: Make, gather: Collected
) -> None:
    """The installed code trains as one commit did and evaluates as another."""
    bench, other = make((0, 1)), "cccccccccccc"
    for seed, (trained, evaluated) in enumerate(((EDITION, OLDER), (other, EDITION))):
        bench.pretrain("m0.9", seed, edition=trained)
        bench.stage("m0.9", seed, "knn", {"knn/top1": 40.0}, edition=evaluated)
    assert text(gather(bench), "m0.9").count("stale: 40.00") == 2


def test_a_result_of_attempts_by_different_code_is_stale(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.99", 0, 41.0)
    bench.finish("m0.9", 0, 40.0, edition=f"{OLDER}+{EDITION}")
    results = gather(bench)
    assert results.comparability is not None
    assert results.comparability.editions["knn"] == EDITION
    assert text(results, "m0.9") == f"stale: 40.00, of edition {OLDER}+{EDITION}"
    assert any("attempts of different editions" in warning for warning in results.warnings)


def test_other_data_are_stale(make: Make, gather: Collected) -> None:
    bench = make((0, 1))
    bench.finish("m0.9", 0, 40.0)
    bench.finish("m0.9", 1, 41.0)
    bench.finish("m0.99", 0, 50.0, fingerprint="0bad")
    assert text(gather(bench), "m0.99").startswith("1 not run\nstale: 50.00")


def test_an_evaluation_of_other_weights_is_stale(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.99", 0, 41.0, weights="abc")
    bench.finish("m0.9", 0, 40.0, weights="abc")
    bench.pretrain("m0.9", 0, weights="def")  # made again since
    results = gather(bench)
    assert text(results, "m0.99") == "41.00 (1 seed)"
    expected = "stale: 40.00, of weights that differ from those of its pre-training"
    assert text(results, "m0.9") == f"{expected} (abc then, def now)"
    assert "m0.9 (seed 0)" in results.warnings[0]


def test_a_result_that_does_not_name_its_edition_is_stale(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.99", 0, 41.0)
    bench.finish("m0.9", 0, 40.0, edition=None)
    assert text(gather(bench), "m0.9") == "stale: 40.00, of edition unknown"


@pytest.mark.parametrize("value", ["41", None, True, float("nan"), float("inf"), [1], 10**400])
def test_what_is_no_number_is_no_value(make: Make, gather: Collected, value: object) -> None:
    bench = make()
    bench.pretrain("m0.9", 0)
    bench.stage("m0.9", 0, "knn", {"knn/top1": value})
    assert text(gather(bench), "m0.9") == "damaged"


def test_a_missing_journal_costs_the_curve_only(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    (bench.folder("m0.9", 0).path / "attempts/0001/metrics.jsonl").unlink()
    results = gather(bench)
    assert text(results, "m0.9") == "40.00 (1 seed)"
    assert run(results, "m0.9").curves.loss == ()
    assert any("no journal" in warning for warning in results.warnings)


def test_a_torn_line_is_no_record(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    whole = run(gather(bench), "m0.9")
    with (bench.folder("m0.9", 0).path / "attempts/0001/metrics.jsonl").open("a") as file:
        file.write('{"step":311,"epoch":10.03,"train/lo')
    assert run(gather(bench), "m0.9").curves.loss == whole.curves.loss
    assert len(whole.curves.knn) == 10


def test_hostile_files_are_no_reason_to_fail(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0, provenance={"code": ["x"], "machine": 3, "slurm": "y"})
    attempt = bench.folder("m0.9", 0, "knn").path / "attempts/0001/attempt.json"
    attempt.write_text("[1, 2")
    (bench.folder("m0.9", 0).path / "wandb.json").write_text('{"id": 3}')
    records = [{"step": 1, "epoch": "one", "train/loss": "two"}, {"step": 2, "train/loss": None}]
    bench.pretrain("m0.99", 0, records=records)
    results = gather(bench)
    assert run(results, "m0.99").curves.loss == ()
    assert text(results, "m0.9") == "40.00 (1 seed)"


def test_monitored_values_of_another_protocol_are_left_out(make: Make, gather: Collected) -> None:
    bench = make()
    protocol = bench.protocol("m0.9", 0)
    others = {**protocol, "k": [20]}
    old = {"step": 31, "epoch": 1.0, "knn/top1": 33.0, "protocol": others}
    new = {"step": 62, "epoch": 2.0, "knn/top1": 35.0, "protocol": {**protocol, "k": [200, 5]}}
    bench.pretrain("m0.9", 0, records=[old, new])
    results = gather(bench)
    assert run(results, "m0.9").curves.knn == ((2.0, 35.0),)
    assert any("another protocol" in warning for warning in results.warnings)


def test_thinning_keeps_the_mean() -> None:
    points = [(float(n), math.sin(n)) for n in range(4000)]
    thinned = thin(points)
    assert len(thinned) == 200
    mean = math.fsum(y for _, y in points) / len(points)
    assert math.fsum(y for _, y in thinned) / 200 == pytest.approx(mean)
    assert thin(points[:200]) == tuple(points[:200])
    assert len(thin(points[:201])) == 101


def test_the_control_stands_last_and_differences_are_to_it(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish(CONTROL, 0, 14.0)
    bench.finish("m0.9", 0, 40.0)
    results = gather(bench)
    assert results.cells[-1].is_control
    cell = results.cell("m0.9")
    assert cell is not None
    difference = results.difference(cell)
    assert difference is not None
    assert difference.mean == 26


def test_data_that_cells_vary_on_purpose_are_not_mixed_up(make: Make, gather: Collected) -> None:
    class Varied(Bench):
        def recipe(self, cell: str, seed: int) -> Recipe:
            found = super().recipe(cell, seed)
            images = 1000 if cell == "m0.9" else 2000
            return found.model_copy(
                update={"data": found.data.model_copy(update={"images": images})}
            )

    bench = Varied(make().runs)
    bench.finish("m0.9", 0, 40.0, fingerprint="half")
    bench.finish("m0.99", 0, 44.0, fingerprint="full")
    results = gather(bench)
    assert text(results, "m0.9") == "40.00 (1 seed)"
    assert text(results, "m0.99") == "44.00 (1 seed)"


def test_the_control_may_fill_a_row_of_the_table(make: Make, gather: Collected) -> None:
    row = {"id": CONTROL, "label": "random init.", "set": {}, "printed": 33.5}
    changes = {"metric": "knn/top1", "cells": [row, *ABLATION["cells"]]}
    bench = make((0, 1), ablation_changes=changes, scale_changes={"level": "paper"})
    for seed in (0, 1):
        bench.finish(CONTROL, seed, 30.0)
        bench.finish("m0.9", seed, 40.0)
    results = gather(bench)
    assert [cell.id for cell in results.cells].count(CONTROL) == 1
    control, other = results.cell(CONTROL), results.cell("m0.9")
    assert control is not None
    assert other is not None
    assert (control.label, control.printed, len(control.runs)) == ("random init.", 33.5, 2)
    difference = results.difference(other)
    assert difference is not None
    assert difference.mean == 10


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        ({}, "linear/top1"),
        ({"linear": None}, "knn/top1"),
        ({"linear": None, "knn": None}, "finetune/top1"),
        ({"linear": None, "knn": None, "tasks": {}}, "knn/top1"),
    ],
)
def test_a_single_recipe_is_judged_by_what_it_measures(
    runs: Path, changes: dict[str, Any], metric: str
) -> None:
    task = {"kind": "finetune", "epochs": 2, "lr": 0.1, "schedule": {"kind": "constant"}}
    made = recipe(**{"tasks": {"all": task}, **changes})
    assert collect_single(made, runs, installed=Editions.same(EDITION)).metric == metric


def test_a_single_recipe_is_a_table_of_one_cell(make: Make) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0, 50.0)
    results = collect_single(bench.recipe("m0.9", 0), bench.runs, installed=Editions.same(EDITION))
    assert results.metric == "linear/top1"
    assert [cell.id for cell in results.cells] == ["tiny.m0.9"]
    assert text(results, "tiny.m0.9") == "50.00 (1 seed)"
    absent = collect_single(recipe(linear=None), bench.runs, installed=Editions.same(EDITION))
    assert text(absent, "base") == "not run"


def test_runs_of_another_number_of_threads_are_named(make: Make, gather: Collected) -> None:
    bench = make()
    machine = {"device": "cpu", "threads": 4}
    for cell, threads in (("m0", 4), ("m0.9", 4), ("m0.99", 2)):
        bench.finish(cell, 0, 14.0)
        path = bench.folder(cell, 0, "pretrain").path / "attempts/0001/attempt.json"
        said = json.loads(path.read_text()) | {"machine": machine | {"threads": threads}}
        path.write_text(json.dumps(said))
    results = gather(bench)
    (warning,) = results.warnings
    assert run(results, "m0.99").name in warning
    assert run(results, "m0").name not in warning
