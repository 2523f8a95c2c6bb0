"""Differences between the cells of an ablation of one's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from harness.recipe.claims import CONTROL
from harness.report.cell_differences import _settings, difference_tables, effects, from_first
from harness.report.claims import judge
from harness.report.document import compose
from harness.report.html import render as page
from harness.report.latex import render as latex
from harness.report.markdown import render
from harness.report.statistics import summarise
from report.build import Bench
from report.conftest import Collected, Make

KEYS = list(itertools.product((0.5, 0.99), (32, 64)))
CELLS = [
    {
        "id": f"m{m}-k{k}",
        "label": f"{m}, {k}",
        "set": {"contrast.momentum": m, "contrast.queue": k},
    }
    for m, k in KEYS
]
OWN: dict[str, Any] = {
    **dict.fromkeys(("paper", "setting", "source"), ""),
    **dict.fromkeys(("confidence", "metric")),
    "title": "Mine",
    "axis": "momentum m, queue K",
    "cells": CELLS,
    "claims": [],
}
VALUES = {"m0.5-k32": 20.0, "m0.5-k64": 21.0, "m0.99-k32": 30.0, "m0.99-k64": 26.0}


@pytest.fixture
def own(make: Make) -> Callable[..., Bench]:
    def bench(seeds: tuple[int, ...] = (0, 1, 2), **changes: Any) -> Bench:
        return make(seeds, ablation_changes={**OWN, **changes})

    return bench


def fill(bench: Bench, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
    for n, (cell, value) in enumerate(VALUES.items()):
        for seed in seeds:
            bench.finish(cell, seed, value + seed + 0.1 * n * seed * seed)
    for seed in seeds:
        bench.finish(CONTROL, seed, 15.0)


def test_each_cell_from_the_first(own: Any, gather: Collected) -> None:
    fill(bench := own())
    found = from_first(gather(bench))
    assert [each.what for each in found] == [
        *("0.5, 64 − 0.5, 32", "0.99, 32 − 0.5, 32", "0.99, 64 − 0.5, 32")
    ]
    first = found[1].found
    assert first is not None
    assert first.how == "paired"
    assert first.summary == summarise([10.0, 10.2, 10.8])
    assert found[1].says == "more"


def test_two_cells_of_one_label_keep_their_own_differences(own: Any, gather: Collected) -> None:
    fill(bench := own(cells=[{**cell, "label": "same"} for cell in CELLS]))
    (_, table), *_ = difference_tables(gather(bench))
    assert len({str(row.cells[3]) for row in table.rows}) == len(CELLS)


def test_effects_and_how_they_depend_on_each_other(own: Any, gather: Collected) -> None:
    fill(bench := own())
    found = {each.what: each for each in effects(gather(bench))}
    assert list(found) == [
        "m 0.5 → 0.99, at K = 32",
        "m 0.5 → 0.99, at K = 64",
        "K 32 → 64, at m = 0.5",
        "K 32 → 64, at m = 0.99",
        "effect of m (m 0.5 → 0.99): K 32 → 64",
    ]
    last = found["effect of m (m 0.5 → 0.99): K 32 → 64"]
    assert last.found is not None
    assert last.found.summary.mean == pytest.approx(-5.0), "26 - 21 - (30 - 20)"
    assert last.says == "less"


def test_cells_that_are_no_grid(own: Any, gather: Collected) -> None:
    """Of nine fields with three values each there are 3^9 combinations, but three cells."""
    keys = "abc"
    varied = {f"f{n}": dict(zip(keys, keys, strict=True)) for n in range(9)}
    cells = [tuple((field, key) for field in varied) for key in reversed(keys)]
    found = _settings(cells, "f4", varied)
    assert found == [{f: key for f in varied if f != "f4"} for key in keys], "in the values' order"
    drawn = [
        {"id": f"d{n}", "label": str(n), "set": {"optim.lr": n / 10, "contrast.momentum": n / 10}}
        for n in (1, 2)
    ]
    assert effects(gather(own(cells=drawn))) == []


def test_an_interval_with_zero_in_it_says_how_many_seeds(own: Any, gather: Collected) -> None:
    bench = own((0, 1))
    for cell, both in (("m0.5-k32", (20.0, 22.0)), ("m0.99-k32", (22.0, 23.0))):
        for seed, value in enumerate(both):
            bench.finish(cell, seed, value)
    found = {each.what: each for each in from_first(gather(bench))}
    assert found["0.99, 32 − 0.5, 32"].says.startswith("undecided; about ")
    assert found["0.5, 64 − 0.5, 32"].says == "a cell has no value"


def test_one_seed_has_no_interval(own: Any, gather: Collected) -> None:
    fill(bench := own((0,)), (0,))
    assert {each.says for each in effects(gather(bench))} == {"one seed: no interval"}


def test_a_report_without_a_paper_says_nothing_of_one(own: Any, gather: Collected) -> None:
    fill(bench := own())
    results = gather(bench)
    document = compose(results, judge(results))
    text = render(document)
    assert "aper" not in text.replace("uncorrected", "")
    assert "Margin" not in text, "no claim is judged"
    assert "| 0.99, 32 | 31." in text
    assert "\n## Differences" in text
    assert "aper" not in latex(results, []).split("\\caption")[1]
    assert "Differences" in page(document)


def test_own_claims_are_judged(own: Any, gather: Collected) -> None:
    claims = [
        {"kind": "beats", "id": "m", "cell": "m0.99-k32", "over": "m0.5-k32", "says": "It does."}
    ]
    fill(bench := own(claims=claims))
    results = gather(bench)
    (judged,) = judge(results)
    assert judged.verdict == "reproduced"
    assert "Margin" in render(compose(results, [judged]))


@pytest.mark.parametrize("shape", ["across", "grid"])
def test_every_layout_for_print(own: Any, gather: Collected, shape: str) -> None:
    figure = {"x": "K", "reads": "negatives"}
    cells = [{**each, "series": "s", "x": n} for n, each in enumerate(CELLS)]
    fill(bench := own(shape=shape, figure=figure, cells=cells))
    text = latex(gather(bench), [])
    assert "30." in text or "31." in text
    assert "paper" not in text


def test_a_papers_table_has_no_such_section(make: Make, gather: Collected) -> None:
    bench = make((0, 1))
    for seed in (0, 1):
        bench.finish("m0.9", seed, 30.0)
    assert difference_tables(gather(bench)) == []
