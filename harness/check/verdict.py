"""Verdicts: one question that `check` asks about the runs, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Judged = Literal[
    "passed", "short", "below", "above", "stale", "missing", "waiting", "incomparable", "skipped",
]  # fmt: skip
"""
- passed: every seed has a result of the present edition, and it is as required.
- short: it misses the target, is not above the untrained network, or a seed diverged.
- above: it is above the target's band.
- below, above: it is outside the baseline's band or the trace's, or (below) a seed diverged.
- stale: some seed's result is of another edition of the code, of other weights than its
  pre-training now has, or of other data or given weights than now; or the seeds' data differ.
- missing: some seed has no result (absent, interrupted, failed or damaged).
- waiting: a stage without a result, or whose result is stale, is running or has a waiting job.
- incomparable: the baseline is of another protocol or other data, or has no such figure.
- skipped: the baseline's trace is of another seed or another kind of device; nothing follows.
"""

NEW_RUN = "a run that is finished is not trained again: judge seeds that have not run"
"""What to do about an epoch at which a finished run was not monitored."""

ACCEPTED: frozenset[Judged] = frozenset({"passed", "skipped"})
"""What nothing needs to be done about."""


@dataclass(frozen=True)
class Verdict:
    """One target, or one figure of a baseline, compared with the runs of one cell."""

    recipe: str
    """The recipe's or ablation recipe's name."""
    cell: str
    """The ablation's cell; the recipe's name again for a single recipe."""
    metric: str
    """The figure asked for, e.g. "knn/top1 after epoch 100"."""
    against: Literal["target", "baseline", "trace"]
    judged: Judged
    value: float | None
    """Mean over the seeds, in the metric's unit; None unless every seed has it."""
    low: float | None
    """The lowest value that passes; None: unknown."""
    high: float | None
    """The highest value that passes; None: there is no such bound."""
    seeds: int
    says: str
    """The numbers and states in words, for a person."""
    stages: dict[str, float]
    """Seconds of each stage behind it, by id, over all seeds."""
    warning: str = ""
    """What a person should check though it passed: a baseline may be of runs that learnt
    nothing."""

    @property
    def passed(self) -> bool:
        return self.judged == "passed"

    @property
    def needs_a_run(self) -> bool:
        """Whether running what is missing or stale would answer it."""
        return self.judged in ("missing", "stale") and NEW_RUN not in self.says

    @property
    def seconds(self) -> float:
        return sum(self.stages.values())

    @property
    def of(self) -> str:
        """The recipe, with its cell if it has several."""
        return self.cell if self.cell == self.recipe else f"{self.recipe}/{self.cell}"


@dataclass(frozen=True)
class Failure:
    """What could not be judged at all, and why."""

    what: str
    """The recipe or list, as the user named it."""
    message: str
