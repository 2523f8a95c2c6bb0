"""The claims of all published reports, in lines and in a picture."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.recipe.ablation import CONTROL, Ablation
from harness.report.claim_lines import ClaimLine, claim_lines, of_papers
from harness.report.claims import judge
from harness.report.claims_picture import WIDTH, drawable, picture
from harness.report.index import PAGE, overview
from harness.report.printed_numbers import printed_numbers
from harness.report.publish import publish
from harness.report.results_json import as_json
from harness.report.write import write_report
from report.build import ABLATION, momentum
from report.conftest import Collected, Make
from report.test_publish import again

SVG = "{http://www.w3.org/2000/svg}"

Said = Callable[..., dict[str, Any]]


@pytest.fixture
def said(make: Make, gather: Collected) -> Said:
    """said(m0.9=[...], ...): results.json of a table with these values, seed by seed."""

    def of(values: dict[str, list[float]], claims: list[dict[str, Any]]) -> dict[str, Any]:
        seeds = tuple(range(len(next(iter(values.values())))))
        bench = make(seeds, ablation_changes={"claims": claims})
        for cell, each in values.items():
            for seed, value in zip(seeds, each, strict=True):
                bench.finish(cell, seed, value)
        results = gather(bench)
        return json.loads(json.dumps(as_json(results, judge(results), [])))

    return of


BEATS = {"kind": "beats", "id": "slow", "cell": "m0.99", "over": "m0.9", "says": "Slow wins."}
OWN = {"kind": "beats", "id": "own", "cell": "m0.99", "over": CONTROL, "by": "ours", "says": "So."}
VALUES = {
    "m0": [15.0, 15.1, 14.9],
    "m0.9": [40.0, 40.2, 39.9],
    "m0.99": [50.0, 50.1, 50.2],
    "m0.999": [50.1, 50.0, 50.2],
    CONTROL: [15.0, 15.1, 15.2],
}


def line(said: dict[str, Any], claim: str = "slow") -> ClaimLine:
    (found,) = [each for each in claim_lines({"one": said}) if each.id == claim]
    return found


def test_a_line_has_the_papers_numbers_and_our_difference(said: Said) -> None:
    found = line(said(VALUES, [BEATS]))
    assert found.printed == "57.8 (m0.99), 55.2 (m0.9), linear probe top-1"
    assert found.numbers == "57.8, 55.2, linear probe top-1"
    assert found.verdict == "reproduced"
    assert found.effect is not None
    assert found.effect.of == "kNN top-1: m0.99 − m0.9"
    assert found.effect.numbers.startswith("+10.07 points (+")
    assert (found.effect.margin, found.effect.alike, found.effect.seeds) == (2.0, 2.0, 3)
    assert found.effect.claimed == ("better",)
    assert found.why == ""


def test_the_opposite_stands_as_the_paper_has_it(said: Said) -> None:
    turned = {**VALUES, "m0.9": VALUES["m0.99"], "m0.99": VALUES["m0.9"]}
    found = line(said(turned, [BEATS]))
    assert found.verdict == "not reproduced"
    assert found.effect is not None
    assert found.effect.mean is not None
    assert found.effect.mean < -9


def test_what_keeps_a_wide_enough_interval_undecided_is_said(said: Said) -> None:
    """The other cell learned nothing for sure, so that being above it shows nothing."""
    found = line(said({**VALUES, "m0.9": [14.0, 16.0, 15.9]}, [BEATS]))
    assert found.verdict == "undecided"
    assert found.effect is not None
    assert found.effect.low is not None
    assert found.effect.low > 2
    assert "m0.9" in found.why


def test_a_cell_that_learned_nothing_is_said_at_length_and_in_the_picture(said: Said) -> None:
    found = line(said({**VALUES, "m0.9": [2.0, 2.2, 2.1]}, [BEATS]))
    assert found.verdict.startswith("not testable")
    assert found.effect is not None
    assert re.search(r"m0\.9 .* \([^:]*: -.* points", found.why)
    assert found.unlearned in texts(picture([found]))
    assert "m0.9" in found.unlearned


def test_tables_of_one_ablation_stand_together(said: Said) -> None:
    one = said(VALUES, [BEATS, {**BEATS, "id": "other", "cell": "m0.999"}])
    other = {**one, "ablation": "another"}
    found = claim_lines({"a": one, "b": other, "c": one})
    assert [(each.id, each.report) for each in found] == [
        *(("slow", "a"), ("slow", "c"), ("other", "a"), ("other", "c")),
        *(("slow", "b"), ("other", "b")),
    ]


def test_our_own_checks_are_not_the_papers(said: Said) -> None:
    lines = claim_lines({"one": said(VALUES, [OWN, BEATS])})
    assert [each.id for each in of_papers(lines)] == ["slow"]


def test_many_printed_numbers_are_cut(said: Said) -> None:
    cells = ["m0", "m0.9", "m0.99", "m0.999"]
    rising = {"kind": "monotone", "id": "slow", "cells": cells, "says": "It rises."}
    found = line(said(VALUES, [rising]))
    assert found.printed == "fail (m0), …, 59.0 (m0.999), linear probe top-1"


def test_numbers_of_some_cells_only_are_not_told() -> None:
    cells = [
        {**each, "printed": None} if each["id"] == "m0" else each for each in ABLATION["cells"]
    ]
    ablation = Ablation.model_validate_json(json.dumps({**ABLATION, "cells": cells}))
    assert printed_numbers(ablation, ["m0.9", "m0"]) == (None, [])
    assert printed_numbers(ablation, ["m0.9"], "pretext/top1") == (None, [])
    metric, numbers = printed_numbers(ablation, ["m0.9", CONTROL], "knn/top1")
    assert metric == "linear/top1", "the paper printed no kNN"
    assert [each["value"] for each in numbers] == [55.2]


def drawing(text: str) -> ET.Element:
    return ET.fromstring(text)


def texts(text: str) -> list[str]:
    return [each.text or "" for each in drawing(text).iter(f"{SVG}text")]


def test_the_picture_has_each_statement_with_its_interval(said: Said) -> None:
    lines = of_papers(claim_lines({"one": said(VALUES, [BEATS, OWN])}))
    svg = picture(lines)
    assert svg == picture(lines)
    shown = texts(svg)
    assert {"Slow wins.", "reproduced", "paper: 57.8, 55.2, linear probe top-1"} <= {*shown}
    assert any(each.startswith("+10.1 (+") for each in shown)
    assert len([*drawing(svg).iter(f"{SVG}circle")]) == 1
    assert "So." not in shown


def test_what_is_reproduced_lies_where_the_statement_holds(said: Said) -> None:
    svg = picture(claim_lines({"one": said(VALUES, [BEATS])}))
    region = [each for each in drawing(svg).iter(f"{SVG}rect") if each.get("class") == "claimed"][1]
    low = float(region.get("x", "nan"))
    high = low + float(region.get("width", "nan"))
    (interval,) = (
        each for each in drawing(svg).iter(f"{SVG}line") if each.get("stroke-width") == "2.5"
    )
    ends = [float(interval.get(name, "nan")) for name in ("x1", "x2")]
    assert low < ends[0] < ends[1] <= high
    assert interval.get("class") == "good"


@pytest.mark.parametrize(
    ("changes", "shade"),
    [({"m0.9": VALUES["m0.99"], "m0.99": VALUES["m0.9"]}, "bad"), ({"m0.9": [50, 49, 53]}, "open")],
)
def test_verdicts_are_told_apart(said: Said, changes: dict[str, Any], shade: str) -> None:
    svg = picture(claim_lines({"one": said({**VALUES, **changes}, [BEATS])}))
    (dot,) = drawing(svg).iter(f"{SVG}circle")
    assert dot.get("class") == shade
    assert f".{shade} {{" in svg


def test_what_has_no_interval_is_counted_and_not_drawn(said: Said) -> None:
    lost = {**BEATS, "id": "lost", "cell": "m0.999", "over": "m0.99"}
    lines = claim_lines({"one": said(VALUES, [BEATS, lost])})
    assert [each.id for each in drawable(lines)] == ["slow"], "m = 0.999 needs more steps"
    assert any("1 not testable at this scale" in each for each in texts(picture(lines)))


def test_hostile_words_stay_words(said: Said) -> None:
    hostile = {**BEATS, "says": "<script>alert(1)</script> | & \x1b[31m"}
    lines = claim_lines({"one": said(VALUES, [hostile])})
    svg = picture(lines)
    assert "<script" not in svg
    assert "\x1b" not in svg
    assert drawing(svg).get("width") == str(WIDTH)


def test_the_page_begins_with_what_was_not_run(
    runs: Path, gather: Collected, tmp_path: Path
) -> None:
    bench, reports = momentum(runs), tmp_path / "reports"
    root = publish(gather(bench), reports / "tiny" / "runs", recipe="r.yaml")
    write_report(again(bench, root), reports / "tiny")
    made = overview(reports)
    text = made[PAGE]
    first = text.index("ImageNet or COCO")
    assert first < text.index("## The papers' statements") < text.index("## The tables")
    assert f"]({next(name for name in made if name != PAGE)})" in text
    row = next(each for each in text.splitlines() if "Slow is better." in each)
    assert re.search(
        r"55\.2.*\*\*reproduced\*\*.*points \(\+.*3 seeds.*tiny/report\.md.*hours", row
    )
