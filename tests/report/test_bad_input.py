"""Runs that do not belong into a mean: each is shown for what it is, none is averaged silently."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.recipe.ablation import CONTROL
from harness.recipe.schema import Recipe
from harness.report.claims import judge
from harness.report.collect import Results
from harness.report.curves import read_curves
from harness.report.curves_figure import curves_figures
from harness.report.document import compose
from harness.report.markdown import render
from harness.report.results_table import measurement
from harness.report.table_text import text as in_words
from harness.store.ledger import read_entry
from report.build import Bench
from report.conftest import Collected, Make


def text(results: Results, cell_id: str) -> str:
    cell = results.cell(cell_id)
    assert cell is not None
    return in_words(measurement(results, cell, results.metric)).text


def page(results: Results) -> str:
    return render(compose(results, judge(results)))


def change(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


# ---- another schema version


def test_a_run_of_another_schema_version_is_stale(make: Make, gather: Collected) -> None:
    bench = make((0, 1))
    for seed, value in ((0, 40.0), (1, 80.0)):
        bench.finish("m0.9", seed, value)
    stage = bench.folder("m0.9", 1, "knn").path / "stage.json"
    change(stage, schema=0)
    found = gather(bench)
    assert text(found, "m0.9") == "40.00 (1 of 2 seeds)\nstale: 80.00, of schema version 0"
    assert any(w.startswith("Stale: m0.9 (seed 1)") for w in found.warnings)


def test_a_run_of_a_newer_harness_counts_nowhere(make: Make, gather: Collected) -> None:
    bench = make((0, 1))
    for seed, value in ((0, 40.0), (1, 80.0)):
        bench.finish("m0.9", seed, value)
    stage = bench.folder("m0.9", 1, "knn").path / "stage.json"
    change(stage, schema=7)
    found = gather(bench)
    assert "80.00" not in text(found, "m0.9")
    assert any("schema 7" in w for w in found.warnings)
    stage.parent.rename(
        other := stage.parent.with_name(stage.parent.name.rpartition("-")[0] + "-0123456789")
    )
    (line,) = gather(bench).unrelated
    assert line.endswith(f"newer moco-harness: {other.name}")


def test_older_runs_of_the_same_name_are_told_not_counted(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    ours = bench.folder("m0.9", 0, "knn")
    other = ours.path.with_name(ours.id.rpartition("-")[0] + "-0123456789")
    ours.path.rename(other)
    change(other / "stage.json", id=other.name, schema=0)
    found = gather(bench)
    assert text(found, "m0.9") == "not run"
    (line,) = found.unrelated
    assert line.endswith(other.name)
    assert other.name in page(found)


def test_runs_of_other_settings_are_told_with_what_differs(make: Make, gather: Collected) -> None:
    shorter = make(recipe_changes={"optim__epochs": 3, "knn__k": [5]})
    shorter.finish("m0.9", 0, 30.0)
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    found = gather(bench)
    assert text(found, "m0.9") == "40.00 (1 seed)"
    assert len(found.unrelated) == 2  # of pre-training the k is no setting
    pretrain, knn = sorted(found.unrelated, key=len)
    assert "(optim.epochs 3, here 10): tiny.m0.9-s0.pretrain" in pretrain
    assert "optim.epochs 3, here 10; knn.k [5], here [200, 20]" in knn
    assert pretrain in page(found)


# ---- duplicated runs


def test_a_copied_folder_is_no_second_result(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    ours = bench.folder("m0.9", 0, "knn")
    shutil.copytree(ours.path, ours.path.with_name(f"{ours.id} copy"))
    found = gather(bench)
    assert text(found, "m0.9") == "40.00 (1 seed)"
    (copy,) = found.unrelated
    assert f"a copy of {ours.id}" in copy
    assert copy.endswith(f"{ours.id} copy")


def test_a_folder_copied_to_another_seed_is_stale(make: Make, gather: Collected) -> None:
    bench = make((0, 1))
    bench.finish("m0.9", 0, 40.0)
    for kind in ("pretrain", "knn"):
        one, other = (bench.folder("m0.9", seed, kind) for seed in (0, 1))  # type: ignore[arg-type]
        shutil.copytree(one.path, other.path)
    found = gather(bench)
    assert "1 of 2 seeds" in text(found, "m0.9")
    assert "stale: 40.00, a copy of tiny.m0.9-s0." in text(found, "m0.9")


def test_results_with_the_same_weights_are_copies_of_each_other(
    make: Make, gather: Collected
) -> None:
    bench = make((0, 1, 2))
    for seed, weights in ((0, "abc"), (1, "abc"), (2, "def")):
        bench.finish("m0.9", seed, 40.0 + seed, weights=weights)
    said = text(gather(bench), "m0.9").splitlines()
    assert said[0] == "42.00 (1 of 3 seeds)"
    for line, value, other in zip(said[1:], ("40.00", "41.00"), (1, 0), strict=True):
        assert line.startswith(f"stale: {value}, ")
        assert f"weights as m0.9 (seed {other})" in line


# ---- different protocols in one column


class Mixed(Bench):
    """m0.9 votes with 20 neighbours, the others with 200."""

    def recipe(self, cell: str, seed: int) -> Recipe:
        found = super().recipe(cell, seed)
        if cell != "m0.9":
            return found
        assert found.knn is not None
        return found.model_copy(update={"knn": found.knn.model_copy(update={"k": (20,)})})


def test_protocols_are_not_mixed_in_a_column(make: Make, gather: Collected) -> None:
    bench = Mixed(make().runs)
    for cell, value in ((CONTROL, 14.0), ("m0.9", 30.0), ("m0.99", 40.0), ("m0.999", 41.0)):
        bench.finish(cell, 0, value)
    found = gather(bench)
    assert text(found, "m0.9") == "30.00 (1 seed)\nanother protocol"
    assert text(found, "m0.99") == "40.00 (1 seed)"
    mixed, other = found.cell("m0.9"), found.cell("m0.99")
    assert mixed is not None
    assert other is not None
    assert found.difference(mixed) is None
    assert found.difference(other) is not None
    assert any("knn.k = 20" in warning for warning in found.warnings)
    verdicts = {each.claim.id: each for each in judge(found)}
    assert verdicts["slow"].verdict == "not testable at this scale"
    assert "different protocols (m0.9: knn.k = 20)" in verdicts["slow"].evidence
    assert verdicts["learns"].verdict == "looks reproduced (one seed)"


def test_another_k_for_sensitivity_is_no_other_protocol(make: Make, gather: Collected) -> None:
    class Wider(Bench):
        def recipe(self, cell: str, seed: int) -> Recipe:
            found = super().recipe(cell, seed)
            k = (200, 20, 5) if cell == "m0.9" else (200,)
            assert found.knn is not None
            return found.model_copy(update={"knn": found.knn.model_copy(update={"k": k})})

    bench = Wider(make().runs)
    bench.finish("m0.9", 0, 30.0)
    assert text(gather(bench), "m0.9") == "30.00 (1 seed)"


def test_costs_of_different_devices_are_not_averaged(make: Make, gather: Collected) -> None:
    bench = make(
        (0, 1, 2),
        ablation_changes={"metric": "cost/memory", "claims": []},
        scale_changes={"metric": "cost/memory", "control": False, "cells": ["m0.9"]},
    )
    for seed, device in enumerate(("V100", "H100", "V100")):
        bench.finish("m0.9", seed, 40.0, provenance={"machine": {"device": device}})
        result = bench.folder("m0.9", seed).path / "result.json"
        change(result, device=device, processes=8, memory_gb=5.0 + seed)
    mean, stale = text(gather(bench), "m0.9").splitlines()
    assert mean == "6.00 ± 1.41 (2 of 3 seeds)"
    for part in ("stale: 6.00, ", "H100 × 8", "V100 × 8"):
        assert part in stale


# ---- a journal cut in the middle of a line


@pytest.mark.parametrize("ended", [True, False])
def test_a_cut_journal_is_told_once_the_run_has_ended(
    make: Make, gather: Collected, ended: bool
) -> None:
    bench = make()
    bench.pretrain("m0.9", 0, state="finished" if ended else None)
    journal = bench.folder("m0.9", 0).path / "attempts/0001/metrics.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-40])  # a kill tears the last line: no news unless a result came
    found = gather(bench)
    assert any("1 line of its journal" in w for w in found.warnings) == ended
    run = next(run for run in found.runs if run.cell == "m0.9")
    assert len(run.curves.knn) == 9


def test_a_line_damaged_in_the_middle_costs_that_line_only(make: Make, gather: Collected) -> None:
    bench = make()
    bench.pretrain("m0.9", 0)
    journal = bench.folder("m0.9", 0).path / "attempts/0001/metrics.jsonl"
    lines = journal.read_text().splitlines()
    whole = next(run for run in gather(bench).runs if run.cell == "m0.9").curves
    lines[100] = lines[100][: len(lines[100]) // 2]
    journal.write_text("\n".join(lines) + "\n")
    found = gather(bench)
    run = next(run for run in found.runs if run.cell == "m0.9")
    assert run.curves.knn == whole.knn
    assert any("1 line of its journal" in warning for warning in found.warnings)


def test_a_journal_cut_at_a_lines_end_is_told(make: Make, gather: Collected) -> None:
    bench = make((0, 1))
    for seed in (0, 1):
        for cell in ("m0.9", "m0.99"):
            bench.finish(cell, seed, 40.0)
    journal = bench.folder("m0.9", 0).path / "attempts/0001/metrics.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    whole = gather(bench)
    assert not whole.warnings
    journal.write_text("".join(lines[: len(lines) // 2]))
    found = gather(bench)
    name = bench.folder("m0.9", 0).id
    (warning,) = found.warnings
    assert warning.startswith(f"{name}: ")
    assert warning.endswith("step 155 of 310")
    cut, uncut = ([f.caption for f in curves_figures(each)] for each in (found, whole))
    assert [caption.partition(":")[0] for caption in cut] == [
        "kNN top-1 over epochs",
        "Training loss over epochs",
    ]
    for caption, other in zip(cut, uncut, strict=True):
        assert caption.startswith(other.removesuffix(".")), "the same, and which seeds are apart"
        assert caption.endswith(" (“0.9”).")


def test_a_long_whole_journal_is_not_taken_for_a_cut_one(make: Make) -> None:
    bench = make()
    bench.pretrain("m0.9", 0)
    recipe = bench.recipe("m0.9", 0)
    for lines in (3, 7, 50, 311):
        found = read_curves(read_entry(bench.folder("m0.9", 0)), recipe, lines)
        assert not found.warnings


# ---- a record that contradicts itself


@pytest.mark.parametrize("kind", ["pretrain", "knn"])
def test_a_record_of_other_settings_than_its_name_is_stale(
    make: Make, gather: Collected, kind: str
) -> None:
    bench = make((0, 1))
    for seed, value in ((0, 40.0), (1, 80.0)):
        bench.finish("m0.9", seed, value)
    stage = bench.folder("m0.9", 1, kind).path / "stage.json"
    recipe = json.loads(stage.read_text())["recipe"]
    recipe["knn" if kind == "knn" else "optim"]["k" if kind == "knn" else "lr"] = [20]
    change(stage, recipe=recipe)
    found = gather(bench)
    what = "knn.k [20]" if kind == "knn" else "optim.lr [20]"
    assert text(found, "m0.9") == f"40.00 (1 of 2 seeds)\nstale: 80.00, its record has {what}"
    assert found.warnings[0].startswith("Stale: m0.9 (seed 1)")


@pytest.mark.parametrize("count", ["train", "test"])
@pytest.mark.parametrize("kind", ["pretrain", "knn"])
def test_other_counts_of_images_are_other_data(
    make: Make, gather: Collected, kind: str, count: str
) -> None:
    bench = make((0, 1))
    for seed, value in ((0, 40.0), (1, 80.0)):
        bench.finish("m0.9", seed, value)
    result = bench.folder("m0.9", 1, kind).path / "result.json"
    change(result, data={**json.loads(result.read_text())["data"], count: 1000})
    said = text(gather(bench), "m0.9").splitlines()
    assert said[0] == "40.00 (1 of 2 seeds)"
    assert said[1].startswith("stale: 80.00, of data ")


# ---- what cannot be measured


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (4707.0, "4707.0, not an accuracy in percent"),
        (-1.0, "-1.0, not an accuracy in percent"),
        (float("nan"), "NaN, not a number"),
        ("47.1", '"47.1", not a number'),
        (True, "true, not a number"),
    ],
)
def test_an_impossible_accuracy_is_damage_with_its_file_and_reason(
    make: Make, gather: Collected, value: object, why: str
) -> None:
    bench = make((0, 1))
    for seed in (0, 1):
        bench.finish("m0.9", seed, 40.0)
    result = bench.folder("m0.9", 1, "knn").path / "result.json"
    change(result, values={"knn/top1": value, "knn/top1@k20": 40.0})
    found = gather(bench)
    assert text(found, "m0.9") == "40.00 (1 of 2 seeds)\n1 damaged"
    where = f"{result.parent.name}/result.json"
    (said,) = found.warnings
    assert said.startswith(f"{result.parent.name}: damaged ({where}: knn/top1 is {why}")
    assert str(bench.runs) not in page(found)


def test_a_result_without_its_number_is_named(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    result = bench.folder("m0.9", 0, "knn").path / "result.json"
    change(result, values={})
    found = gather(bench)
    assert text(found, "m0.9") == "damaged"
    (said,) = found.warnings
    for part in (f"{result.parent.name}: damaged (", "result.json", "knn/top1"):
        assert part in said


@pytest.mark.parametrize("file", ["result.json", "stage.json"])
def test_a_report_of_damaged_runs_is_the_same_wherever_they_lie(
    make: Make, gather: Collected, tmp_path: Path, file: str
) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    (bench.folder("m0.9", 0, "knn").path / file).write_text("{")
    shutil.copytree(bench.runs, tmp_path / "elsewhere")
    here = page(gather(bench))
    assert f"/{file}: not JSON" in here
    assert here == page(gather(replace(bench, runs=tmp_path / "elsewhere")))


# ---- a missing seed


def test_a_missing_seed_is_said_in_cell_and_claim(make: Make, gather: Collected) -> None:
    bench = make((0, 1, 2))
    for seed in (0, 2):
        bench.finish("m0.9", seed, 38.0)
    for seed in (0, 1, 2):
        bench.finish("m0.99", seed, 44.0)
    found = gather(bench)
    assert text(found, "m0.9") == "38.00 ± 0.00 (2 of 3 seeds)\n1 not run"
    slow = next(each for each in judge(found) if each.claim.id == "slow")
    assert slow.verdict == "incomplete"
    assert "m0.9 lacks 1 of 3 seeds (seed 1 not run)" in slow.evidence
