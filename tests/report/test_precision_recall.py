"""Precision over recall and dots for trials: what is drawn of which runs, and that a file of a run
adds nothing else."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.recipe.ablation import CONTROL
from harness.recipe.identity import described, record, stage_id
from harness.report.blocks import Figure, Notice
from harness.report.collect import Results, collect
from harness.report.document import compose, figures
from harness.report.precision_recall_figure import precision_recall_figures
from harness.report.publish import publish
from harness.report.runs import Run
from harness.report.svg import standalone
from harness.report.trials_figure import trials_figures
from harness.report.write import write_report
from harness.store.layout import StageFolder, stage_folder
from harness.store.precision_recall import FILE, KEY, RECALLS, PrecisionRecall, keep
from report.build import OLDER, Bench, recipe
from report.conftest import Collected, Make

TASK = {
    "kind": "detection",
    "detector": "small",
    "boxes": {"name": "scenes"},
    "steps": 9,
    "batch": 4,
    "lr": 0.1,
    "schedule": {"kind": "constant"},
    "trials": 2,
}
CHANGES = {"tasks": {"boxes": TASK}, "linear": None}
NASTY = "<img src=x onerror=alert(1)>"


def level(precision: float) -> tuple[float, ...]:
    """One precision at every recall, so that it is the average precision."""
    return (precision,) * RECALLS


def kept(at50: float, marked: int = 11) -> PrecisionRecall:
    return PrecisionRecall(marked, {"boxes": {"0.50": level(at50), "0.75": level(at50 / 2)}})


def detect(
    bench: Bench,
    cell: str,
    seed: int,
    ap: float,
    curves: PrecisionRecall | None = None,
    trial: int = 0,
    **changes: Any,
) -> StageFolder:
    """A finished trial of the task, behind a run that is there."""
    pretrain, recipe = bench.folder(cell, seed), bench.recipe(cell, seed)
    name = f"boxes=t{trial}" if trial else "boxes"
    folder = stage_folder(bench.runs, stage_id(recipe, name))
    said = {"schema": 1, "id": folder.id, "name": recipe.name, "seed": seed}
    folder.create(
        {**said, **record(recipe, name), "parent": pretrain.id}
        | {"recipe": described(recipe, name)}
    )
    (folder.path / "attempts" / "0001").mkdir(exist_ok=True)
    (folder.path / "attempts" / "0001" / "attempt.json").write_text("{}")
    result = json.loads((pretrain.path / "result.json").read_text()) | changes
    result["values"] = {f"detection/{name}": ap for name in ("ap", "ap50", "ap75")}
    if curves is not None:
        result[KEY] = keep(folder.path, curves)
    (folder.path / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def bench(make: Make) -> Bench:
    """An untrained network and two others, of two seeds and two trials."""
    found = make((0, 1), recipe_changes=CHANGES)
    for n, cell in enumerate((CONTROL, "m0.9", "m0.99")):
        for seed in found.seeds:
            found.finish(cell, seed, 40.0 + seed)
            for trial in (0, 1):
                at50 = 0.2 * n + 0.1 * seed + 0.04 * trial
                detect(found, cell, seed, 10.0 * n + seed + trial, kept(at50), trial)
    return found


def drawn(results: Results) -> list[Figure]:
    found, missing = precision_recall_figures(results)
    assert missing == []
    return found


def words(figure: Figure) -> list[str]:
    root = ET.fromstring(standalone(figure.svg, figure.alt))
    return [text.strip() for text in root.itertext() if text.strip()]


def folder_of(bench: Bench, cell: str, seed: int) -> Path:
    return stage_folder(bench.runs, stage_id(bench.recipe(cell, seed), "boxes")).path


def test_a_line_for_each_start_the_mean_over_trials_then_seeds(
    bench: Bench, gather: Collected
) -> None:
    half, three_quarters = drawn(gather(bench))
    assert "0.50" in half.caption
    assert "0.75" in three_quarters.caption
    found = {series.label: series for series in half.data}
    assert list(found) == ["0.9", "0.99", "untrained network"]
    for label, mean in (("untrained network", 7.0), ("0.9", 27.0), ("0.99", 47.0)):
        assert found[label].columns == ("recall", "mean", "least", "greatest")
        assert len(found[label].points) == RECALLS
        wanted = pytest.approx((37.0, mean, mean - 5, mean + 5))
        assert found[label].points[37] == wanted
        assert f"{label} {mean:.1f} %" in half.alt
    assert {"recall, %", "precision, %", "0.9", "0.99"} <= set(words(half))
    assert three_quarters.data[0].points[5][1] == pytest.approx(13.5)


def test_the_eleven_recalls_of_voc_are_marked_and_those_of_coco_are_not(
    bench: Bench, gather: Collected
) -> None:
    half, _ = drawn(gather(bench))
    marked = len(re.findall("<use ", half.svg))
    assert "VOC 2007" in half.caption
    for cell in (CONTROL, "m0.9", "m0.99"):
        for seed in bench.seeds:
            for trial in (0, 1):
                detect(bench, cell, seed, 1.0, kept(0.5, marked=101), trial)
    other, _ = drawn(gather(bench))
    assert "COCO" in other.caption
    assert marked - len(re.findall("<use ", other.svg)) == 3 * 11


def test_masks_have_curves_of_their_own(bench: Bench, gather: Collected) -> None:
    both = {"boxes": {"0.50": level(0.5)}, "masks": {"0.50": level(0.25)}}
    for trial in (0, 1):
        detect(bench, "m0.9", 0, 20.0, PrecisionRecall(11, both), trial)
    found = drawn(gather(bench))
    shown = [re.findall(r"recall of (\w+) at an overlap of ([\d.]+)", f.caption) for f in found]
    assert shown == [[("boxes", "0.50")], [("boxes", "0.75")], [("masks", "0.50")]]
    (series,) = found[-1].data
    assert series.points[0][1] == 25.0


def test_stale_runs_and_runs_without_all_trials_are_not_drawn(
    bench: Bench, gather: Collected
) -> None:
    detect(bench, "m0.9", 0, 90.0, kept(0.9), edition=OLDER)
    (folder_of(bench, "m0.99", 0) / "result.json").unlink()
    results = gather(bench)
    half, _ = drawn(results)
    assert {s.label: s.points[0][1] for s in half.data} == {
        "0.9": pytest.approx(32.0),
        "0.99": pytest.approx(52.0),
        "untrained network": pytest.approx(7.0),
    }
    (dots,) = trials_figures(results)
    assert [s.label for s in dots.data if s.label.startswith("0.9")] == [
        "0.9, seed 1",
        "0.99, seed 1",
    ]


@pytest.mark.parametrize("content", [None, b"<script>alert(1)</script>", b"{}"])
def test_a_file_that_the_stage_did_not_write_is_left_out_with_a_note(
    bench: Bench, gather: Collected, content: bytes | None, tmp_path: Path
) -> None:
    place = folder_of(bench, "m0.9", 0) / FILE
    place.unlink() if content is None else place.write_bytes(content)
    results = gather(bench)
    found, (note,) = precision_recall_figures(results)
    assert "m0.9 (seed 0)" in note
    assert FILE in note
    assert str(tmp_path) not in note
    (series,) = (s for s in found[0].data if s.label == "0.9")
    assert series.points[0][1] == pytest.approx(32.0)  # of seed 1
    said = [b.text for b in compose(results, []).sections[0].blocks if isinstance(b, Notice)]
    assert note in said
    write_report(results, tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert b"<script>" not in path.read_bytes()
    with pytest.raises(StoreError, match=FILE):
        publish(results, tmp_path / "t" / "runs", recipe="tiny.yaml")


def test_published_records_give_the_same_figures(
    bench: Bench, gather: Collected, tmp_path: Path
) -> None:
    results = gather(bench)
    root = publish(results, tmp_path / "t" / "runs", recipe="tiny.yaml")
    assert len(list(root.glob(f"*/{FILE}"))) == 12
    again = collect(bench.expansion, bench.scale, root)
    for one, other in zip(figures(results)[0], figures(again)[0], strict=True):
        assert (one.svg, one.alt, one.data) == (other.svg, other.alt, other.data)


def test_without_curves_or_with_one_trial_nothing_is_drawn(make: Make, gather: Collected) -> None:
    single = {"tasks": {"boxes": {**TASK, "trials": 1}}, "linear": None}
    bench = make((0,), recipe_changes=single)
    bench.finish("m0.9", 0, 40.0)
    detect(bench, "m0.9", 0, 20.0)
    results = gather(bench)
    assert drawn(results) == []
    assert trials_figures(results) == []


def test_tasks_of_two_kinds_under_one_name_are_drawn_apart(bench: Bench, gather: Collected) -> None:
    results = gather(bench)
    other = recipe(tasks={"boxes": {"kind": "svm"}}).tasks

    def evaluated_otherwise(run: Run) -> Run:
        return replace(run, recipe=run.recipe.model_copy(update={"tasks": other}))

    cells = tuple(
        replace(cell, runs=tuple(map(evaluated_otherwise, cell.runs)))
        if cell.id == "m0.9"
        else cell
        for cell in results.cells
    )
    (dots,) = trials_figures(replace(results, cells=cells))
    assert not any(s.label.startswith("0.9,") for s in dots.data)
    assert any(s.label.startswith("0.99,") for s in dots.data)


def test_each_trial_is_a_dot_beside_those_of_its_checkpoint(
    bench: Bench, gather: Collected
) -> None:
    (dots,) = trials_figures(gather(bench))
    assert {s.label: [value for _, value in s.points] for s in dots.data} == {
        "0.9, seed 0": [10.0, 11.0],
        "0.9, seed 1": [11.0, 12.0],
        "0.99, seed 0": [20.0, 21.0],
        "0.99, seed 1": [21.0, 22.0],
        "untrained network, seed 0": [0.0, 1.0],
        "untrained network, seed 1": [1.0, 2.0],
    }
    assert "of this checkpoint" in dots.caption
    assert "seed 1 21.0 to 22.0" in dots.alt
    assert {"box AP, %", "0.9", "0.99", "untrained network"} <= set(words(dots))
    assert len(re.findall("<use ", dots.svg)) >= 12


def test_labels_add_no_markup(make: Make, gather: Collected, tmp_path: Path) -> None:
    cells = [{"id": "m0.9", "label": f"{NASTY} $x_", "set": {}, "printed": 50.0}]
    bench = make((0,), recipe_changes=CHANGES, ablation_changes={"cells": cells, "claims": []})
    for cell in ("m0.9", CONTROL):
        bench.finish(cell, 0, 40.0)
        for trial in (0, 1):
            detect(bench, cell, 0, 10.0 + trial, kept(0.3), trial)
    results = gather(bench)
    assert len(figures(results)[0]) >= 3
    write_report(results, tmp_path)
    files = sorted(tmp_path.glob("*.[hms]*"))
    assert {path.suffix for path in files} == {".html", ".md", ".svg"}
    for path in files:
        assert "<img src=x" not in path.read_text()
