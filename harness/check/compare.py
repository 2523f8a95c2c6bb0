"""Compare runs with a baseline: each figure with the band where unchanged runs should lie.

A band is the two-sided prediction interval (Student's t) of the mean over the new seeds, so it
accounts for the small numbers of seeds. If a call makes k comparisons, each has the level 2 % / k
(Bonferroni): without any change, all pass in 98 % of the calls.

A curve's epochs depend on each other, so a curve counts as one number: kNN's mean over the epochs
before the last. A run that learns later has a lower mean, though its last value may be correct.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.check.baseline import (
    DIGITS,
    Baseline,
    CellRecord,
    measured,
    own_fingerprint,
    protocol,
)
from harness.check.cells import CellRuns, CurrentState, Measured, Unusable, seconds, unusable
from harness.check.trace import Trace, against_trace
from harness.check.verdict import NEW_RUN, Judged, Verdict
from harness.report.protocol_lines import measured_words
from harness.report.runs import LOSS, Run, RunOutcome
from harness.report.statistics import Summary, prediction, summarise

ALARM = 0.02
"""Probability that a call finds a figure outside its band although nothing has changed."""

ON_THE_WAY = "knn/top1 during training"
"""kNN's mean over the monitored epochs before the last."""


@dataclass(frozen=True)
class Pair:
    """A cell, and the baseline to compare it with."""

    cell: CellRuns
    baseline: Baseline
    called: str
    """The baseline's file."""


@dataclass(frozen=True)
class _Question:
    """One figure of one cell."""

    pair: Pair
    metric: Measured
    under: str = ""
    """The further task that measures it; "": a section of its own."""
    way: bool = False
    """The curve before its end, instead of the last value."""
    refused: str = ""
    """Why it cannot be compared."""

    @property
    def name(self) -> str:
        own = ON_THE_WAY if self.way else self.metric
        return f"{self.under}: {own}" if self.under else own

    @property
    def record(self) -> CellRecord:
        found = self.pair.baseline.cell(self.pair.cell.recipe, self.pair.cell.cell)
        assert found is not None
        return found


def against_baselines(pairs: Sequence[Pair], now: CurrentState) -> list[Verdict]:
    """Compare every figure that the baselines have for the cells with the cells' runs, and the
    first steps with a baseline's trace. A trace is no statistic and takes no share of ALARM."""
    asked = [_comparable(each, now) for pair in pairs for each in _questions(pair)]
    level = ALARM / max(1, sum(not question.refused for question in asked))
    traced = [_traced(pair, now) for pair in pairs if _trace(pair) is not None]
    return [_judge(question, level, now) for question in asked] + traced


def comparisons(verdicts: Sequence[Verdict]) -> int:
    """How many comparisons share the level."""
    return sum(v.against == "baseline" and v.judged != "incomparable" for v in verdicts)


def _trace(pair: Pair) -> Trace | None:
    record = pair.baseline.cell(pair.cell.recipe, pair.cell.cell)
    return record.trace if record is not None else None


def _traced(pair: Pair, now: CurrentState) -> Verdict:
    question = _Question(pair, LOSS)
    record = question.record
    assert record.trace is not None
    return against_trace(pair.cell, record.trace, record.data, now, _other_protocol(question))


def _other_protocol(question: _Question) -> str:
    """Why the baseline's figure is of another protocol; "" if it is not."""
    sample = question.record.sample(question.metric, question.under)
    recipe = question.pair.cell.runs[0].recipe
    if sample is None or sample.stage == protocol(recipe, question.metric, question.under):
        return ""
    return f"{question.pair.called} has another protocol, as the recipe has changed since"


def _questions(pair: Pair) -> list[_Question]:
    recipe = pair.cell.runs[0].recipe
    record = pair.baseline.cell(pair.cell.recipe, pair.cell.cell)
    if record is None:
        why = f"{pair.called} has no such cell; write it again with check --write-baseline"
        return [_Question(pair, "knn/top1", refused=why)]
    asked: list[_Question] = []
    for metric, under in measured(recipe):
        sample = record.sample(metric, under)
        if sample is None:
            why = f"{pair.called} has no such metric; write it again with check --write-baseline"
            asked.append(_Question(pair, metric, under, refused=why))
            continue
        why = _other_protocol(_Question(pair, metric, under))
        asked.append(_Question(pair, metric, under, refused=why))
        if (
            metric == "knn/top1"
            and not under
            and record.curve is not None
            and len(record.curve.epochs) > 1
        ):
            asked.append(_Question(pair, metric, way=True, refused=why))
    still = {(question.metric, question.under) for question in asked} | {(LOSS, "")}
    for each in record.metrics:
        if (each.metric, each.task or "") not in still:
            why = f"{pair.called} has it, and the recipe does not measure it any more"
            asked.append(_Question(pair, each.metric, each.task or "", refused=why))
    return asked


def _comparable(question: _Question, now: CurrentState) -> _Question:
    """The question, refused if the results are of other data. What is refused takes no share of
    ALARM."""
    if question.refused:
        return question
    record = question.record
    outcomes, why = _outcomes(question, now)
    if why is not None and why[0] != "diverged":
        return question
    sample = record.sample(question.metric, question.under)
    seen = {print_ for outcome in outcomes for print_ in outcome.fingerprints}
    before = {record.data}
    own = own_fingerprint(outcomes)  # a task has none whose pre-training diverged
    if sample is not None and sample.data is not None and own and seen == before:
        seen, before = {own}, {sample.data}
    if seen == before:
        return question
    words = f"other data: {', '.join(sorted(seen))}, not the baseline's {', '.join(before)}"
    return replace(question, refused=words)


def _outcomes(question: _Question, now: CurrentState) -> tuple[list[RunOutcome], Unusable | None]:
    """The figure of each run, and why they give no number; see `unusable`."""
    cell = question.pair.cell
    outcomes = [run.outcome(question.metric, question.under) for run in cell.runs]
    return outcomes, unusable(cell, question.metric, outcomes, now, question.under)


def _judge(question: _Question, level: float, now: CurrentState) -> Verdict:
    if question.refused:
        return _say(question, "incomparable", question.refused)
    cell, record = question.pair.cell, question.record
    outcomes, why = _outcomes(question, now)
    if why is not None:
        return _say(question, "below" if why[0] == "diverged" else why[0], why[1])
    sample = record.sample(question.metric, question.under)
    assert sample is not None
    values = sample.values
    if question.way:
        epochs = _common(record, cell.runs)
        if not epochs:
            return _say(question, "missing", _unmonitored(record))
        values = _before_the_end(record, epochs)
        outcomes = [_on_the_way(o, run, epochs) for o, run in zip(outcomes, cell.runs, strict=True)]
    after = [outcome.value for outcome in outcomes if outcome.value is not None]
    low = (
        ""
        if question.way or question.metric == LOSS
        else cell.not_above(question.metric, outcomes, question.under, now.editions)
    )
    return _weigh(question, summarise(values), summarise(after), level, low)


def _weigh(question: _Question, before: Summary, after: Summary, level: float, low: str) -> Verdict:
    """The verdict; `low`: that the figure is not above the untrained network's, in words."""
    assert before.sd is not None
    half = prediction(before.sd, before.n, after.n, level) + 10.0**-DIGITS  # the file's are rounded
    band = round(before.mean - half, 9), round(before.mean + half, 9)
    judged: Judged = (
        "below" if after.mean < band[0] else "above" if after.mean > band[1] else "passed"
    )
    digits = 4 if question.metric == LOSS else 2
    seeds = "1 seed" if after.n == 1 else f"{after.n} seeds"
    words = [
        f"{after.mean:.{digits}f} ({seeds})",
        f"{before.mean:.{digits}f} ± {half:.{digits}f} required ({before.n} seeds of edition "
        f"{_edition(question)})"
        f"{measured_words(question.pair.cell.runs, question.metric, question.under)}",
    ]
    if low:
        words.append(low)
    if own := _own(question):
        words.append(
            f"seed {', '.join(map(str, own))}: the same seeds as in the baseline, so no new "
            "evidence"
        )
    said = _say(question, judged, "; ".join(words), after.mean, band)
    return replace(said, warning=f"it is {low}") if low and judged == "passed" else said


def _own(question: _Question) -> list[int]:
    """Seeds of the runs from which the baseline was made."""
    edition = (_edition(question),)
    seeds = question.record.seeds
    return [
        run.seed
        for run in question.pair.cell.runs
        if run.seed in seeds and run.stages["pretrain"].editions == edition
    ]


def _edition(question: _Question) -> str:
    """That of the pre-trainings in the baseline."""
    return question.record.edition or question.pair.baseline.edition


def _say(
    question: _Question,
    judged: Judged,
    words: str,
    value: float | None = None,
    band: tuple[float, float] | tuple[None, None] = (None, None),
) -> Verdict:
    cell = question.pair.cell
    return Verdict(
        recipe=cell.recipe,
        cell=cell.cell,
        metric=question.name,
        against="baseline",
        judged=judged,
        value=value,
        low=band[0],
        high=band[1],
        seeds=len(cell.runs),
        says=words,
        stages=seconds(cell, question.metric, question.under),
    )


def _common(record: CellRecord, runs: Sequence[Run]) -> list[float]:
    """The epochs before the baseline's last at which it and all runs were monitored."""
    assert record.curve is not None
    seen = [{epoch for epoch, _ in run.curves.knn} for run in runs]
    return [epoch for epoch in record.curve.epochs[:-1] if all(epoch in own for own in seen)]


def _before_the_end(record: CellRecord, epochs: Sequence[float]) -> tuple[float, ...]:
    assert record.curve is not None
    columns = [record.curve.epochs.index(epoch) for epoch in epochs]
    return tuple(_mean([row[n] for n in columns]) for row in record.curve.values)


def _on_the_way(outcome: RunOutcome, run: Run, epochs: Sequence[float]) -> RunOutcome:
    points = dict(run.curves.knn)
    return replace(outcome, value=_mean([points[epoch] for epoch in epochs]))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _unmonitored(record: CellRecord) -> str:
    assert record.curve is not None
    epochs = ", ".join(f"{epoch:g}" for epoch in record.curve.epochs[:-1][:5])
    return (
        f"not monitored after any of the baseline's epochs, {epochs}; set watch.knn_epochs to "
        f"match, and {NEW_RUN}"
    )
