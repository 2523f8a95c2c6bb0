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
        "A claim is judged once every seed of the cells it rests on has a result on the table's "
        f"edition and data. Before it can be, a momentum m needs {TIME_CONSTANTS} / (1 − m) steps, "
        f"K may be at most {part(SHARE)} of the images, and a cell must beat the untrained "
        "network before it is compared (not where the claim is that it fails or leaks); else the "
        "claim is not testable at this scale.",
        "A claim is made of comparisons “a is above b by more than so many points”, over "
        "differences paired by seed. Beats: by the margin. Fails: the cell does not beat the "
        "untrained network. Ordering: each over the next, by more than 0. Monotone: each over the "
        "one before by more than minus the margin, and the last over the first by the margin. "
        "Plateau: each pair, both ways, by more than minus the margin (an equivalence test: two "
        "one-sided tests). Leak: its pretext accuracy over the other's, and the other's kNN over "
        "its, by the margin.",
        "Reproduced: the whole interval of every comparison is on the claim's side. Not reproduced "
        "(refuted, at the scale of the printed numbers): the whole interval of one comparison is "
        "on the wrong side. Else undecided, with an estimate of the seeds that would decide it, "
        f"from the deviation so far and for a power of {POWER:g}, or the next planned look with as "
        "many. One seed has no interval: what it looks like is said, by the thresholds alone.",
        "Intervals are t intervals, so wide that the probability of any wrong verdict in the table "
        f"is at most alpha: {part(DIRECTIONS)} of it for each direction, corrected over the "
        "table's testable claims by Holm's method, and divided by the number of a claim's "
        "comparisons where one is enough. Where seeds are added until claims are decided, alpha is "
        f"divided equally among the planned looks with {_count(FEWEST)} seeds or more.",
        "A seed that diverged has failed: it loses against whatever it is compared with, and a "
        "finished seed beats it. Where seeds diverged and others finished, a verdict stands only "
        "if both point the same way. A linear probe that diverged says nothing about the "
        "pre-training.",
        "± is the sample standard deviation over seeds (n − 1); differences to the untrained "
        f"network are paired by seed, with their {100 * CONFIDENCE:g} % t interval, uncorrected. "
        "Stale and unfinished runs stand in no mean, difference or verdict.",
    )


def _count(n: int) -> str:
    return COUNTS[n] if n < len(COUNTS) else str(n)
