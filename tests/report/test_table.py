"""The table model: what cells stand for, and their words in every form."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.recipe.ablation import CONTROL
from harness.recipe.identity import described, record, stage_id
from harness.recipe.schema import Recipe
from harness.report.blocks import Document, Section
from harness.report.html import render as as_page
from harness.report.markdown import render as as_markdown
from harness.report.results_table import results_table
from harness.report.statistics import Summary
from harness.report.table import (
    Column,
    Difference,
    Label,
    Measurement,
    Printed,
    Row,
    SeedValue,
    Table,
    Text,
)
from harness.report.table_text import heading, measurement, number, text, upright
from harness.report.tables import further_table, sensitivity_table
from harness.report.terminal import NARROW, stale_reasons, terminal_table
from harness.report.write import write_report
from harness.store.layout import stage_folder
from report.build import EDITION, OLDER, Bench, recipe
from report.conftest import Collected, Make


def seeds(*standings: str) -> tuple[SeedValue, ...]:
    return tuple(
        SeedValue(n, each, 40.0 if each == "finished" else None, "why")  # type: ignore[arg-type]
        for n, each in enumerate(standings)
    )


HALF = Summary(2, 40.0, 0.5, 39.0, 41.0)


@pytest.mark.parametrize(
    ("cell", "pieces"),
    [
        (Measurement(HALF, seeds("finished", "finished")), ("40.00 ± 0.50", "n = 2", ())),
        (
            Measurement(HALF, seeds("finished", "finished", "diverged")),
            ("40.00 ± 0.50", "2 of 3 seeds", ("1 diverged",)),
        ),
        (
            Measurement(HALF, seeds("finished", "finished"), trials=3),
            ("40.00 ± 0.50", "n = 2, 3 trials each", ()),
        ),
        (Measurement(None, seeds("diverged", "diverged")), ("diverged", "2 seeds", ())),
        (
            Measurement(None, seeds("diverged", "absent")),
            ("1 diverged", "", ("1 not run",)),
        ),
        (
            Measurement(HALF, seeds("finished", "finished"), deviates=True),
            ("40.00 ± 0.50", "n = 2", ("another protocol",)),
        ),
        (Measurement(None, ()), ("not in this scale", "", ())),
        (Measurement(None, (), can_run=False), ("printed only", "", ())),
    ],
)
def test_a_measurement_in_pieces(
    cell: Measurement, pieces: tuple[str, str, tuple[str, ...]]
) -> None:
    said = measurement(cell)
    assert (said.value, said.seeds, said.others) == pieces


def test_a_column_holds_one_type_of_cell() -> None:
    column = Column("paper", kind="printed")
    row = Row((Printed(1.0),))
    table = Table((column,), (row,))
    assert table.at(row, column, Printed).number == 1.0
    with pytest.raises(TypeError, match="paper holds Printed"):
        table.at(row, column, Difference)


def test_two_columns_that_say_the_same_keep_their_own_cells() -> None:
    """As a paper prints AP twice, of two data sets."""
    columns = tuple(Column("AP", group="paper", kind="printed beside") for _ in range(2))
    row = Row((Printed(1.0), Printed(2.0)))
    table = Table(columns, (row,))
    assert [table.at(row, column, Printed).number for column in columns] == [1.0, 2.0]


def test_the_numbers_stay_with_the_words(make: Make, gather: Collected) -> None:
    """Value, interval, direction, and the stages that they come from."""
    bench = make((0, 1))
    for seed in bench.seeds:
        bench.finish("m0.9", seed, 40.0 + seed)
        bench.finish(CONTROL, seed, 14.0)
    table = results_table(gather(bench))
    (column,) = table.of_kind("measured")
    assert (column.metric, column.unit, column.better) == ("knn/top1", "%", "higher")
    (row,) = [row for row in table.rows if row.key == "m0.9"]
    found = table.measurements(row)["knn/top1"]
    assert found.summary is not None
    assert (found.summary.mean, [each.value for each in found.seeds]) == (40.5, [40.0, 41.0])
    assert found.stages == tuple(bench.folder("m0.9", seed, "knn").id for seed in bench.seeds)
    difference = table.to_untrained(row, "knn/top1")
    assert difference is not None
    assert difference.mean == 26.5


def test_every_form_has_the_tables_numbers(make: Make, gather: Collected, tmp_path: Path) -> None:
    bench = make((0, 1))
    for seed in bench.seeds:
        bench.finish("m0.9", seed, 40.0 + seed)
    results = gather(bench)
    table = results_table(results)
    said = {row.key: [text(cell).text for cell in row.cells] for row in table.rows}["m0.9"]
    assert "40.50 ± 0.71 (n = 2)" in said
    write_report(results, tmp_path)
    for name in ("report.md", "report.html"):
        assert "40.50 ± 0.71 (n = 2)" in (tmp_path / name).read_text()
    assert r"40.50 $\pm$ 0.71" in (tmp_path / "report.tex").read_text()
    (row,) = [
        row
        for row in csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text()))
        if (row["cell"], row["metric"]) == ("m0.9", "knn/top1")
    ]
    assert (float(row["mean"]), int(row["n"])) == (40.5, 2)
    cells: Any = json.loads((tmp_path / "results.json").read_text())["cells"]
    (cell,) = [cell for cell in cells if cell["id"] == "m0.9"]
    assert cell["metrics"]["knn/top1"]["summary"]["mean"] == 40.5
    assert "40.50 ± 0.71 (n = 2)" in drawn(table, NARROW)


def test_further_tasks_have_a_table_of_their_own(make: Make, gather: Collected) -> None:
    """A seed's value is the mean of its trials; seeds are what is counted."""
    again = {"kind": "knn", "trials": 2, "k": [20]}
    bench = make((0, 1), recipe_changes={"tasks": {"again": again}})
    for seed in bench.seeds:
        bench.finish("m0.9", seed, 40.0)
        pretrain, recipe = bench.folder("m0.9", seed), bench.recipe("m0.9", seed)
        for trial, name in enumerate(("again", "again=t1")):
            folder = stage_folder(bench.runs, stage_id(recipe, name))
            said = {"schema": 1, "id": folder.id, "name": recipe.name, "seed": seed}
            folder.create(
                {**said, **record(recipe, name), "parent": pretrain.id}
                | {"recipe": described(recipe, name)}
            )
            result = json.loads((pretrain.path / "result.json").read_text())
            result["values"] = {"knn/top1": 30.0 + 2 * trial + seed}
            (folder.path / "result.json").write_text(json.dumps(result))
    results = gather(bench)
    table = further_table(results)
    assert table is not None
    (row,) = [row for row in table.rows if row.key == "m0.9"]
    assert heading(table.columns[1]) == "again\nkNN top-1, %"
    assert text(row.cells[1]).text == "31.50 ± 0.71 (n = 2, 2 trials each)"
    assert "31.50" not in as_markdown(Document("", (Section("", (results_table(results),)),)))
    assert not results.warnings
    folder = stage_folder(bench.runs, stage_id(bench.recipe("m0.9", 1), "again=t1"))
    result = json.loads((folder.path / "result.json").read_text())
    (folder.path / "result.json").write_text(json.dumps({**result, "weights": "0" * 12}))
    (warning,) = gather(bench).warnings
    assert warning.startswith("Stale: again of m0.9 (seed 1). ")


def test_several_tasks_of_a_kind_that_nothing_else_measures_are_not_stale(
    make: Make, gather: Collected
) -> None:
    two = {"kind": "finetune", "epochs": 1, "lr": 0.1, "schedule": {"kind": "constant"}}
    bench = make((0,), recipe_changes={"tasks": {"one": two, "other": {**two, "lr": 0.2}}})
    bench.finish("m0.9", 0, 40.0)
    pretrain, recipe = bench.folder("m0.9", 0), bench.recipe("m0.9", 0)
    for n, name in enumerate(("one", "other")):
        folder = stage_folder(bench.runs, stage_id(recipe, name))
        said = {"schema": 1, "id": folder.id, "name": recipe.name, "seed": 0}
        folder.create(
            {**said, **record(recipe, name), "parent": pretrain.id}
            | {"recipe": described(recipe, name)}
        )
        result = json.loads((pretrain.path / "result.json").read_text())
        result["values"] = {"finetune/top1": 30.0 + n}
        (folder.path / "result.json").write_text(json.dumps(result))
    results = gather(bench)
    table = further_table(results)
    assert table is not None
    (row,) = [row for row in table.rows if row.key == "m0.9"]
    assert [text(cell).text.partition(" ")[0] for cell in row.cells[1:]] == ["30.00", "31.00"]
    assert not [each for each in results.warnings if each.startswith("Stale")]


def drawn(table: Table, kinds: Any = None) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(terminal_table(table, kinds))
    return out.getvalue()


def test_a_terminal_has_the_reasons_below_the_table(make: Make, gather: Collected) -> None:
    bench = make((0, 1))
    for seed in bench.seeds:
        bench.finish("m0.9", seed, 40.0 + seed, edition=OLDER if seed else EDITION)
    table = results_table(gather(bench))
    reason = f"of edition {OLDER}"
    assert reason in "".join(text(cell).text for row in table.rows for cell in row.cells)
    assert "stale: 41.00" in drawn(table)
    assert reason not in drawn(table)
    assert [*stale_reasons(table)] == [f"stale: 0.9 (seed 1): {reason}"]


def test_more_reasons_than_a_terminal_shows_are_counted() -> None:
    values = [SeedValue(n, "stale", 40.0, f"reason {n}") for n in range(9)]
    table = Table((Column("cell"),), (Row((Label("a"), Measurement(None, tuple(values)))),))
    assert len([*stale_reasons(table)]) < 9
    assert [*stale_reasons(table)][-1].startswith("stale for 4 more reasons")


@pytest.mark.parametrize(("edition", "rows"), [(EDITION, True), (OLDER, False)])
def test_of_stale_rows_alone_there_is_no_sensitivity(
    make: Make, gather: Collected, edition: str, rows: bool
) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0, edition=edition)
    bench.pretrain("m0.99", 0)
    bench.stage("m0.99", 0, "knn", {"knn/top1": 41.0})  # at no other k
    assert (sensitivity_table(gather(bench)) is not None) is rows


def test_variants_are_headed_by_what_they_vary(make: Make, gather: Collected) -> None:
    bench = make()
    bench.pretrain("m0.9", 0)
    bench.stage("m0.9", 0, "knn", {"knn/top1": 40.0, "knn/top1@k20": 41.0})
    bench.stage("m0.9", 0, "linear", {"linear/top1": 1.0, "linear/top1@lr0.1,wd1e-05": 2.0})
    table = sensitivity_table(gather(bench))
    assert table is not None
    assert [column.label for column in table.columns] == [
        *("cell", "kNN top-1, k = 20"),
        "linear probe top-1, lr = 0.1, wd = 1e-05",
    ]


class Elsewhere(Bench):
    """m0.99 is judged by kNN on other data."""

    def recipe(self, cell: str, seed: int) -> Recipe:
        made = super().recipe(cell, seed)
        if cell != "m0.99":
            return made
        cifar = {"name": "cifar10", "size": 32}
        other = recipe(tasks={"other": {"kind": "knn", "k": [20, 200], "data": cifar}})
        return made.model_copy(update={"knn": None, "tasks": other.tasks})

    def protocol(self, cell: str, seed: int) -> dict[str, Any]:
        return super().protocol("m0.9" if cell == "m0.99" else cell, seed)


def test_a_cell_that_is_measured_elsewhere_has_no_variants(runs: Path, gather: Collected) -> None:
    bench = Elsewhere(runs)
    bench.pretrain("m0.9", 0)
    bench.stage("m0.9", 0, "knn", {"knn/top1": 40.0, "knn/top1@k20": 41.0})
    bench.pretrain("m0.99", 0)
    bench.stage("m0.99", 0, "other", {"knn/top1": 50.0, "knn/top1@k20": 51.0})
    table = sensitivity_table(gather(bench))
    assert table is not None
    assert [row.key for row in table.rows] == ["m0.9"]


def test_a_table_too_wide_for_a_page_has_its_columns_as_rows() -> None:
    names = [f"linear/top1@lr{n}" for n in range(8)]
    columns = (Column("cell", kind="label"), *(Column(name, align="right") for name in names))
    rows = tuple(
        Row((Label(cell), *(Text(f"{cell}{n}") for n in range(8))), key=cell) for cell in ("a", "b")
    )
    table = upright(Table(columns, rows))
    assert [column.label for column in table.columns] == ["", "a", "b"]
    assert [[text(cell).text for cell in row.cells] for row in table.rows] == [
        [name, f"a{n}", f"b{n}"] for n, name in enumerate(names)
    ]
    for fits in (Table(columns[:7], rows), Table(columns, rows * 4)):
        assert upright(fits) is fits


def test_a_terminal_shows_the_kinds_of_columns_that_are_asked_for() -> None:
    columns = (
        Column("cell", kind="label"),
        Column("kNN", "%", "ours", "measured", align="right"),
        Column("to untrained", "points", kind="to untrained"),
    )
    row = Row((Label("m [b]0.9[/b]"), Measurement(HALF, seeds("finished", "finished")),
               Difference(HALF)))  # fmt: skip
    table = Table(columns, (row,))
    assert "to untrained" in drawn(table)
    assert "m [b]0.9[/b]" in drawn(table), "no text is markup"
    narrow = drawn(table, NARROW)
    assert "to untrained" not in narrow
    assert "ours, %" in narrow


def test_no_text_of_a_table_is_markup() -> None:
    evil = "<script>|*x*</script> 'a' {{ 7 * 7 }} {% raw %}"
    table = Table((Column(evil), Column("n", align="right")), (Row((Text(evil), Printed(None))),))
    document = Document(evil, (Section("", (table,)),))
    page, page_text = as_page(document), as_markdown(document)
    assert "<script>" not in page
    assert "{{ 7 * 7 }}" in page
    assert "49" not in page
    assert "<script>" not in page_text


@pytest.mark.parametrize(
    ("column", "lines"),
    [
        (Column("kNN", "%", "ours"), "ours\nkNN, %"),
        (Column("to untrained", "points"), "to untrained,\npoints"),
        (Column("AP", "", "paper", awaits="detection"), "paper\nAP\n(ours: needs detection)"),
        (Column("claim"), "claim"),
    ],
)
def test_a_heading(column: Column, lines: str) -> None:
    assert heading(column) == lines


@pytest.mark.parametrize(
    ("printed", "shown"),
    [(68.68, "68.68"), (33.15, "33.15"), (0.25, "0.25"), (55.2, "55.2"), (60, "60.0"), (None, "–"),
     ("fail", "fail")],
)  # fmt: skip
def test_a_printed_number_keeps_its_decimals(printed: Any, shown: str) -> None:
    assert number(printed) == shown
