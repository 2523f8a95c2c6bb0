"""The page reports/gate.md, made from the gate's runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.check.baseline import Baseline, CellRecord
from harness.check.compare import ALARM, ON_THE_WAY
from harness.report.statistics import detectable, prediction, summarise

TOP = """\
# The accuracy gate at CPU scale

    moco-harness check recipes/lists/gate.yaml --run

trains MoCo on embedded images in a miniature network and compares one run with a baseline of {n}
seeds (edition {edition}, on {devices}). Each of {k} figures must lie in the prediction interval of
one new run, at a level of {level:.3g} %, so that {pass_:g} % of unchanged runs pass on all of them.
The longest run took {seconds:.0f} s.

Made by `nox -s gate_power` at commit {commit}: baseline, fresh seeds, planted mutants.

## What it can detect

"Smallest change" is the change of the true mean that one run detects with a power of 0.8.

| figure | baseline | tolerance | smallest change |
| --- | --- | --- | --- |
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
        return all(each["judged"] == "passed" for each in self.verdicts)

    @property
    def says(self) -> str:
        """The figures outside their tolerance."""
        off = [each for each in self.verdicts if each["judged"] != "passed"]
        return ", ".join(_off(each) for each in off) or "all within tolerance"

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
    rows = [f"| {each.name} | {'no' if each.passes else 'yes'} | {each.says} |" for each in planted]
    caught = sum(not each.passes for each in planted)
    parts = [
        top + "\n".join(lines),
        f"## Unchanged code\n\n{passed} of {len(fresh)} fresh seeds of the unchanged code pass.",
        *(["\n".join(seeds)] if seeds else []),
        "## Mutants\n\nOne run of one seed each; `mutants.md` names the tests that detect "
        "all of them.",
        "| mutant | detected | by |\n| --- | --- | --- |\n" + "\n".join(rows),
        f"{caught} of {len(planted)} detected.",
    ]
    return "\n\n".join(parts) + "\n"


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
