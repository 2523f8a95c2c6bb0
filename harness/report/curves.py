"""Read a run's curves from its journal: thinned, for one protocol, with incomplete lines
counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.errors import StoreError
from harness.recipe.schema import Recipe
from harness.recipe.section import plain
from harness.spec.registry import task
from harness.store import atomic, journal
from harness.store.layout import StageFolder, why_impossible
from harness.store.ledger import Entry

T = TypeVar("T")

Point = tuple[float, float]
"""(epoch, value)"""

POINTS = 200
"""A training curve is thinned to at most this many points, by the means of equal blocks."""

LINES = 600_000
"""Total lines read for a table. Of a longer journal every n-th line is read, and every monitored
one. The runs share this number, so that 500 of them take seconds."""

FEWEST, MOST = 1000, 150_000
"""Limits of the lines per run, for any number of runs. More than the maximum adds nothing to a
curve of POINTS."""

MONITORED = b'"knn/top1"'


@dataclass(frozen=True)
class Curves:
    """The curves that a pre-training measured."""

    loss: tuple[Point, ...] = ()
    """Training loss over epochs, thinned; in nats."""
    pretext: tuple[Point, ...] = ()
    """Accuracy of the pretext task over epochs, thinned; in percent."""
    knn: tuple[Point, ...] = ()
    """Monitored kNN top-1 over epochs, in percent, at the protocol that the recipe asks for."""
    """Monitored kNN top-1 over epochs, in percent, at the recipe's protocol only."""
    further: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    """Each other metric that pre-training measures at the end of epochs, if it has a label."""
    warnings: tuple[str, ...] = ()


def further() -> tuple[str, ...]:
    """The names of `Curves.further`."""
    declared = task("pretrain").metrics
    return tuple(each.name for each in declared if each.axis == "epoch" and each.label)


def share(runs: int) -> int:
    """How many journal lines to read per run, for this number of runs."""
    return min(MOST, max(FEWEST, LINES // max(1, runs)))


def read_curves(entry: Entry, recipe: Recipe, lines: int = MOST) -> Curves:
    """The curves of a pre-training stage; an error in reading becomes a warning.

    Args:
        lines: about how many lines of each attempt's journal to read; 0: none of it.
    """
    folder = entry.folder
    if not lines or entry.state == "damaged":  # the journal of a damaged stage is not reliable
        return Curves()
    try:
        records, torn = _read(folder, lines, ended=entry.done)
    except (OSError, StoreError) as error:
        return Curves(warnings=(f"{folder.id}: its journal cannot be read ({error})",))
    warnings = []
    if torn:
        cut = "1 line of its journal is" if torn == 1 else f"{torn} lines of its journal are"
        warnings.append(f"{folder.id}: {cut} cut or unreadable, and omitted from its curves")
    if not records and entry.done and recipe.optim.epochs:
        warnings.append(f"{folder.id}: no journal, so no curves")
    said: Any = (entry.result or {}).get("step")
    last = max((record["step"] for record in records), default=said)
    if entry.state == "finished" and is_number(said) and last < said:
        warnings.append(f"{folder.id}: its journal ends at step {last} of {said}")
    monitored = [record for record in records if "knn/top1" in record]
    protocol = recipe.monitor
    wanted = _deciding(plain(protocol)) if protocol is not None else ()
    same = [r for r in monitored if _deciding(r.get("protocol")) in (wanted, None)]
    if others := len(monitored) - len(same):
        values = "value" if others == 1 else "values"
        warnings.append(
            f"{folder.id}: {others} monitored kNN {values} with another protocol omitted from its "
            "curve"
        )
    return Curves(
        thin(_points(records, "train/loss")),
        thin(_points(records, "pretext/top1")),
        tuple(_points(same, "knn/top1")),
        {name: tuple(points) for name in further() if (points := _points(records, name))},
        tuple(warnings),
    )


def _read(folder: StageFolder, lines: int, *, ended: bool) -> tuple[list[journal.Record], int]:
    """(records, incomplete lines). A killed attempt normally leaves its last line incomplete: this
    counts only if the attempt continued to a result."""
    attempts, torn = [], 0
    paths = folder.attempts()
    for path in paths:
        try:
            data = atomic.content(path / "metrics.jsonl")
        except FileNotFoundError:
            continue
        chosen = _sample(data.split(b"\n"), lines)
        records = journal.parse_all(chosen)
        cut = chosen[-1:] != [b""] and journal.parse(chosen[-1]) is None
        killed = cut and not (ended and path == paths[-1])
        torn += sum(map(bool, chosen)) - len(records) - killed
        attempts.append(records)
    return journal.merge(attempts), torn


def _sample(lines: list[bytes], most: int) -> list[bytes]:
    """All lines; of more than `most`, every n-th one, the monitored ones and the last, complete or
    not."""
    nth = math.ceil(len(lines) / most)
    if nth == 1:
        return lines
    end = len(lines) - 2
    names = (MONITORED, *(f'"{name}"'.encode() for name in further()))
    return [
        line
        for n, line in enumerate(lines)
        if n % nth == 0 or n >= end or any(name in line for name in names)
    ]


def _deciding(said: Any) -> tuple[Any, ...] | None:
    """The settings that decide a monitored value: the reported k, not those that show sensitivity;
    and the data, where they are not the run's own."""
    if not isinstance(said, dict):
        return None
    k = said.get("k")
    first = k[0] if isinstance(k, list) and k else k
    rest = (said.get(name) for name in ("temperature", "layer", "queries", "data"))
    return first, *rest


def _points(records: Iterable[journal.Record], metric: str) -> list[Point]:
    return [
        (float(epoch), float(value))
        for _, epoch, value in journal.series(records, metric)
        if is_number(epoch) and not why_impossible(metric, value)
    ]


def thin(points: Sequence[Point], most: int = POINTS) -> tuple[Point, ...]:
    """At most `most` points: the means of consecutive blocks of one size (the last is shorter)."""
    if len(points) <= most:
        return tuple(points)
    return tuple(
        (math.fsum(x for x, _ in part) / len(part), math.fsum(y for _, y in part) / len(part))
        for part in blocks(points, most)
    )


def blocks(sequence: Sequence[T], most: int) -> list[Sequence[T]]:
    """At most `most` consecutive blocks of one size (the last is shorter)."""
    size = max(1, math.ceil(len(sequence) / most))
    return [sequence[i : i + size] for i in range(0, len(sequence), size)]


def is_number(value: object) -> bool:
    """Whether `value` is a finite number (True and False are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
