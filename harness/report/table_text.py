"""The text of a table's headings and cells, the same in every format of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.recipe.ablation import Number
from harness.report.runs import WORDS
from harness.report.statistics import Summary
from harness.report.table import (
    Cell,
    Column,
    Difference,
    Label,
    Mean,
    Measurement,
    Printed,
    Row,
    SeedValue,
    Table,
    Text,
    Tone,
    VerdictMark,
)

NOTHING = "–"
NOT_HERE = "not in this scale"
WIDEST = 6
"""Columns of values that fit on a page."""
PRINTED_ONLY = "printed only"
"""Text for another method's row."""

TONES: dict[str, Tone] = {
    "reproduced": "good",
    "not reproduced": "bad",
    "refuted": "bad",
    "looks reproduced (one seed)": "unsure",
    "looks not reproduced (one seed)": "unsure",
    "undecided": "unsure",
    "incomplete": "unsure",
    "not testable at this scale": "quiet",
}
"""Verdict -> tone."""


def heading(column: Column) -> str:
    """The heading of the column, as lines."""
    if not column.group:
        return f"{column.label},\n{column.unit}" if column.unit else column.label
    unit = f", {column.unit}" if column.unit else ""
    to_come = f"\n(ours: needs {column.awaits})" if column.awaits else ""
    return f"{column.group}\n{column.label}{unit}{to_come}"


def text(cell: Cell) -> Text:
    """The cell as text, with its tone and link target."""
    match cell:
        case Text():
            return cell
        case Label():
            return Text("\n".join([cell.text, *remarks(cell)]))
        case Printed():
            return Text("\n".join(printed_lines(cell)))
        case Measurement():
            return measurement(cell).text
        case Mean():
            return Text(_mean_of_some(cell), target=cell.target)
        case Difference():
            return Text(difference(cell.summary))
        case VerdictMark():
            return Text(cell.words, TONES.get(cell.verdict, "plain"))


def number(found: Number) -> str:
    """A number as papers print it: with one decimal, or all that it has; "fail"; or a dash."""
    if found is None or isinstance(found, str):
        return NOTHING if found is None else found
    text = f"{found:.1f}"
    return text if float(text) == found else f"{found:g}"


def printed_lines(cell: Printed) -> list[str]:
    """The paper's number, with the deviation of its runs if known."""
    about = "≈ " if cell.approximate and cell.number is not None else ""
    words = about + number(cell.number)
    if cell.runs is None or cell.runs.sd is None:
        return [words]
    return [f"{words} ± {cell.runs.sd:.2f}", f"(n = {cell.runs.n})"]


def mean(found: Summary) -> str:
    """E.g. "41.00 ± 0.50"; a single value has no deviation."""
    return f"{found.mean:.2f}" if found.sd is None else f"{found.mean:.2f} ± {found.sd:.2f}"


def difference(found: Summary | None) -> str:
    """A difference with its interval, e.g. "+12.30" and "(+10.10 to +14.50)"."""
    if found is None:
        return NOTHING
    if found.low is None or found.high is None:
        return f"{found.mean:+.2f}"
    return f"{found.mean:+.2f}\n({found.low:+.2f} to {found.high:+.2f})"


@dataclass(frozen=True)
class MeasurementText:
    """A measurement as text, in parts that formatters arrange."""

    value: str
    """Mean ± deviation or, without one, the state of the seeds."""
    seeds: str = ""
    """Number of seeds behind the value, e.g. "n = 3" or "2 of 3 seeds"."""
    others: tuple[str, ...] = ()
    """One line per further remark, e.g. "1 diverged"."""
    tone: Tone = "plain"
    target: str = ""

    @property
    def text(self) -> Text:
        first = f"{self.value} ({self.seeds})" if self.seeds else self.value
        return Text("\n".join([first, *self.others]), self.tone, self.target)


def measurement(cell: Measurement) -> MeasurementText:
    """Our runs' results: mean ± deviation, seeds, and every seed without a value."""
    if not cell.seeds:
        return MeasurementText(NOT_HERE if cell.can_run else PRINTED_ONLY, tone="quiet")
    others = Counter(state(value) for value in cell.seeds if value.standing != "finished")
    lines = tuple(_count(word, n) for word, n in sorted(others.items()))
    tone: Tone
    if cell.summary is None:
        value, seeds, lines = _without_value(others, len(cell.seeds), lines)
        tone = "quiet" if value == NOTHING else "bad" if set(others) == {"diverged"} else "unsure"
    else:
        value = mean(cell.summary)
        seeds = _seeds(cell.summary.n, len(cell.seeds))
        if cell.trials > 1:
            seeds += f", {cell.trials} trials each"
        tone = "unsure" if lines else "plain"
    if cell.deviates:
        lines, tone = (*lines, "another protocol"), "unsure"
    return MeasurementText(value, seeds, lines, tone, cell.target)


def _without_value(
    others: Counter[str], seeds: int, lines: Sequence[str]
) -> tuple[str, str, tuple[str, ...]]:
    """(value, seeds, further lines) of a cell without a value for any seed."""
    if set(others) == {"no probe"}:
        return NOTHING, "", ()
    if len(others) == 1:
        (word,) = others
        return word, f"{seeds} seeds" if seeds > 1 else "", ()
    return lines[0], "", tuple(lines[1:])


def _seeds(n: int, of: int) -> str:
    if n < of:
        return f"{n} of {of} seeds"
    return "1 seed" if n == 1 else f"n = {n}"


def _mean_of_some(cell: Mean) -> str:
    if cell.summary is None:
        return NOTHING
    some = cell.summary.n < cell.seeds
    words = mean(cell.summary)
    return f"{words} ({_seeds(cell.summary.n, cell.seeds)})" if some else words


def state(value: SeedValue) -> str:
    """A seed's state as text; for a stale one with the value and the reason, if any."""
    if value.standing != "stale":
        return WORDS.get(value.standing, value.standing)
    said = NOTHING if value.value is None else f"{value.value:.2f}"
    return f"stale: {said}, {value.detail}" if value.detail else f"stale: {said}"


def _count(word: str, n: int) -> str:
    return word if n == 1 and word.startswith("stale") else f"{n} {word}"


def upright(table: Table, most: int = WIDEST) -> Table:
    """The table, with its columns as rows if it has more than `most` columns of values and fewer
    rows, so that it fits on a page. Its first column names the rows."""
    others = table.columns[1:]
    if len(others) <= most or len(others) <= len(table.rows):
        return table
    columns = (
        Column("", kind="label"),
        *(Column(text(row.cells[0]).text, align="right") for row in table.rows),
    )
    rows = tuple(
        Row(
            (Label(" ".join(heading(column).split())), *(row.cells[n] for row in table.rows)),
            key=column.label,
        )
        for n, column in enumerate(others, 1)
    )
    return Table(columns, rows, table.cards)


def remarks(label: Label) -> list[str]:
    """What a row's name does not say: the scale's own changes, and files of initial weights."""
    return [*([f"here: {label.changed}"] if label.changed else []), *label.weights]


def quoted(labels: Iterable[str]) -> str:
    """Labels of cells in a sentence, as they may hold commas: “MoCo, K = 64”, “MoCo, K = 256”."""
    return ", ".join(f"“{label}”" for label in labels)
