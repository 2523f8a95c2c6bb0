"""Where a result is not above the untrained network's, and where nothing is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.recipe.ablation import CONTROL
from harness.recipe.schema import Recipe
from harness.report.blocks import Notice
from harness.report.collect import Results, collect_single
from harness.report.document import compose
from harness.report.published import MARK
from harness.report.untrained import cells_not_above, not_above
from harness.store.atomic import write_json
from harness.store.edition import Editions

from .build import EDITION, OLDER, Bench

Make = Callable[..., Bench]
NAME = "tiny.m0.9"


@pytest.mark.parametrize(
    ("metric", "pairs", "said"),
    [
        ("knn/top1", [(34.8, 42.5)], "34.8 against 42.5 %"),
        ("knn/top1", [(42.5, 42.5)], "42.5 against 42.5 %"),
        ("knn/top1", [(42.46, 42.5)], "42.46 against 42.50 %"),
        ("knn/top1", [(40.0, 42.0), (43.0, 42.0)], "41.5 against 42.0 %"),
        ("knn/top1", [(40.0, 42.0), (45.0, 42.0)], ""),
        ("knn/top1", [], ""),
        ("cost/hours", [(1.0, 2.0)], ""),
    ],
)
def test_means_of_the_same_seeds_are_compared(
    metric: str, pairs: Sequence[tuple[float, float]], said: str
) -> None:
    found = not_above({metric: pairs})
    assert bool(found) == bool(said)
    assert said in found


def test_each_metric_that_is_not_above_is_named_once() -> None:
    found = not_above({"knn/top1": [(4.0, 5.0)], "linear/top1": [(6.0, 5.0)]})
    assert found == "not above the untrained network (kNN top-1 4.0 against 5.0 %)"


@dataclass
class Single(Bench):
    """A single recipe, m0.9, and its control."""

    def both(self, ours: object, theirs: object, linear: object = None, **more: Any) -> Results:
        self.finish("m0.9", 0, ours, linear)
        if theirs is not None:
            self.finish(CONTROL, 0, theirs, **more)
        return self.read()

    def read(self, control: Recipe | None = None) -> Results:
        beside = control or self.recipe(CONTROL, 0)
        code = Editions.same(EDITION)
        return collect_single(self.recipe("m0.9", 0), self.runs, control=beside, installed=code)


def notices(results: Results) -> list[str]:
    return [
        block.text
        for section in compose(results, []).sections
        for block in section.blocks
        if isinstance(block, Notice) and block.tone == "bad"
    ]


def test_a_single_recipe_has_the_untrained_network_as_a_row(runs: Path) -> None:
    results = Single(runs).both(50.0, 42.5)
    assert [cell.id for cell in results.cells] == [NAME, CONTROL]
    found = results.cell(NAME)
    assert found is not None
    difference = results.difference(found, "knn/top1")
    assert difference is not None
    assert difference.mean == 7.5
    assert not cells_not_above(results)
    assert not notices(results)


def test_a_result_that_is_not_above_is_said_at_the_top(runs: Path) -> None:
    results = Single(runs).both(34.8, 42.5, 50.0)
    (said,) = cells_not_above(results)
    assert said.startswith(f"“{NAME}”")
    assert "34.8 against 42.5 %" in said
    assert notices(results) == [f"{said}."]


def test_a_control_with_data_of_its_task_is_not_stale_before_the_run_has_them(runs: Path) -> None:
    cifar = {"name": "cifar10", "size": 32, "images": 2000}
    tasks = {"tasks": {"other": {"kind": "knn", "data": cifar}}}
    bench = Single(runs, recipe_changes=tasks)
    bench.finish("m0.9", 0, 50.0)
    bench.finish(CONTROL, 0, 42.5)
    bench.stage(CONTROL, 0, "other", {"knn/top1": 30.0}, fingerprint="0a0a")
    results = bench.read()
    (control,) = (run for run in results.runs if run.cell == CONTROL)
    assert results.value(control, "knn/top1", "other").standing == "finished"
    assert not results.warnings


def test_linear_is_compared_where_the_control_has_it(runs: Path) -> None:
    bench = Single(runs)
    bench.finish("m0.9", 0, 60.0, 40.0)
    bench.finish(CONTROL, 0, 42.5, 41.0)
    (said,) = cells_not_above(bench.read())
    assert "40.0 against 41.0 %" in said


@pytest.mark.parametrize(
    "control",
    [None, {"edition": OLDER}, {"fingerprint": "other"}],
    ids=["missing", "edition", "data"],
)
def test_nothing_is_said_where_the_control_cannot_be_compared(
    runs: Path, control: dict[str, str] | None
) -> None:
    results = Single(runs).both(34.8, None if control is None else 42.5, **(control or {}))
    assert results.cell(CONTROL) is not None
    assert not cells_not_above(results)


def test_nothing_is_said_of_another_protocol(runs: Path) -> None:
    bench = Single(runs)
    bench.both(34.8, 42.5)
    knn = bench.recipe(CONTROL, 0).knn
    assert knn is not None
    other = knn.model_copy(update={"temperature": 0.2})
    assert not cells_not_above(
        bench.read(bench.recipe(CONTROL, 0).model_copy(update={"knn": other}))
    )


def test_an_older_control_does_not_make_the_result_stale(runs: Path) -> None:
    """Another recipe may have run it."""
    results = Single(runs).both(50.0, 42.5, edition=OLDER)
    found = {cell.id: results.values(cell, "knn/top1")[0].standing for cell in results.cells}
    assert found == {NAME: "finished", CONTROL: "stale"}


def test_published_records_may_be_without_it(runs: Path) -> None:
    bench = Single(runs)
    bench.both(34.8, None)
    write_json(runs / MARK, {"recipe": "a.yaml", "sets": [], "edition": EDITION})
    assert [cell.id for cell in bench.read().cells] == [NAME]
    bench.finish(CONTROL, 0, 42.5)
    assert cells_not_above(bench.read())


def test_a_cell_of_an_ablation_is_said_too(make: Make, gather: Callable[[Bench], Results]) -> None:
    bench = make(seeds=(0, 1))
    for seed in (0, 1):
        bench.finish("m0.9", seed, 34.8)
        bench.finish("m0.99", seed, 50.0)
        bench.finish(CONTROL, seed, 42.5)
    (said,) = cells_not_above(gather(bench))
    assert said.startswith("“0.9”: ")


def test_a_cell_that_is_claimed_to_fail_is_no_surprise(
    make: Make, gather: Callable[[Bench], Results]
) -> None:
    bench = make()
    bench.finish(CONTROL, 0, 42.5)
    for cell in ("m0", "m0.9"):
        bench.finish(cell, 0, 34.8)
    results = gather(bench)
    assert len(cells_not_above(results)) == 2
    (said,) = cells_not_above(results, unclaimed=True)
    assert said.startswith("“0.9”")
