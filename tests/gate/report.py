"""The page reports/gate.md, made from the gate's runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.check.baseline import Baseline, CellRecord
from harness.check.compare import ALARM, ON_THE_WAY
from harness.check.trace import FACTOR, LEAST, WIDEST, Trace
from harness.check.verdict import ACCEPTED
from harness.report.statistics import detectable, prediction, summarise

TOP = """\
# The accuracy gate at CPU scale

    moco-harness check recipes/lists/gate.yaml --run

trains MoCo on embedded images in a miniature network and compares one run with a baseline of {n}
seeds (edition {edition}, on {devices}). Each of {k} figures must lie in the prediction interval of
one new run, at a level of {level:.3g} %, so at least {pass_:g} % of unchanged runs pass on all.
The first losses of the recipe's own seed must be those of the trace below. The longest run took
{seconds:.0f} s.

Made by `nox -s gate_power` at commit {commit}: baseline, trace, fresh seeds, planted mutants.

## What it can detect

"Smallest change" is the change of the true mean that one run detects with a power of 0.8.

| figure | baseline | tolerance | smallest change |
| --- | --- | --- | --- |
"""


TRACE = """\
## The trace

Losses of seed {seed}, step by step ({made_with}). A flaw changes them at the first step that it
touches; unchanged code changes them only by rounding. That was measured over {seeds} seeds
({first} to {last}), each run with `{reference}` and then with

{others}

"Rounding" is the largest difference of a loss up to that step, in {n} pairs of runs. The tolerance
is {factor:g} times as large, and at least {least:g}. Differences grow from step to step, so the
trace ends before the tolerance exceeds {widest:g}.

| step | loss | rounding | tolerance |
| ---: | ---: | ---: | ---: |
{rows}
"""


@dataclass(frozen=True)
class Asked:
    """One run, held against the baseline."""

    name: str
    """The seed, or the mutant."""
    verdicts: Sequence[dict[str, Any]]
    """As `check --json` writes them."""

    @property
    def passes(self) -> bool:
        return all(each["judged"] in ACCEPTED for each in self.verdicts)

    @property
    def says(self) -> str:
        """What is outside its tolerance."""
        return ", ".join(filter(None, (self.trace, self.figures))) or "all within tolerance"

    @property
    def figures(self) -> str:
        """The figures outside their bands; "" if none."""
        return ", ".join(map(_off, self._failing("baseline")))

    @property
    def trace(self) -> str:
        """The first loss that is not the trace's; "" if none."""
        return ", ".join(each["says"].partition(";")[0] for each in self._failing("trace"))

    def _failing(self, against: str) -> list[dict[str, Any]]:
        found = (each for each in self.verdicts if each["against"] == against)
        return [each for each in found if each["judged"] not in ACCEPTED]

    @property
    def seconds(self) -> float:
        """That the longest chain of stages took."""
        return max((float(each["seconds"]) for each in self.verdicts), default=0.0)


def _short(commit: str) -> str:
    digits, space, rest = (commit or "unknown").partition(" ")
    return digits[:12] + space + rest


def render(baseline: Baseline, fresh: Sequence[Asked], planted: Sequence[Asked]) -> str:
    """The page."""
    (record,) = baseline.cells
    samples = list(_samples(record))
    level, n = ALARM / len(samples), len(record.seeds)
    lines = []
    for name, values in samples:
        found = summarise(values)
        assert found.sd is not None
        digits = 4 if name == "train/loss" else 2
        unit = "nats" if name == "train/loss" else "points"
        band = prediction(found.sd, n, 1, level)
        least = detectable(found.sd, n, 1, level)
        shown = (f"{each:.{digits}f}" for each in (found.mean, found.sd, band, least))
        mean, sd, half, smallest = shown
        lines.append(f"| {name} | {mean} ± {sd} | ± {half} | {smallest} {unit} |")
    top = TOP.format(
        n=n,
        edition=baseline.edition,
        commit=_short(baseline.commit),
        devices=", ".join(baseline.devices),
        k=len(samples),
        level=100 * level,
        pass_=100 * (1 - ALARM),
        seconds=max((each.seconds for each in fresh), default=0.0),
    )
    passed = sum(each.passes for each in fresh)
    seeds = [f"- seed {each.name}: {each.says}" for each in fresh if not each.passes]
    rows = [
        f"| {each.name} | {'no' if each.passes else 'yes'} | {each.trace or 'the same'} | "
        f"{each.figures or 'all within tolerance'} |"
        for each in planted
    ]
    caught = sum(not each.passes for each in planted)
    alone = [each.name for each in planted if each.trace and not each.figures]
    only = f"; by the trace alone: {', '.join(alone)}" if alone else ""
    parts = [
        top + "\n".join(lines),
        *([_trace(record.trace)] if record.trace else []),
        f"## Unchanged code\n\n{passed} of {len(fresh)} fresh seeds of the unchanged code pass.",
        *(["\n".join(seeds)] if seeds else []),
        "## Mutants\n\nOne run of the recipe's own seed each; `mutants.md` names the tests that "
        "detect all of them.",
        "| mutant | detected | losses against the trace | figures |\n| --- | --- | --- | --- |\n"
        + "\n".join(rows),
        f"{caught} of {len(planted)} detected{only}.",
    ]
    return "\n\n".join(parts) + "\n"


def _trace(trace: Trace) -> str:
    found = trace.rounding
    columns = zip(trace.losses, found.largest, trace.tolerance, strict=True)
    rows = [
        f"| {n} | {loss:.6f} | {apart:.1e} | {wide:.1e} |"
        for n, (loss, apart, wide) in enumerate(columns, 1)
    ]
    return TRACE.format(
        seed=trace.seed,
        made_with=trace.made_with,
        seeds=len(found.seeds),
        first=found.seeds[0],
        last=found.seeds[-1],
        reference=found.reference,
        others="\n".join(f"- `{each}`" for each in found.others),
        n=len(found.seeds) * len(found.others),
        factor=FACTOR,
        least=LEAST,
        widest=WIDEST,
        rows="\n".join(rows),
    ).rstrip()


def _samples(record: CellRecord) -> Iterator[tuple[str, Sequence[float]]]:
    """Every figure that `check` compares, with the seeds' values."""
    for sample in record.metrics:
        yield sample.metric, sample.values
        curve = record.curve
        if sample.metric == "knn/top1" and curve is not None and len(curve.epochs) > 1:
            before = [row[:-1] for row in curve.values]
            yield ON_THE_WAY, [sum(row) / len(row) for row in before]


def _off(verdict: dict[str, Any]) -> str:
    if verdict["value"] is None:
        return f"{verdict['metric']}: {verdict['says']}"
    middle = (verdict["low"] + verdict["high"]) / 2
    digits = 4 if verdict["metric"] == "train/loss" else 2
    return f"{verdict['metric']} {verdict['value'] - middle:+.{digits}f}"
