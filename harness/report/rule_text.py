"""The decision rule in sentences, for readers of a report.

Every number is read from the constant in the code: see `harness.report.decision_rule`,
`preconditions`, `sequential_design` and `statistics`.
"""

from __future__ import annotations

from harness.recipe.method import TIME_CONSTANTS
from harness.report.decision_rule import DIRECTIONS
from harness.report.preconditions import SHARE, part
from harness.report.sequential_design import FEWEST
from harness.report.statistics import CONFIDENCE, POWER

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def rule_sentences() -> tuple[str, ...]:
    """The rule by which claims are judged, one paragraph each."""
    return (
        "A claim is judged when every seed of its cells has a result with the table's edition "
        f"and data. It is testable only if a momentum m has {TIME_CONSTANTS} / (1 − m) steps or "
        f"more, K is at most {part(SHARE)} of the images, and each compared cell beats the "
        "untrained network (unless the claim is that it fails or leaks). Otherwise it is not "
        "testable at this scale.",
        "A claim consists of comparisons “a is above b by more than a threshold in points”, with "
        "differences paired by seed. Beats: the threshold is the margin. Fails: the cell does not "
        "beat the untrained network. Ordering: each cell is above the next; threshold 0. "
        "Monotone: each cell is above the previous one, with threshold minus the margin, and the "
        "last above the first by the margin. Plateau: each pair in both directions, with "
        "threshold minus the margin (an equivalence test: two one-sided tests). Leak: its pretext "
        "accuracy is above the other's, and the other's kNN above its own, by the margin.",
        "Reproduced: in every comparison the whole interval is on the claim's side of the "
        "threshold. Not reproduced (at the scale of the printed numbers: refuted): in one "
        "comparison the whole interval is on the other side. Otherwise undecided, with an "
        f"estimate of the seeds needed, from the deviation so far and for a power of {POWER:g}, "
        "or the next planned analysis with that many. One seed has no interval, so only “looks "
        "reproduced” or “looks not reproduced” is possible.",
        "Intervals are t intervals, chosen so that the probability of any wrong verdict in the "
        f"table is at most alpha: {part(DIRECTIONS)} of it for each direction, corrected over the "
        "table's testable claims by Holm's method, and divided by the number of a claim's "
        "comparisons if one of them decides. If seeds are added until claims are decided, alpha "
        f"is divided equally among the planned analyses with {_count(FEWEST)} seeds or more.",
        "A seed that diverged counts as a failure: every finished seed beats it. If some seeds "
        "diverged and others finished, there is a verdict only if both agree. A linear probe that "
        "diverged says nothing about the pre-training.",
        "± is the sample standard deviation over seeds (n − 1); differences to the untrained "
        f"network are paired by seed, with their {100 * CONFIDENCE:g} % t interval, uncorrected. "
        "Stale and unfinished runs are excluded from means, differences and verdicts.",
    )


def _count(n: int) -> str:
    return COUNTS[n] if n < len(COUNTS) else str(n)
