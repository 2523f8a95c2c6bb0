"""What a valid result is: one of its own stage, with possible values that agree with its journal.

`harness.store.ledger` applies this to every stage that is done, so plan, run, status, report,
check, baselines and publish share one rule. It knows no task's metrics by name. A metric that the
journal has at each step is reported by its mean over the last epoch, any other by its last value.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.spec.registry import axis_of
from harness.store import atomic, journal
from harness.store.attempt import as_marks, marks
from harness.store.attempt_notes import why_noted_otherwise
from harness.store.layout import StageFolder, is_accuracy, shown, why_impossible

NEAR = 1e-9
"""Relative difference allowed between a value and the journal's: rounding in another order."""

FIRST = 64
"""Lines at the journal's end that are read first; eight times as many if these are too few."""

_AT_ONCE = 1 << 20
_FIGURE = rb'"[\w./-]+/%s":([-+.\dEe]+)'
_SEED = re.compile(r"-s(\d+)\.([a-z][a-z0-9_=]*)-[0-9a-f]+$")
"""Seed and task at the end of a stage's id; a recipe's name may contain the like of a seed."""


def why_invalid(folder: StageFolder, result: Mapping[str, Any], attempts: Sequence[str]) -> str:
    """Why a well-formed result is not its stage's, or disagrees with its journal; "" if it is valid
    as far as this can be checked.

    A journal is checked against the lengths and checksums recorded when the stage ended; in older
    records, at its last checkpoint; without either, only its structure is checked.

    Args:
        folder: the stage's.
        result: the content of its result.json.
        attempts: the names of its attempts, oldest first.

    Raises:
        Unreadable: a file cannot be read.
    """
    where = folder.path / "result.json"
    if (owner := result.get("stage", folder.id)) != folder.id:
        return f"{where}: a copy of {shown(owner)}; move the folder away and run again"
    parts = dict(_parts(folder, attempts))
    why = _why_altered(folder, result, parts)
    if not why and parts:
        why = _why_contradicted(result, parts) or why_noted_otherwise(folder, result)
        why = f"{where}: {why}" if why else ""
    return f"{why}; restore the old file, or move the folder away and run again" if why else ""


def copies(results: Mapping[str, tuple[Mapping[str, Any] | None, Mapping[str, Any]]]) -> Copies:
    """Stages that share what must be unique, by id, with the stages they share it with.

    A checkpoint's digest covers its stage's id, so two trainings never have the same digest. Two
    seeds never have the same losses.

    Args:
        results: by id, stage.json (None: unknown) and result.json. A stage with another stage's
            stage.json is already known as a copy and proves nothing about the others.
    """
    owners: dict[tuple[Any, ...], list[str]] = {}
    for id_, (described, result) in results.items():
        about = described or {}
        if about.get("id", id_) != id_:
            continue
        weights, values, named = result.get("weights"), result.get("values"), _SEED.search(id_)
        if isinstance(weights, str) and weights and about.get("parent") is None:
            owners.setdefault(("weights", weights), []).append(id_)
        if named and isinstance(values, dict) and any(map(_is_loss, values)):
            owners.setdefault(("losses", named[2], *sorted(values.items())), []).append(id_)
    found: Copies = {}
    for (what, *_), ids in owners.items():
        for id_ in ids:
            # one seed may have the same losses under two names
            others = [each for each in ids if each != id_]
            others = [each for each in others if what == "weights" or _seed(each) != _seed(id_)]
            if others:
                found.setdefault(id_, (what, tuple(others)))
    return found


MOST_NAMED = 3
"""Stages that a message about a copy names; for more it gives their number."""

Copies = dict[str, tuple[str, tuple[str, ...]]]
"""By a stage's id: what it shares, and the ids of the stages that share it."""


def why_copy(what: str, others: Iterable[str]) -> str:
    """The message for a stage that has `what` in common with `others`."""
    named = list(others)
    rest = f" and {len(named) - MOST_NAMED:,} more" if len(named) > MOST_NAMED else ""
    return f"has the same {what} as {', '.join(named[:MOST_NAMED])}{rest}: one is a copy"


def _is_loss(name: object) -> bool:
    return isinstance(name, str) and name.partition("@")[0].endswith("/loss")


def _seed(id_: str) -> str:
    found = _SEED.search(id_)
    return found[1] if found else ""


def _parts(folder: StageFolder, attempts: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The bytes of each attempt's journal, if it has one. Uses os.open: fast for thousands of
    stages."""
    for name in attempts:
        path = f"{folder.path}/attempts/{name}/metrics.jsonl"
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                parts = [os.read(file, _AT_ONCE)]
                while parts[-1]:
                    parts.append(os.read(file, _AT_ONCE))
            finally:
                os.close(file)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise atomic.unread(error, Path(path)) from error
        yield name, b"".join(parts)


# ---- the journal itself


def _why_altered(folder: StageFolder, result: Mapping[str, Any], parts: Mapping[str, bytes]) -> str:
    """Why the journal differs from the one with which the stage ended."""
    noted = result.get("journal")
    if noted is None:
        return _why_unsound(folder, result, parts, _since_checkpoint(folder, result, parts))
    ended = as_marks(noted)
    if ended is None:
        return f"{folder.path / 'result.json'}: journal is {shown(noted)}, no checksums"
    changed = [
        name
        for name in dict.fromkeys([*ended, *parts])
        if ended.get(name, (0, 0)) != journal.mark(parts.get(name, b""))
    ]
    return _why_unsound(folder, result, parts, changed[0]) if changed else ""


def _since_checkpoint(
    folder: StageFolder, result: Mapping[str, Any], parts: Mapping[str, bytes]
) -> str:
    """The attempt whose journal no longer starts as recorded at the last step's checkpoint."""
    step = result.get("step")
    if type(step) is not int:
        return ""
    noted = marks(folder, step)
    return next(
        (
            name
            for name, (length, crc) in noted.items()
            if journal.mark(parts.get(name, b"")[:length]) != (length, crc)
        ),
        "",
    )


def _why_unsound(
    folder: StageFolder, result: Mapping[str, Any], parts: Mapping[str, bytes], changed: str
) -> str:
    """What is wrong in the journal's structure, else that the attempt `changed` was changed; or
    ""."""
    where = folder.path / "attempts"
    found: list[list[journal.Record]] = []
    cut = 0
    for name, data in parts.items():
        lines = [line for line in data.split(b"\n") if line]
        records = journal.parse_all(lines)
        cut += len(lines) - len(records)
        if why := _why_disordered(records) or _why_impossible(records, result):
            return f"{where / name / 'metrics.jsonl'}: {why}"
        found.append(records)
    merged = journal.merge(found)
    newest = where / (changed or next(reversed([*parts]), "")) / "metrics.jsonl"
    if why := "" if cut else _why_lacking(merged, _begun(result)):
        return f"{newest}: {why}"
    return f"{newest}: changed since it was written" if changed else ""


def _why_disordered(records: Sequence[journal.Record]) -> str:
    """Why these lines are not one attempt's: steps never decrease, and none is measured twice."""
    measured: set[str] = set()
    for before, after in pairwise(records):
        if after["step"] > before["step"]:
            measured = set()
            continue
        if after["step"] < before["step"]:
            return f"step {after['step']} comes after step {before['step']}"
        measured |= _metrics(before)
        if measured & _metrics(after):
            return f"step {after['step']} occurs twice"
    return ""


def _metrics(record: journal.Record) -> set[str]:
    return {name for name in record if "/" in name}


def _why_impossible(records: Sequence[journal.Record], result: Mapping[str, Any]) -> str:
    """Values that no run can measure; a diverged run may end with NaN or infinity, its result."""
    end = records[-1]["step"] if records and result.get("state") == "diverged" else -1
    for name in sorted({name for record in records for name in _metrics(record)}):
        column = [(record["step"], record[name]) for record in records if name in record]
        values = [value for _, value in column]
        if set(map(type, values)) <= {int, float} and all(v == v for v in values):  # no NaN
            column = [column[values.index(f(values))] for f in (min, max)]  # represent all values
        for step, value in column:
            why = why_impossible(name, value)
            if why and (step != end or not isinstance(value, float) or math.isfinite(value)):
                return f"{why} (step {step})"
    return ""


def before_last_epoch(record: journal.Record, result: Mapping[str, Any]) -> int:
    """The step after which the last epoch of the stage begins, by its last `record`."""
    last: int = record["step"]
    return last - min(_per_epoch(record), max(1, last - _begun(result)))


def _begun(result: Mapping[str, Any]) -> int:
    """The step of another run from which the stage continued; 0 if it started from scratch."""
    said = result.get("continues")
    step = said.get("step") if isinstance(said, Mapping) else 0
    return step if type(step) is int and step > 0 else 0


def _why_lacking(records: Sequence[journal.Record], begun: int) -> str:
    """Which steps have no line, judged by the distance between the other lines."""
    steps = {record["step"] for record in records} - {0}
    if len(steps) == max(steps, default=begun) - begun and not any(
        "steps" in record for record in records
    ):
        return ""
    spans = sorted({(r["step"] - _steps(r), r["step"]) for r in records})
    covered, holes = begun, []
    for before, end in spans:
        holes.append((max(0, before - covered), covered, before + 1))
        covered = max(covered, end)
    usual, often = Counter(hole for hole, _, _ in holes).most_common(1)[0] if holes else (0, 0)
    if len(holes) < 4 or 2 * often <= len(holes):
        return ""
    more = ((before, after) for hole, before, after in holes if hole > usual)
    return next((f"no line between steps {before} and {after}" for before, after in more), "")


LAST_EPOCH = "last_epoch"
"""In a published line that begins before the last epoch: the means over its steps in that epoch,
and their number."""


def _steps(record: journal.Record) -> int:
    """How many steps a line covers; more than one in published records."""
    steps = record.get("steps", 1)
    return steps if type(steps) is int and steps > 0 else 1


# ---- the result against the journal


def _why_contradicted(result: Mapping[str, Any], parts: Mapping[str, bytes]) -> str:
    """Which of the result's numbers disagrees with the journal, with both values."""
    if result.get("state") != "finished":
        return ""
    values: Mapping[str, Any] = result.get("values", {})
    records = _end(list(parts.values()), set(values))
    if not records:
        return ""
    sealed = result.get("journal") is not None
    last, step = records[-1]["step"], result.get("step", records[-1]["step"])
    if step != last:
        if not sealed and type(step) is int and last < step:
            return ""  # truncated: the last epoch's values are unknown
        return f"step is {shown(step)}, but its journal ends at {last}"
    window = last - before_last_epoch(records[-1], result)
    for name, value in values.items():
        found = _said(name, records, window)
        if not found and sealed and not any(name in record for record in records):
            return f"{name} is {shown(value)}, but its journal has none"
        near = (slack + NEAR * max(1.0, abs(said)) >= abs(value - said) for said, slack in found)
        if found and not any(near):
            said = shown(found[0][0])
            return f"{name} is {shown(value)}, but its journal has {said} (step {last})"
    seen = {name for record in records if record["step"] == last for name in record}
    lacking = sorted(filter(is_accuracy, seen))
    if sealed and not values and lacking:
        return f"{lacking[0]} is missing, but its journal has it (step {last})"
    return _why_unmeasured(result, parts)


def _end(parts: list[bytes], wanted: set[str]) -> list[journal.Record]:
    """The journal's last records: the last epoch, and further back until each of `wanted`
    appears."""
    newest = next((n for n in range(len(parts) - 1, -1, -1) if parts[n].strip()), 0)
    lines = [line for line in parts[newest].split(b"\n") if line] if parts else []
    count = FIRST
    while count < len(lines):
        records = journal.parse_all(lines[-count:])
        if records and wanted <= {name for record in records for name in record}:
            before = records[-1]["step"] - _per_epoch(records[-1])
            if records[0]["step"] <= before:
                return records
        count *= 8
    return journal.merge(journal.parse_all(part.split(b"\n")) for part in parts)


def _per_epoch(record: journal.Record) -> int:
    """Steps per epoch, from the record's step and epoch; 1 if it has no epoch."""
    epoch = record.get("epoch")
    good = isinstance(epoch, int | float) and not isinstance(epoch, bool) and 0 < epoch < 1e300
    middle = record["step"] - (_steps(record) - 1) / 2  # a published block has its mean epoch
    return max(1, round(middle / epoch)) if good and epoch else 1


def _said(name: str, records: Sequence[journal.Record], window: int) -> list[tuple[float, float]]:
    """Values of a metric that agree with the journal, each with its tolerance; [] if unknown.

    Args:
        window: steps of the last epoch. An evaluation, and a metric with lines for fewer than half
            of them, is reported by its last value. One with some lines missing gives []: lines were
            lost. If an epoch is one or two steps, either rule may apply.
    """
    own = [r for r in records if not why_impossible(name, r.get(name))]
    if not own:
        return []
    last = float(own[-1][name]), 0.0
    if axis_of(name) == "epoch":  # an evaluation, which a short run makes as often as a step
        return [last]
    begin = records[-1]["step"] - window
    within = [r for r in own if r["step"] > begin]
    inside = [min(_steps(r), r["step"] - begin) for r in within]
    weight = sum(inside)
    if 2 * weight <= window:
        return [last]
    if weight < window - 1:
        return []
    mean, open_ = 0.0, 0.0
    for n, record in zip(inside, within, strict=True):
        value = record[name]
        if n < _steps(record):  # a published block that starts in the epoch before the last
            said = record.get(LAST_EPOCH)
            part = said.get(name) if isinstance(said, Mapping) and said.get("steps") == n else None
            if part is None or why_impossible(name, part):
                open_ += max(n, _steps(record) - n) * abs(value)  # all of it lies on one side
            else:
                value = part
        mean += n * value / weight
    if window >= 10_000:  # an epoch with four digits leaves one step uncertain
        open_ += max(abs(r[name]) for r in within)
    return [(mean, open_ / weight)] if window > 2 else [(mean, open_ / weight), last]


def _why_unmeasured(result: Mapping[str, Any], parts: Mapping[str, bytes]) -> str:
    """Which metric measured from time to time, such as speed, has a result (its median) that is
    none of the values in the last attempt's journal."""
    attempt = result.get("attempt")
    data = next((data for name, data in parts.items() if int(name) == attempt), b"")
    for name, value in result.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        key = name.encode(errors="surrogatepass")  # JSON can name half a character
        if not number or b'/%s":' % key not in data or b'"steps":' in data:
            continue
        seen = set(map(float, re.findall(_FIGURE % re.escape(key), data)))
        if seen and value not in seen:
            low, high = min(seen), max(seen)
            return f"{name} is {shown(value)}, but its journal has {low:g} to {high:g}"
    return ""
