"""Compare two reports of one table: two commits, two machines, two sets of settings.

Seeds that both reports have are paired: they share data order, augmentations and initial weights,
so a difference comes from the code, the machine or the settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.recipe.ablation import CONTROL
from harness.report.blocks import (
    Block,
    Document,
    Items,
    Notice,
    Paragraph,
    Section,
)
from harness.report.claim_summary import said_by
from harness.report.cost import Cost
from harness.report.measures import measure
from harness.report.results_json import FORMAT
from harness.report.runs import WORDS
from harness.report.statistics import Summary, summarise
from harness.report.table import (
    Column,
    Label,
    Measurement,
    Row,
    SeedValue,
    Table,
    Text,
    VerdictMark,
)
from harness.report.table_text import NOTHING, difference
from harness.store import atomic

Report = dict[str, Any]
"""The content of results.json."""

FILE = "results.json"

COMPARED = ("scale", "seeds", "margin", "edition", "data", "commit", "machine", "cost")
"""What is compared between two reports, besides their numbers."""


@dataclass(frozen=True)
class Pair:
    """One cell and metric of both reports."""

    cell: str
    label: str
    metric: str
    a: Summary | None
    b: Summary | None
    states: tuple[str, str]
    """Remarks on seeds without a value, e.g. "1 diverged"."""
    difference: Summary | None
    """b - a over the shared seeds; None: no shared seed, or measured by another protocol."""
    identical: bool
    """Whether every such seed gives the same number to the last bit."""
    otherwise: bool
    """Whether the two protocols differ."""
    apart: tuple[int, ...]
    """Seeds that diverged in one and finished in the other."""


def read_report(path: Path) -> Report:
    """The numbers of a report: its results.json, or the folder that holds it.

    Raises:
        StoreError: there is no such report, or it is of another version.
    """
    file = path / FILE if path.is_dir() else path
    found = atomic.read_json(file)
    if found is None:
        raise StoreError(f"{path}: not a report; name a report's folder, its {FILE}, or a run root")
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise StoreError(
            f"{file}: not a report of this version (format {FORMAT}); write it again with "
            "`moco-harness report`"
        )
    return found


def pairs(a: Report, b: Report) -> list[Pair]:
    """Every cell that both tables have, metric by metric.

    Raises:
        StoreError: they have no cell in common.
    """
    theirs = {cell["id"]: cell for cell in b["cells"]}
    found = [
        _pair(cell, theirs[cell["id"]], metric)
        for cell in a["cells"]
        if cell["id"] in theirs
        for metric in cell["metrics"]
        if metric in theirs[cell["id"]]["metrics"]
    ]
    if not found:
        raise StoreError(f"{a['name']} and {b['name']} have no common cell and metric")
    return [pair for pair in found if any(pair.states) or pair.a or pair.b]


def _pair(a: dict[str, Any], b: dict[str, Any], metric: str) -> Pair:
    one, other = a["metrics"][metric], b["metrics"][metric]
    ours, theirs = _values(one), _values(other)
    both = [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
    otherwise = one["protocol"] != other["protocol"] and bool(one["seeds"] and other["seeds"])
    return Pair(
        cell=a["id"],
        label=a["label"],
        metric=metric,
        a=summarise(list(ours.values())) if ours else None,
        b=summarise(list(theirs.values())) if theirs else None,
        states=(_others(one), _others(other)),
        difference=summarise([y - x for x, y in both]) if both and not otherwise else None,
        identical=bool(both) and all(x == y for x, y in both),
        otherwise=otherwise,
        apart=tuple(sorted(ours.keys() & _diverged(other) | theirs.keys() & _diverged(one))),
    )


def _values(said: dict[str, Any]) -> dict[int, float]:
    return {s["seed"]: s["value"] for s in said["seeds"] if s["state"] == "finished"}


def _diverged(said: dict[str, Any]) -> set[int]:
    return {s["seed"] for s in said["seeds"] if s["state"] == "diverged"}


def _others(said: dict[str, Any]) -> str:
    states = [s["state"] for s in said["seeds"] if s["state"] != "finished"]
    counts = Counter(WORDS.get(state, state) for state in states)
    return ", ".join(f"{n} {state}" for state, n in counts.items())


def compare(a: Report, b: Report, names: tuple[str, str]) -> Document:
    """The comparison, ready to be rendered.

    Args:
        names: what to call the two, e.g. their folders.

    Raises:
        StoreError: they have no cell in common.
    """
    found = pairs(a, b)
    sections = [
        Section("", tuple(_top(a, b, names))),
        Section("Table", (_table(found, a, b),)),
        *([Section("Claims", (_claims(a, b),))] if a["claims"] and b["claims"] else []),
        Section("What differs", (_compared(a, b),)),
    ]
    return Document(f"{a['title']}: A and B", tuple(sections))


def _top(a: Report, b: Report, names: tuple[str, str]) -> Iterator[Block]:
    yield Items((f"A: {names[0]}", f"B: {names[1]}"))
    yield Paragraph(
        "B − A: mean over the common seeds, paired, with the sample deviation of the differences "
        "and their 95 % t interval, uncorrected.",
        "quiet",
    )
    for what in ("name", "metric"):
        if a[what] != b[what]:
            yield Notice("Note", f"Two tables: the {what} is {a[what]} and {b[what]}.", "unsure")
    for name, said in zip("AB", (a, b), strict=True):
        for warning in said["warnings"]:
            yield Notice(f"Note on {name}", warning, "unsure")


def _table(found: list[Pair], a: Report, b: Report) -> Table:
    ours, theirs = ({cell["id"]: cell["metrics"] for cell in each["cells"]} for each in (a, b))
    rows = [
        Row(
            (
                Label(pair.label),
                Text(f"{measure(pair.metric).label}, {measure(pair.metric).unit}"),
                _side(pair.a, ours[pair.cell][pair.metric]),
                _side(pair.b, theirs[pair.cell][pair.metric]),
                _difference(pair),
                Text(_sd(pair.difference)),
            ),
            emphasis=pair.cell == CONTROL,
            key=pair.cell,
        )
        for pair in found
    ]
    columns = (
        Column("cell", kind="label"),
        Column("metric"),
        Column("A", kind="measured", align="right"),
        Column("B", kind="measured", align="right"),
        Column("B − A", align="right"),
        Column("deviation\nof B − A", align="right"),
    )
    return Table(columns, tuple(rows), cards=True)


def _side(summary: Summary | None, said: dict[str, Any]) -> Measurement:
    """One report's result for a cell and a metric."""
    seeds = (SeedValue(s["seed"], s["state"], s["value"], s["detail"]) for s in said["seeds"])
    return Measurement(summary, tuple(seeds), said["protocol"])


def _difference(pair: Pair) -> Text:
    if pair.otherwise:
        return Text("another protocol", "unsure")
    seeds = ", ".join(map(str, pair.apart))
    apart = f"\nseed {seeds}: diverged in one only" if pair.apart else ""
    if pair.difference is None:
        return Text(apart.strip() or NOTHING, "bad" if apart else "quiet")
    if pair.identical:
        n = pair.difference.n
        text = f"0 (identical, {'1 seed' if n == 1 else f'{n} seeds'})"
        return Text(text + apart, "bad" if apart else "good")
    low, high = pair.difference.low, pair.difference.high
    away = low is not None and high is not None and (low > 0 or high < 0)
    return Text(difference(pair.difference) + apart, "bad" if away or apart else "plain")


def _sd(found: Summary | None) -> str:
    return NOTHING if found is None or found.sd is None else f"{found.sd:.2f} (n = {found.n})"


def _claims(a: Report, b: Report) -> Table:
    theirs = {claim["id"]: claim for claim in b["claims"]}
    rows = [
        Row(
            (
                Text(said_by(claim["by"], claim["says"])),
                VerdictMark(claim["verdict"], claim["in_words"]),
                VerdictMark(theirs[claim["id"]]["verdict"], theirs[claim["id"]]["in_words"]),
                _differs(claim["verdict"], theirs[claim["id"]]["verdict"]),
            )
        )
        for claim in a["claims"]
        if claim["id"] in theirs
    ]
    return Table(tuple(map(Column, ("claim", "A", "B", ""))), tuple(rows), cards=True)


def _differs(one: str, other: str) -> Text:
    return Text("differs", "unsure") if one != other else Text("")


def _compared(a: Report, b: Report) -> Table:
    rows = []
    for what, *both in zip(COMPARED, _compared_values(a), _compared_values(b), strict=True):
        one, other = ("\n".join(each) or NOTHING for each in both)
        rows.append(Row((Text(what), Text(one), Text(other), _differs(one, other))))
    return Table(tuple(map(Column, ("", "A", "B", ""))), tuple(rows), cards=True)


def _compared_values(report: Report) -> Iterator[list[str]]:
    """A report's values of each of COMPARED, as lines."""
    basis = report["basis"] or {"edition": NOTHING, "data": []}
    yield [report["scale"]["here"]]
    yield [", ".join(map(str, report["seeds"]))]
    yield [NOTHING if report["margin"] is None else f"{report['margin']:g}"]
    yield [basis["edition"]]
    yield basis["data"]
    yield report["commits"]
    yield report["environments"]
    yield [Cost(**each).words for each in report["cost"]]
