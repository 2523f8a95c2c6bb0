"""Differences between the cells of an ablation of one's own: each from the first cell, and how much
the effect of one field depends on another.

A paper's table is judged by its claims instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.recipe.grid import same, symbol, value_text
from harness.report.collect import CellResult, Results
from harness.report.measures import difference_unit, measure
from harness.report.statistics import CONFIDENCE, Contrast, contrast, seeds_needed, summarise
from harness.report.table import Column, Row, Table, Text, finished
from harness.report.table_text import NOTHING, difference, mean

MOST = 60
"""Effects and interactions that a report lists at most; with more, nobody would read them."""

MOST_SEEDS = 100
"""Largest estimate of the seeds that a difference needs."""

UNDECIDED = "undecided"
"""The interval contains 0."""

Setting = tuple[tuple[str, str], ...]
"""(dotted field, key of its value) of a cell."""

Varied = Mapping[str, Mapping[str, str]]
"""Dotted field -> its values in the table's order, by key, as text."""

Cells = Mapping[Setting, CellResult]


@dataclass(frozen=True)
class Effect:
    """A difference between cells, or a difference of two such differences."""

    what: str
    found: Contrast | None
    """In the metric's unit; None if a cell has no value."""
    cell: str = ""
    """The id of the cell that is compared with the first one; "" for effects of fields."""

    @property
    def says(self) -> str:
        """What its interval says, in words."""
        if self.found is None:
            return "a cell has no value"
        made = self.found.summary
        if made.low is None or made.high is None:
            return "one seed: no interval"
        if made.low > 0 or made.high < 0:
            return "more" if made.mean > 0 else "less"
        return UNDECIDED + self._needs()

    def _needs(self) -> str:
        """About how many seeds would show a difference of this size, with a power of 0.8."""
        made = self.found.summary if self.found is not None else None
        if made is None or not made.sd or not made.mean:
            return ""
        needed = seeds_needed(abs(made.mean), made.sd, (1 - CONFIDENCE) / 2, MOST_SEEDS)
        count = f"about {needed}" if needed is not None else f"more than {MOST_SEEDS}"
        return f"; {count} seeds would tell"


def from_first(results: Results) -> list[Effect]:
    """The difference of each trained cell from the first one, in the order of the table."""
    cells = _cells(results)
    return [
        Effect(
            f"{cell.label} − {first.label}", _contrast(results, ((1, cell), (-1, first))), cell.id
        )
        for first in cells[:1]
        for cell in cells[1:]
        if _comparable(results, (cell, first))
    ]


def effects(results: Results) -> list[Effect]:
    """Of cells over two fields or more: the effect of each field (its last value minus its first)
    at every setting of the others, then how much each effect changes between two settings that
    differ in one field."""
    varied = _varied(results)
    if len(varied) < 2:
        return []
    cells = {_setting(results, cell, varied): cell for cell in _cells(results)}
    if len(cells) < len(_cells(results)):  # told apart by more than these fields
        return []
    found = itertools.chain(
        *(_of_field(results, field, varied, cells) for field in varied),
        *(
            _interactions(results, one, other, varied, cells)
            for one, other in itertools.combinations(varied, 2)
        ),
    )
    return list(itertools.islice(found, MOST))


def difference_tables(results: Results) -> list[tuple[str, Table]]:
    """(caption, table) of means with intervals and differences, and of effects; [] for a paper's
    table, or a recipe with a single seed."""
    alone = results.ablation is None and len(results.seen_seeds) == 1
    if alone or (results.ablation and results.ablation.of_paper) or not _cells(results):
        return []
    unit = difference_unit(results.metric)
    named = f"{measure(results.metric).label}, {measure(results.metric).unit}"
    firsts = from_first(results)
    tables = [(_caption(len(firsts)), _means(results, firsts, named, unit))]
    if found := effects(results):
        rows = [
            Row((Text(each.what), Text(_shown(each.found)), Text(_how(each.found)),
                 Text(each.says, _tone(each))))
            for each in found
        ]  # fmt: skip
        columns = (
            Column("effect"),
            Column("difference", unit, align="right"),
            Column("over"),
            Column("says"),
        )
        caption = (
            "Effects of one field at each setting of the others, and how much an effect depends on "
            "another field (a difference of differences)."
        ) + (f" Only the first {MOST} are listed." if len(found) == MOST else "")
        tables.append((caption, Table(columns, tuple(rows), cards=True)))
    return tables


def _caption(count: int) -> str:
    if not count:
        return "The mean with its 95 % t interval."
    words = (
        "Means with 95 % t intervals, and differences from the first row: over the shared seeds, "
        "paired, or else by Welch's t."
    )
    if count < 2:
        return words
    return (
        f"{words} The intervals of the {count} differences are uncorrected: of twenty, one misses."
    )


def _means(results: Results, firsts: list[Effect], named: str, unit: str) -> Table:
    told = {each.cell: each for each in firsts}
    cells = _cells(results)
    rows = []
    for cell in cells:
        seeds = results.values(cell)
        values = finished(seeds)
        of = "" if len(values) == len(seeds) else f" of {len(seeds)}"
        made = summarise(list(values.values())) if values else None
        interval = NOTHING
        if made is not None and made.low is not None and made.high is not None:
            interval = f"{made.low:.2f} to {made.high:.2f}"
        effect = told.get(cell.id)
        rows.append(
            Row(
                (
                    Text(cell.label),
                    Text(NOTHING if made is None else f"{mean(made)} (n = {made.n}{of})"),
                    Text(interval),
                    Text("first" if cell is cells[0] else _shown(effect.found if effect else None)),
                    Text("" if effect is None else _how(effect.found)),
                    Text("" if effect is None else effect.says, _tone(effect)),
                ),
                key=cell.id,
            )
        )
    columns = (
        Column(results.ablation.axis if results.ablation is not None else "recipe"),
        Column(named, align="right"),
        Column("95 % interval", align="right"),
        Column("from the first", unit, align="right"),
        Column("over"),
        Column("says"),
    )
    shown = len(columns) if firsts else 3
    rows = [replace(row, cells=row.cells[:shown]) for row in rows]
    return Table(columns[:shown], tuple(rows), cards=True)


def _shown(found: Contrast | None) -> str:
    return difference(found.summary if found is not None else None)


def _how(found: Contrast | None) -> str:
    if found is None:
        return ""
    n = found.summary.n
    if found.how == "one seed":
        return "1 seed"
    return f"{n} seeds, paired" if found.how == "paired" else f"{n} seeds or more each, Welch"


def _tone(effect: Effect | None) -> Any:
    if effect is None or effect.found is None:
        return "quiet"
    return "plain" if effect.says in ("more", "less") else "unsure"


def _cells(results: Results) -> list[CellResult]:
    """The cells that are run and involve training."""
    return [cell for cell in results.cells if cell.runs and not cell.is_control]


def _contrast(results: Results, parts: tuple[tuple[float, CellResult], ...]) -> Contrast | None:
    return contrast([(factor, finished(results.values(cell))) for factor, cell in parts])


def _comparable(results: Results, cells: tuple[CellResult, ...]) -> bool:
    """Whether they are all measured by the same protocol."""
    return not any(results.protocol_deviation(cell) for cell in cells)


def _values(results: Results, cell: CellResult) -> Mapping[str, Any]:
    """Dotted field -> value that the ablation and the scale set for this cell."""
    row = results.ablation.cell(cell.id) if results.ablation is not None else None
    own = row.set if row is not None else None
    more = results.scale.set_cells.get(cell.id, {}) if results.scale is not None else {}
    return {**(own or {}), **more}


def _varied(results: Results) -> dict[str, dict[str, str]]:
    """Dotted field -> its values in the table's order, by key, as text. Only fields that every
    cell sets, with more than one value."""
    cells = [_values(results, cell) for cell in _cells(results)]
    found = {}
    for field in cells[0] if cells else ():
        if all(field in each for each in cells):
            texts = {same(each[field]): value_text(each[field]) for each in cells}
            if len(texts) > 1:
                found[field] = texts
    return found


def _setting(results: Results, cell: CellResult, varied: Varied) -> Setting:
    said = _values(results, cell)
    return tuple((field, same(said[field])) for field in varied)


def _of_field(results: Results, field: str, varied: Varied, cells: Cells) -> Iterator[Effect]:
    """The field's last value minus its first, at each setting of the others."""
    first, last = _ends(varied[field])
    for others in _settings(cells, field, varied):
        pair = _at(cells, varied, {**others, field: last}, {**others, field: first})
        if pair is not None and _comparable(results, pair):
            where = ", ".join(_said(varied, other, key) for other, key in others.items())
            words = f"{_step(varied, field)}, at {where}"
            yield Effect(words, _contrast(results, ((1, pair[0]), (-1, pair[1]))))


def _interactions(
    results: Results, one: str, other: str, varied: Varied, cells: Cells
) -> Iterator[Effect]:
    """How much the effect of `one` changes from the first value of `other` to its last."""
    (a, b), (c, d) = _ends(varied[one]), _ends(varied[other])
    for rest in _settings(cells, one, varied, other):
        quad = _at(
            cells,
            varied,
            {**rest, one: b, other: d},
            {**rest, one: a, other: d},
            {**rest, one: b, other: c},
            {**rest, one: a, other: c},
        )
        if quad is None or not _comparable(results, quad):
            continue
        where = "".join(f", at {_said(varied, each, key)}" for each, key in rest.items())
        words = f"effect of {symbol(one)} ({_step(varied, one)}): {_step(varied, other)}{where}"
        signs = (1, -1, -1, 1)
        yield Effect(words, _contrast(results, tuple(zip(signs, quad, strict=True))))


def _at(
    cells: Cells, varied: Varied, *settings: Mapping[str, str]
) -> tuple[CellResult, ...] | None:
    """The cells with these settings; None if the table lacks one."""
    found = [cells.get(tuple((field, each[field]) for field in varied)) for each in settings]
    there = tuple(cell for cell in found if cell is not None)
    return there if len(there) == len(found) else None


def _settings(
    cells: Iterable[Setting], field: str, varied: Varied, also: str = ""
) -> list[dict[str, str]]:
    """The values of the other fields that cells have, in the order of the values. Cells that are no
    grid have far fewer than there are combinations."""
    others = [each for each in varied if each not in (field, also)]
    places = {each: {key: n for n, key in enumerate(varied[each])} for each in others}
    there = {tuple(kv for kv in setting if kv[0] in places) for setting in cells}
    ordered = sorted(there, key=lambda setting: [places[name][key] for name, key in setting])
    return [dict(setting) for setting in ordered]


def _ends(values: Mapping[str, str]) -> tuple[str, str]:
    """The first and the last value's key."""
    keys = list(values)
    return keys[0], keys[-1]


def _step(varied: Varied, field: str) -> str:
    first, last = _ends(varied[field])
    return f"{symbol(field)} {varied[field][first]} → {varied[field][last]}"


def _said(varied: Varied, field: str, key: str) -> str:
    return f"{symbol(field)} = {varied[field][key]}"
