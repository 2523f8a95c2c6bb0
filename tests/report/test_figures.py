"""What the figures draw: by their numbers, and by what stands in their SVG."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from harness.recipe.ablation import CONTROL
from harness.recipe.schema import Recipe
from harness.report.axis_figure import axis_figure
from harness.report.blocks import Figure, Series
from harness.report.collect import collect_single
from harness.report.colours import PALETTE, cell_colours, cell_markers
from harness.report.curves_figure import curves_figures, health_figures
from harness.report.results_json import figure_numbers
from harness.report.svg import drawing, standalone
from harness.store.edition import Editions
from report.build import EDITION, OLDER, Bench, momentum
from report.conftest import Collected, Make

QUEUES = {"small": 64, "large": 256, "bank": 128}
CELLS = [
    {"id": "small", "label": "MoCo, 256", "series": "MoCo", "x": 256, "set": {}, "printed": 54.7},
    {"id": "large", "label": "MoCo, 512", "series": "MoCo", "x": 512, "set": {}, "printed": 56.4},
    {"id": "bank", "label": "bank, 256", "series": "bank", "x": 256, "set": {}, "printed": "fail"},
]
AXIS: dict[str, Any] = {
    "cells": CELLS,
    "claims": [],
    "figure": {"x": "number of negatives K", "reads": "negatives", "log": True},
}


class Queues(Bench):
    def recipe(self, cell: str, seed: int) -> Recipe:
        found = super().recipe(cell, seed)
        queue = QUEUES.get(cell, 128)
        return found.model_copy(
            update={"contrast": found.contrast.model_copy(update={"queue": queue})}
        )


@pytest.fixture
def queues(runs: Path) -> Queues:
    bench = Queues(runs, (0, 1), ablation_changes=AXIS)
    for seed in (0, 1):
        bench.finish(CONTROL, seed, 14.0)
        bench.finish("small", seed, 40.0 + seed)
        bench.finish("large", seed, 44.0)
    return bench


def words(figure: Figure) -> list[str]:
    root = ET.fromstring(standalone(figure.svg, figure.alt))
    return [text.strip() for text in root.itertext() if text.strip()]


def data(figure: Figure) -> dict[str, Series]:
    return {series.label: series for series in figure.data}


def test_ours_stand_where_we_ran_them_and_the_papers_where_it_did(
    queues: Queues, gather: Collected
) -> None:
    (figure,) = axis_figure(gather(queues))
    found = data(figure)
    assert found["MoCo"].points == ((64, 40.5, pytest.approx(0.7071, abs=1e-4)), (256, 44.0, 0.0))
    assert found["MoCo, the paper's"].points == ((256, 54.7), (512, 56.4))
    assert found["bank"].points == found["bank, the paper's"].points == ()
    said = words(figure)
    for wanted in ("64", "256", "512", "number of negatives K", "MoCo", "untrained network"):
        assert wanted in said
    assert "accuracy, %" in said  # kNN here, a linear probe there
    assert "the paper's (linear probe top-1)" in said


def test_one_seed_has_no_deviation(runs: Path, gather: Collected) -> None:
    bench = Queues(runs, (0,), ablation_changes=AXIS)
    bench.finish("small", 0, 40.0)
    (figure,) = axis_figure(gather(bench))
    assert data(figure)["MoCo"].points == ((64, 40.0, None),)
    assert figure.caption.startswith("kNN top-1 over number of negatives K: one seed;")
    assert "deviation" not in figure.caption
    assert json.loads(figure_numbers([figure]))[0]["points"] == [[64.0, 40.0, None]]


def strokes(figure: Figure) -> set[str]:
    return set(re.findall(r"stroke: (#[0-9a-f]{6})", figure.svg))


def test_a_series_has_one_colour_in_every_figure(queues: Queues, gather: Collected) -> None:
    for seed in queues.seeds:
        queues.finish("bank", seed, 30.0)
    found = gather(queues)
    assert cell_colours(found) == {"small": PALETTE[0], "large": "#3992c3", "bank": PALETTE[1]}
    (axis,), (knn, loss) = axis_figure(found), curves_figures(found)
    assert strokes(axis) & set(PALETTE) == set(PALETTE[:2])
    for figure in (knn, loss):
        assert strokes(figure) >= {*PALETTE[:2], "#3992c3"}
        assert not strokes(figure) & set(PALETTE[2:])


def test_only_the_papers_curves_are_dashed(make: Make, gather: Collected) -> None:
    """However many cells there are, and whichever of them are run."""
    names = [f"c{n}" for n in range(12)]
    cells = [{"id": name, "label": name, "set": {}, "printed": 50.0} for name in names]
    bench = make(
        ablation_changes={"cells": cells, "claims": []},
        scale_changes={"cells": names[2:], "control": False},
    )
    for name in names[2:]:
        bench.finish(name, 0, 40.0)
    found = gather(bench)
    colours = cell_colours(found)
    assert [colours[name] for name in names[2:9]] == list(PALETTE), "the first of each is full"
    assert len(set(colours.values())) == 10, "the others are shades"
    markers = cell_markers(found)
    assert len({(name in names[2:9], markers[name]) for name in names[2:]}) == 10
    (knn, _) = curves_figures(found)
    assert "stroke-dasharray" not in knn.svg


def test_health_has_figures_where_it_was_measured(make: Make, gather: Collected) -> None:
    bench = make((0, 1))
    for seed, rank in ((0, 20.0), (1, 30.0)):
        records: list[dict[str, object]] = [
            {"step": n, "epoch": float(n), "train/loss": rank, "health/rankme": rank * n}
            for n in (1, 2)
        ]
        bench.pretrain("m0.9", seed, records=records)
        bench.stage("m0.9", seed, "knn", {"knn/top1": 40.0, "knn/top1@k20": 40.0})
    (loss,), (rankme,) = curves_figures(gather(bench)), health_figures(gather(bench))
    assert (loss.name, rankme.name) == ("loss", "rankme")
    (series,) = rankme.data
    assert series.points == ((1.0, 25.0, 20.0, 30.0), (2.0, 50.0, 40.0, 60.0))
    assert "architecture" in rankme.caption


def test_before_the_first_value_there_is_no_such_figure(runs: Path, gather: Collected) -> None:
    assert axis_figure(gather(Queues(runs, (0,), ablation_changes=AXIS))) == []


def test_a_table_without_an_axis_has_no_such_figure(runs: Path, gather: Collected) -> None:
    assert axis_figure(gather(momentum(runs))) == []


CURVES = [
    {"cell": "m0.9", "metric": "pretext/top1", "numbers": "x", "points": [[10, 95.1], [20, 96.6]]},
    {"cell": "m0.9", "metric": "knn/top1", "numbers": "y", "points": [[10, 28.2], [20, 35.5]]},
]


def test_pretext_accuracy_stands_beside_knn_with_the_papers_curves(
    make: Make, gather: Collected
) -> None:
    bench = make((0, 1), ablation_changes={"curves": CURVES})
    for seed in (0, 1):
        records = [
            {
                "step": n,
                "epoch": float(n),
                "train/loss": 5.0 + seed,
                "pretext/top1": 10.0 * n + seed,
            }
            for n in (1, 2, 3)
        ]
        protocol = bench.protocol("m0.9", seed)
        monitored = {"step": 3, "epoch": 3.0, "knn/top1": 30.0 + seed, "protocol": protocol}
        bench.pretrain("m0.9", seed, records=[*records, monitored])
    pretext, knn, loss = curves_figures(gather(bench))
    assert [f.name for f in (pretext, knn, loss)] == ["pretext", "knn", "loss"]
    assert data(pretext)["0.9"].points == (
        (1.0, 10.5, 10.0, 11.0),
        (2.0, 20.5, 20.0, 21.0),
        (3.0, 30.5, 30.0, 31.0),
    )
    assert data(pretext)["0.9, the paper's"].points == ((10, 95.1), (20, 96.6))
    assert data(knn)["0.9"].points == ((3.0, 30.5, 30.0, 31.0),)
    assert data(knn)["0.9, the paper's"].points == ((10, 28.2), (20, 35.5))
    assert "0.9, the paper's" not in data(loss)
    for figure, wanted in ((pretext, "pretext accuracy, %"), (knn, "kNN top-1, %")):
        assert wanted in words(figure)
        assert "the paper's" in words(figure)
    assert "the paper's" not in words(loss)
    assert "dashed: the paper's curve" in pretext.caption


def test_a_printed_curve_beside_which_ours_would_be_a_dot_is_not_drawn(
    make: Make, gather: Collected
) -> None:
    curve = {"cell": "m0.9", "metric": "knn/top1", "numbers": "y"}
    for last, drawn in ((100, True), (101, False)):
        curves = [{**curve, "points": [[10, 28.2], [last, 35.5]]}]
        bench = make(ablation_changes={"curves": curves})
        bench.finish("m0.9", 0, 40.0)
        knn, _ = curves_figures(gather(bench))
        assert ("0.9, the paper's" in data(knn)) is drawn


def test_beside_a_run_that_stopped_early_the_same_part_of_a_printed_curve_is_drawn(
    make: Make, gather: Collected
) -> None:
    points = [[1, 6.9], [2, 7.2], [3, 7.1], [20, 4.3]]
    curve = {"cell": "m0.9", "metric": "train/loss", "numbers": "y", "points": points}
    bench = make(ablation_changes={"curves": [curve]}, recipe_changes={"optim__steps": 3})
    records = [{"step": n, "epoch": 0.6 * n, "train/loss": 7.0} for n in (1, 2, 3)]
    bench.pretrain("m0.9", 0, records=records)
    bench.stage("m0.9", 0, "knn", {"knn/top1": 40.0})
    (loss,) = curves_figures(gather(bench))
    assert data(loss)["0.9, the paper's"].points == ((1.0, 6.9), (2.0, 7.2))


@pytest.mark.parametrize(("named", "drawn"), [("cifar10_demo.asym-200", True), ("no.such", False)])
def test_a_single_recipe_shows_the_curves_that_it_names(
    make: Make, named: str, drawn: bool
) -> None:
    bench = make(recipe_changes={"optim__epochs": 20})
    bench.finish("m0.9", 0, 40.0)
    plain = bench.recipe("m0.9", 0)
    made = plain.model_copy(update={"about": plain.about.model_copy(update={"curves": named})})
    results = collect_single(made, bench.runs, installed=Editions.same(EDITION))
    knn, loss = curves_figures(results)
    for figure, last in ((knn, (200, 82.58)), (loss, (200, 2.2716))):
        official = data(figure).get("tiny.m0.9, the official log's")
        assert (official is not None) is drawn
        if official is not None:
            assert official.points[-1] == last
            assert "the official log's" in words(figure)


def test_stale_runs_are_not_drawn(make: Make, gather: Collected) -> None:
    bench = make((0, 1))
    bench.finish("m0.9", 0, 40.0)
    bench.finish("m0.9", 1, 80.0, edition=OLDER)
    (knn, _) = curves_figures(gather(bench))
    assert [len(series.points[0]) for series in knn.data] == [4]
    assert max(greatest for _, _, _, greatest in knn.data[0].points) == 40.0  # type: ignore[misc, type-var]


def test_a_stale_pre_training_that_nothing_was_evaluated_of_is_not_drawn(
    make: Make, gather: Collected
) -> None:
    bench = make((0, 1, 2))
    for seed in (0, 1):
        bench.finish("m0.9", seed, 40.0)
    bench.pretrain("m0.9", 2, final=80.0, edition=OLDER)
    found = gather(bench)
    assert found.warnings[0].startswith("Stale: m0.9 (seed 2).")
    (knn, loss) = curves_figures(found)
    assert max(greatest for _, _, _, greatest in data(knn)["0.9"].points) == 40.0  # type: ignore[misc, type-var]
    _, _, least, greatest = data(loss)["0.9"].points[0]
    assert greatest / least == pytest.approx(1.02), "of seeds 0 and 1"  # type: ignore[operator]


def test_the_numbers_of_figures_are_one_series_a_line(queues: Queues, gather: Collected) -> None:
    figures = axis_figure(gather(queues))
    text = figure_numbers(figures)
    found = json.loads(text)
    assert len(text.splitlines()) == len(found) + 2
    assert found[0] == {
        "figure": "axis",
        "series": "MoCo",
        "columns": ["x", "mean", "deviation"],
        "points": [[64, 40.5, 0.707107], [256, 44, 0]],
    }


def test_the_same_drawing_gives_the_same_bytes(queues: Queues, gather: Collected) -> None:
    first, second = (axis_figure(gather(queues))[0].svg for _ in range(2))
    assert first == second


def test_a_legend_has_as_many_columns_as_have_room() -> None:
    def width(label: str) -> set[str]:
        with drawing("legend") as drawn:
            drawn.legend([drawn.axes.plot([], [], label=f"{label} {n}")[0] for n in range(4)])
            root = ET.fromstring(drawn.svg())
        texts = (text for text in root.iter("text") if (text.text or "").startswith(label))
        return {text.attrib["x"] for text in texts}

    assert len(width("short")) == 4
    assert len(width("a label that is as long as half the drawing is wide")) == 1
