"""Traces: the losses of a run's first training steps, which later runs of the same seed repeat.

A band for an accuracy is several points wide, and flaws hide in it. Losses of one seed differ only
by rounding, which depends on the number of threads and on the CPU's instructions and grows from
step to step. At the first step that it touches, a flaw changes them by orders of magnitude more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from harness.check.cells import CellRuns, CurrentState, unusable
from harness.check.verdict import Judged, Verdict
from harness.errors import StoreError
from harness.recipe.section import Section
from harness.report.runs import LOSS, Run
from harness.store import journal

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]

BY_STEP = "train/loss by step"
"""What verdicts call a trace."""

FACTOR = 3.0
"""A tolerance is so many times the largest difference that was measured."""

LEAST = 1e-5
"""The smallest tolerance in nats: 20 units in the last place of a loss of 4 in float32. The first
steps of one machine may agree to the bit, those of another need not."""

WIDEST = 0.01
"""A trace ends before a tolerance exceeds this, in nats: beyond it, rounding is as large as what
small flaws change."""


class Rounding(Section):
    """How far losses of the same seed lie apart, though only the arithmetic's order differs."""

    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    reference: Text
    """How the runs were made that the others are compared with."""
    others: Annotated[tuple[Text, ...], Field(min_length=1)]
    """How the others were made, e.g. "OMP_NUM_THREADS=2"; each with all seeds."""
    largest: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
    """For each step from the first: the largest difference up to it, in nats."""


class Trace(Section):
    """The losses of one run's first steps, and how far those of another may lie from them."""

    seed: Annotated[int, Field(ge=0)]
    run: Text
    """The pre-training's id."""
    device: Text
    """Only runs on such a device are compared, e.g. "cpu"."""
    made_with: Text
    """CPU, threads and torch."""
    losses: Annotated[tuple[float, ...], Field(min_length=1)]
    """In nats; the first is of step 1."""
    tolerance: tuple[Positive, ...]
    """For each of these steps, in nats: FACTOR times the rounding, at least LEAST."""
    rounding: Rounding

    def contradictions(self) -> Iterator[tuple[str, str]]:
        n = len(self.losses)
        rows = {"tolerance": len(self.tolerance), "rounding.largest": len(self.rounding.largest)}
        for field, found in rows.items():
            if found != n:
                yield field, f"{found} values for {n} losses"
        pairs = zip(self.tolerance, self.rounding.largest, strict=False)
        for step, (wide, apart) in enumerate(pairs, 1):
            if wide < apart:
                yield "tolerance", f"at step {step} it is below the rounding, {apart:g}"
                return


def losses(run: Run) -> dict[int, float]:
    """The training loss of each step, from the run's journal.

    Raises:
        StoreError: the journal cannot be read.
    """
    folder = run.stages["pretrain"].entry.folder
    return {step: float(loss) for step, _, loss in journal.series(journal.read(folder), LOSS)}


def rounding(
    reference: Sequence[Run], how: str, others: Sequence[tuple[str, Sequence[Run]]], steps: int
) -> Rounding:
    """What runs of the same seeds differ by in their first steps.

    Args:
        reference: a run of each seed.
        how: how these were made.
        others: the same, made otherwise.

    Raises:
        StoreError: a run lacks a step, or has a loss that is not finite.
    """
    base = {run.seed: _first(run, steps) for run in reference}
    apart = [0.0] * steps
    for _, runs in others:
        for run in runs:
            pairs = zip(_first(run, steps), base[run.seed], strict=True)
            for n, (one, other) in enumerate(pairs):
                apart[n] = max(apart[n], abs(one - other))
    return Rounding(
        seeds=tuple(base),
        reference=how,
        others=tuple(name for name, _ in others),
        largest=tuple(_three_digits(each) for each in itertools.accumulate(apart, max)),
    )


def make_trace(run: Run, found: Rounding) -> Trace:
    """The run's trace, as long as its tolerance is at most WIDEST.

    Raises:
        StoreError: the run lacks a step, or rounding exceeds WIDEST at once.
    """
    wide = [_three_digits(max(LEAST, FACTOR * each)) for each in found.largest]
    wide = list(itertools.takewhile(lambda each: each <= WIDEST, wide))
    if not wide:
        raise StoreError(f"{run.name}: rounding changes the first loss by {found.largest[0]:g}")
    return Trace(
        seed=run.seed,
        run=run.stages["pretrain"].id,
        device=run.stages["pretrain"].device or "unknown",
        made_with=_made_with(run),
        losses=tuple(_first(run, len(wide))),
        tolerance=tuple(wide),
        rounding=found.model_copy(update={"largest": found.largest[: len(wide)]}),
    )


def against_trace(
    cell: CellRuns, trace: Trace, data: str, now: CurrentState, refused: str = ""
) -> Verdict:
    """Compare the losses of the cell's run with the trace's seed, step by step.

    The verdict's numbers are those of the first step that is off or, if none is, of the step that
    is nearest to its tolerance. A run that diverged later is compared too.

    Args:
        data: fingerprint of the trace's data.
        refused: why the cell's protocol is another one than the trace's; "" if it is not.
    """
    run = next((run for run in cell.runs if run.seed == trace.seed), None)
    if run is None:
        return _say(cell, None, "skipped", f"not compared: the trace is of seed {trace.seed}")
    if refused:
        return _say(cell, run, "incomparable", refused)
    outcome = run.outcome(LOSS)
    why = unusable(replace(cell, runs=(run,)), LOSS, [outcome], now)
    if why is not None and why[0] != "diverged":
        return _say(cell, run, why[0], why[1])
    if (seen := set(outcome.fingerprints)) != {data}:
        words = f"other data: {', '.join(sorted(seen))}, not the trace's {data}"
        return _say(cell, run, "incomparable", words)
    if (device := run.stages["pretrain"].device or "unknown") != trace.device:
        words = f"not compared: the trace was made on {trace.device}, this run on {device}"
        return _say(cell, run, "skipped", words)
    try:
        found = losses(run)
    except (OSError, StoreError) as error:
        return _say(cell, run, "missing", f"its journal cannot be read ({error})")
    return _compare(cell, run, trace, found)


def _compare(cell: CellRuns, run: Run, trace: Trace, found: dict[int, float]) -> Verdict:
    steps = list(enumerate(zip(trace.losses, trace.tolerance, strict=True), 1))
    ratios = {}
    for step, (wanted, wide) in steps:
        ratio = abs(found.get(step, math.nan) - wanted) / wide
        ratios[step] = ratio if math.isfinite(ratio) else math.inf  # missing, or not a number
    off = [step for step in ratios if ratios[step] > 1]
    shown = off[0] if off else max(ratios, key=ratios.__getitem__)
    wanted, wide = trace.losses[shown - 1], trace.tolerance[shown - 1]
    value = found.get(shown)
    if value is None or not math.isfinite(value):
        words = f"step {shown} is the first that is off: " + (
            "it is not in the journal" if value is None else f"its loss is {value}"
        )
        return _say(cell, run, "below", words)
    here = _made_with(run)
    ours = "" if here == trace.made_with else f"; this run: {here}"
    of = (
        f"loss {value:.7g}, {wanted:.7g} ± {wide:.3g} required "
        f"(seed {trace.seed}, {trace.made_with}){ours}"
    )
    if off:
        words = (
            f"step {shown} is the first that is off, by {value - wanted:+.3g} nats, "
            f"{ratios[shown]:.3g} times its tolerance; {len(off)} of {len(steps)} steps are off; "
        )
    else:
        words = (
            f"{len(steps)} steps as in the trace; nearest to its tolerance is step {shown}, by "
            f"{value - wanted:+.3g} nats; "
        )
    judged: Judged = "passed" if not off else "above" if value > wanted else "below"
    said = _say(cell, run, judged, words + of)
    return replace(said, value=value, low=wanted - wide, high=wanted + wide)


def _say(cell: CellRuns, run: Run | None, judged: Judged, words: str) -> Verdict:
    stages = [run.stages["pretrain"]] if run is not None else []
    return Verdict(
        recipe=cell.recipe,
        cell=cell.cell,
        metric=BY_STEP,
        against="trace",
        judged=judged,
        value=None,
        low=None,
        high=None,
        seeds=len(stages),
        says=words,
        stages={stage.id: stage.seconds for stage in stages},
    )


def _first(run: Run, steps: int) -> list[float]:
    found = losses(run)
    first = [found.get(step, math.nan) for step in range(1, steps + 1)]
    if not all(map(math.isfinite, first)):
        raise StoreError(f"{run.name}: not every one of its first {steps} steps has a finite loss")
    return first


def _made_with(run: Run) -> str:
    attempt = run.stages["pretrain"].attempt
    parts = {}
    for name in ("machine", "packages"):
        found = attempt.get(name)
        parts[name] = found if isinstance(found, dict) else {}
    threads = parts["machine"].get("threads", "?")
    processes = run.stages["pretrain"].processes
    several = f" in each of {processes} processes" if processes > 1 else ""
    torch = parts["packages"].get("torch", "?")
    cpu = parts["machine"].get("cpu") or "unknown CPU"
    return f"{cpu}, {threads} thread{'' if threads == 1 else 's'}{several}, torch {torch}"


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")
