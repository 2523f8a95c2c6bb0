from __future__ import annotations

from pathlib import Path

import pytest
from pytest_regressions.data_regression import DataRegressionFixture

import harness
from harness.errors import RecipeError
from harness.recipe.ablation import Ablation
from harness.recipe.load import load_ablation
from harness.recipe.printed import blocks

from .conftest import Write

SHIPPED = Path(harness.__file__).parents[1] / "ablations" / "printed.yaml"

PRINTED = """\
top1:
  paper: P
  place: Table 1
  setting: s
  source: read it
  confidence: read
  metric: linear/top1
  units: "%"
  values: {a.1: 60.5, b: fail, c: null}
  runs: {a.1: [60.0, 61.0]}
ap:
  paper: P
  place: Table 1
  setting: s
  source: read it
  confidence: read
  metric: detection/ap
  units: "%"
  values: {one: 1.5, two: null}
curve:
  paper: P
  place: Fig. 1
  setting: s
  source: drawn
  confidence: read
  uncertainty: 0.7
  metric: knn/top1
  units: "%"
  values: {"10": 1.0, "20": null, "30": 3.0}
"""
TABLE = """\
name: table
title: t
numbers: top1
axis: a
cells:
  - {id: one, label: One, set: {}, printed: top1.a.1}
  - {id: two, label: Two, set: null, printed: top1.b}
  - {id: three, label: Three, set: {}, printed: top1.c}
  - {id: four, label: Four, set: {}, printed: 7.5}
columns:
  - {label: AP, numbers: ap, awaits: detection}
curves:
  - {cell: one, metric: knn/top1, numbers: curve}
claims: []
"""


@pytest.fixture
def table(write: Write) -> Path:
    write("ablations/printed.yaml", PRINTED)
    return write("ablations/table.yaml", TABLE)


def refusal(path: Path) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_ablation(path)
    return str(caught.value).splitlines()


def test_numbers_and_their_source_come_from_one_file(table: Path) -> None:
    found = load_ablation(table)
    assert [cell.printed for cell in found.cells] == [60.5, "fail", None, 7.5]
    assert [cell.printed_runs for cell in found.cells] == [(60.0, 61.0), (), (), ()]
    assert (found.paper, found.setting, found.source) == ("P, Table 1", "s", "read it")
    assert (found.confidence, found.metric, found.uncertainty) == ("read", "linear/top1", 0.0)
    assert (found.columns[0].values, found.columns[0].units) == ({"one": 1.5, "two": None}, "%")
    assert found.curves[0].points == ((10.0, 1.0), (30.0, 3.0))


def test_a_second_cell_of_a_printed_row_has_the_rows_number_in_every_column(
    table: Path, write: Write
) -> None:
    numbers = "{c: 1.5, again: 2.5, one: 3.5}"
    write("ablations/printed.yaml", PRINTED.replace("{one: 1.5, two: null}", numbers))
    more = [f"  - {{id: {name}, label: C, set: {{}}, printed: top1.c}}" for name in ("c", "again")]
    table.write_text(TABLE.replace("columns:", "\n".join([*more, "columns:"])))
    found = load_ablation(table).columns[0].values
    assert (found["c"], found["again"]) == (1.5, 1.5), "not the number under its own id"
    assert found["one"] == 3.5, "the key of its own number is not in this block"


def test_a_column_may_have_other_rows_than_its_block(table: Path) -> None:
    rows = "numbers: ap, rows: {three: two, four: one},"
    table.write_text(TABLE.replace("numbers: ap,", rows))
    assert load_ablation(table).columns[0].values == {"three": None, "four": 1.5}


def test_a_table_of_ones_own_needs_no_file(write: Write) -> None:
    table = load_ablation(
        write(
            "x.yaml",
            "title: t\npaper: p\nsetting: s\nsource: s\nconfidence: memory\nmetric: knn/top1\n"
            "axis: a\ncells: [{id: one, label: '1', set: {}, printed: 3}]\nclaims: []\n",
        )
    )
    assert isinstance(table, Ablation)
    assert table.cells[0].printed == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "top1.a.1",
            "top1.a.2",
            "6: cells.0.printed: printed.yaml: no top1.a.2",
        ),
        ("top1.a.1", "top2.a.1", "6: cells.0.printed: printed.yaml: no block top2"),
        ("numbers: top1", "numbers: top", "3: numbers: printed.yaml: no block top"),
        (
            "top1.a.1",
            "curve.10",
            "6: cells.0.printed: knn/top1",
        ),
        ("axis: a", "axis: a\nsource: me", "5: source: "),
        ("numbers: ap,", "numbers: api,", "11: columns.0.numbers: printed.yaml: no block api"),
        ("awaits: detection", "metric: knn/top1", "11: columns.0.metric: "),
        ("numbers: ap,", "numbers: ap, rows: {one: on},", "11: columns.0.rows.one: printed.yaml: "),
        ("metric: knn/top1, n", "metric: pretext/top1, n", "13: curves.0.metric: "),
        ("numbers: curve", "numbers: top1", "13: curves.0.numbers: top1 "),
        ("id: two", "id: too", "11: columns.0.numbers: ap has a number for two"),
        ("cell: one", "cell: on", "13: curves.0.cell: no cell with the id on"),
        (", awaits: detection", ", metric: knn/top1, awaits: x", "11: columns.0"),
    ],
)
def test_mistakes(table: Path, old: str, new: str, message: str) -> None:
    table.write_text(TABLE.replace(old, new, 1))
    found = refusal(table)
    assert any(line.startswith(f"ablations/table.yaml:{message}") for line in found), found


def test_all_mistakes_are_told_together(table: Path) -> None:
    table.write_text(TABLE.replace("top1.a.1", "top1.x").replace("top1.b", "top1.y"))
    assert len(refusal(table)) == 2


def test_the_file_is_absent(table: Path) -> None:
    (table.parent / "printed.yaml").unlink()
    place = "ablations/table.yaml:3: numbers: ablations/printed.yaml"
    assert refusal(table)[0].startswith(place)


def test_mistakes_in_the_file_name_its_lines(table: Path, write: Write) -> None:
    path = write("ablations/printed.yaml", PRINTED.replace("confidence: read", "confidence: sure"))
    assert refusal(table)[0].startswith("ablations/printed.yaml:6: confidence: needs one of read")
    with pytest.raises(RecipeError) as caught:
        blocks(path)
    assert len(str(caught.value).splitlines()) == 3, "each block's"


def test_every_printed_number_and_its_source(data_regression: DataRegressionFixture) -> None:
    """Compared by hand with the papers: a change here is a typo, or has a source to show for it."""
    found: dict[str, str] = {}
    for name, block in blocks(SHIPPED).items():
        where = f"{block.paper}, {block.place} ({block.confidence}: {block.source})"
        for key, value in block.values.items():
            runs = f", runs {list(block.runs[key])}" if key in block.runs else ""
            off = f" within {block.uncertainty}" if block.uncertainty else ""
            found[f"{name}.{key}"] = f"{value} {block.units}{off}, {block.metric}{runs}; {where}"
    data_regression.check(found)
