"""Compare two reports: two commits, two machines, two sets of settings. What differs comes first.

Seeds that both reports have are paired: they share data order, augmentations and initial weights,
so a difference comes from the code, the machine or the settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from harness.report.measures import COSTS, is_declared, measure
from harness.report.results_json import Report
from harness.report.runs import WORDS
from harness.report.statistics import How, Summary, contrast, summarise
from harness.report.table import (
    Column,
    Label,
    Measurement,
    Row,
    SeedValue,
    Table,
    Text,
    Tone,
    VerdictMark,
)
from harness.report.table_text import NOTHING, difference
from harness.report.what_differs import Differing, Records, told_apart, what_differs

OF_OWN_DATA = (".data", ".masks", ".boxes", ".images")
"""Endings of the fields of a protocol that name a task's own data."""

DIFFERS, DETAILS = "What differs", "Beside each other"
"""Sections of the comparison."""

COMPARED = ("scale", "seeds", "margin", "edition", "data", "commit", "machine", "cost")
"""What is compared between two reports, besides their numbers."""


@dataclass(frozen=True)
class Pair:
    """One cell and metric of both reports."""

    cell: str
    other: str
    """The cell of b, which has another id if both are single runs with different names."""
    label: str
    metric: str
    task: str
    """The name of a further task, under `tasks:`; "" for a metric of the table of results."""
    a: Summary | None
    b: Summary | None
    states: tuple[str, str]
    """Remarks on seeds without a value, e.g. "1 diverged"."""
    difference: Summary | None
    """b - a; None: a side has no value, or was measured by another protocol or on other data."""
    how: How | None
    """Whether the difference is over shared seeds or by Welch; None without one."""
    identical: bool
    """Whether every such seed gives the same number to the last bit."""
    otherwise: str
    """"another protocol" or "other data", which are not subtracted; "" if both are the same."""
    apart: tuple[int, ...]
    """Seeds that diverged in one and finished in the other."""


def pairs(a: Report, b: Report) -> list[Pair]:
    """Every cell that both tables have, metric by metric; further tasks by their names.

    Raises:
        StoreError: they have no cell in common, or a metric that no installed package declares.
    """
    ours, theirs = ({cell["id"]: cell for cell in each["cells"]} for each in (a, b))
    found = [
        pair for one, other in common_cells(a, b) for pair in _pairs_of(ours[one], theirs[other])
    ]
    if unknown := [pair.metric for pair in found if not is_declared(pair.metric)]:
        raise StoreError(
            f"{a['name']} and {b['name']}: the metric {unknown[0]} is not declared here; install "
            "the package that declares it"
        )
    if not found:
        raise StoreError(f"{a['name']} and {b['name']} have no common cell and metric")
    return [pair for pair in found if any(pair.states) or pair.a or pair.b]


def common_cells(a: Report, b: Report) -> list[tuple[str, str]]:
    """The cell of `a` and the cell of `b` that are compared: those with the same id; of two single
    runs with different names, these runs too."""
    theirs = {cell["id"] for cell in b["cells"]}
    own = [[c["id"] for c in each["cells"] if c["id"] != CONTROL] for each in (a, b)]
    if all(len(each) == 1 for each in own) and own[0] != own[1]:
        controls = [(CONTROL, CONTROL)] * all(CONTROL in _ids(each) for each in (a, b))
        return [(own[0][0], own[1][0]), *controls]
    return [(cell["id"], cell["id"]) for cell in a["cells"] if cell["id"] in theirs]


def measurements(cell: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """(name of a further task or "", metric) -> what a report says of a cell's results."""
    further = cell.get("further", {})
    return {
        (task, metric): found
        for task, metrics in {"": cell["metrics"], **further}.items()
        for metric, found in metrics.items()
    }


def _ids(report: Report) -> list[str]:
    return [cell["id"] for cell in report["cells"]]


def _pairs_of(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Pair]:
    """Of two cells: what both measure."""
    ours, theirs = measurements(a), measurements(b)
    for (task, metric), one in ours.items():
        if (other := theirs.get((task, metric))) is not None:
            yield _pair(a, b, task, metric, one, other)


def _pair(
    a: dict[str, Any],
    b: dict[str, Any],
    task: str,
    metric: str,
    one: dict[str, Any],
    other: dict[str, Any],
) -> Pair:
    ours, theirs = _values(one), _values(other)
    both = [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
    own_data = any(field.endswith(OF_OWN_DATA) for field in one["protocol"])
    otherwise = ""
    if one["seeds"] and other["seeds"] and metric not in COSTS:
        if one["protocol"] != other["protocol"]:
            otherwise = "another protocol"
        elif a["data"] != b["data"] and not own_data:  # the run's test images evaluate it
            otherwise = "other data"
    found = None if otherwise else contrast([(1, theirs), (-1, ours)])
    labels = dict.fromkeys((a["label"], b["label"]))
    return Pair(
        cell=a["id"],
        other=b["id"],
        label=" / ".join(labels),
        metric=metric,
        task=task,
        a=summarise(list(ours.values())) if ours else None,
        b=summarise(list(theirs.values())) if theirs else None,
        states=(_others(one), _others(other)),
        difference=found.summary if found is not None else None,
        how=found.how if found is not None else None,
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


def compare(
    a: Report,
    b: Report,
    names: tuple[str, str],
    records: tuple[Records, Records] = (Records(), Records()),
) -> Document:
    """The comparison, ready to be rendered: what differs, then the results.

    Args:
        names: what to call the two, e.g. their folders.
        records: of their runs; without them, differences of recipes and machines are not known.

    Raises:
        StoreError: they have no cell in common.
    """
    found = pairs(a, b)
    differ = what_differs(a, b, records, common_cells(a, b))
    titles = _titles(a, b, differ)
    sections = [
        Section("", tuple(_top(a, b, names, titles))),
        Section(DIFFERS, tuple(_differing(differ, records))),
        Section("Table", (_explained(), _table(found, a, b))),
        *([Section("Claims", (claims,))] if (claims := _claims(a, b)).rows else []),
        Section(DETAILS, (_compared(a, b),)),
    ]
    return Document(_title(titles, a["title"]), tuple(sections))


def _titles(a: Report, b: Report, differ: Sequence[Differing]) -> tuple[str, str]:
    """The two titles; equal ones are told apart by what differs."""
    if a["title"] != b["title"]:
        return a["title"], b["title"]
    ours, theirs = (f": {each}" if each else "" for each in told_apart(differ))
    return f"{a['title']}{ours}", f"{b['title']}{theirs}"


def _title(titles: tuple[str, str], shared: str) -> str:
    """One title for both: what they share is said once."""
    if titles[0] == titles[1]:
        return f"{shared}: A and B"
    if not all(each.startswith(f"{shared}: ") for each in titles):
        return f"{titles[0]} / {titles[1]}"
    ours, theirs = (each.removeprefix(f"{shared}: ") for each in titles)
    return f"{shared}: {ours} / {theirs}"


def _differing(differ: Sequence[Differing], records: tuple[Records, Records]) -> Iterator[Block]:
    if differ:
        rows = (
            Row((Text(_where(each)), Text(each.a), Text(each.b), Text(*_kind(each))))
            for each in differ
        )
        columns = (Column(""), Column("A"), Column("B"), Column(""))
        yield Table(columns, tuple(rows), cards=True)
    else:
        yield Paragraph("Nothing that is recorded differs.")
    if not all(each.recipes for each in records):
        yield Paragraph(
            "The records of the runs are not beside the reports, so recipes and machines are not "
            "compared field by field.",
            "quiet",
        )


def _where(each: Differing) -> str:
    return f"{each.what} ({', '.join(each.cells)})" if each.cells else each.what


def _kind(each: Differing) -> tuple[str, Tone]:
    return ("recipe", "unsure") if each.of_recipe else ("", "plain")


def _explained() -> Paragraph:
    return Paragraph(
        "B − A: mean over the common seeds, paired, with the sample deviation of the differences "
        "and their 95 % t interval, uncorrected. With fewer than two common seeds the interval is "
        "Welch's; of one seed there is none.",
        "quiet",
    )


def _top(a: Report, b: Report, names: tuple[str, str], titles: tuple[str, str]) -> Iterator[Block]:
    same = titles[0] == titles[1]
    yield Items(
        tuple(
            f"{side}: {name}" if same else f"{side}: {title} ({name})"
            for side, name, title in zip("AB", names, titles, strict=True)
        )
    )
    single = all(sum(each != CONTROL for each in _ids(report)) == 1 for report in (a, b))
    for what in ("metric",) if single else ("name", "metric"):
        if a[what] != b[what]:
            yield Notice("Note", f"Two tables: the {what} is {a[what]} and {b[what]}.", "unsure")
    for name, said in zip("AB", (a, b), strict=True):
        for warning in said["warnings"]:
            yield Notice(f"Note on {name}", warning, "unsure")


def _table(found: list[Pair], a: Report, b: Report) -> Table:
    ours, theirs = ({c["id"]: measurements(c) for c in each["cells"]} for each in (a, b))
    rows = [
        Row(
            (
                Label(pair.label),
                Text(_what(pair)),
                _side(pair.a, ours[pair.cell][pair.task, pair.metric]),
                _side(pair.b, theirs[pair.other][pair.task, pair.metric]),
                _difference(pair),
                Text(_sd(pair)),
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


def _what(pair: Pair) -> str:
    said = f"{measure(pair.metric).label}, {measure(pair.metric).unit}"
    return f"{pair.task}: {said}" if pair.task else said


def _side(summary: Summary | None, said: dict[str, Any]) -> Measurement:
    """One report's result for a cell and a metric."""
    seeds = (SeedValue(s["seed"], s["state"], s["value"], s["detail"]) for s in said["seeds"])
    return Measurement(summary, tuple(seeds), said["protocol"])


def _difference(pair: Pair) -> Text:
    if pair.otherwise:
        return Text(pair.otherwise, "unsure")
    seeds = ", ".join(map(str, pair.apart))
    apart = f"\nseed {seeds}: diverged in one only" if pair.apart else ""
    if pair.difference is None:
        return Text(apart.strip() or NOTHING, "bad" if apart else "quiet")
    if pair.identical and pair.how != "Welch":
        n = pair.difference.n
        text = f"0 (identical, {'1 seed' if n == 1 else f'{n} seeds'})"
        return Text(text + apart, "bad" if apart else "good")
    low, high = pair.difference.low, pair.difference.high
    away = low is not None and high is not None and (low > 0 or high < 0)
    return Text(difference(pair.difference) + apart, "bad" if away or apart else "plain")


def _sd(pair: Pair) -> str:
    found = pair.difference
    if found is None:
        return NOTHING
    if pair.how == "Welch":
        return "Welch, no common pair of seeds"
    if found.sd is None:
        return "one seed: no interval"
    return f"{found.sd:.2f} (n = {found.n})"


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
