"""The decision rule in sentences, for readers of a report.

Every number is read from the constant in the code: see `harness.report.decision_rule`,
`claim_statements`, `preconditions`, `sequential_design` and `harness.recipe.judging`.
"""

from __future__ import annotations

from harness.recipe.judging import ALIKE, BETTER
from harness.recipe.method import TIME_CONSTANTS
from harness.report.decision_rule import SIDES
from harness.report.preconditions import SHARE, part
from harness.report.sequential_design import FEWEST
from harness.report.statistics import CONFIDENCE

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def rule_sentences() -> tuple[str, ...]:
    """The rule by which claims are judged, one paragraph each."""
    return (
        "Margins, tests, seeds and the times of analysis stand in the ablation recipe, and are to "
        "be fixed before the first run; a published page says whether they were. A claim is "
        "judged when every seed of its cells has a result with the table's edition and data. It "
        f"is testable only if a momentum m has {TIME_CONSTANTS} / (1 − m) steps or more, and K is "
        f"at most {part(SHARE)} of the images.",
        "Each pair of cells that a claim compares gets one interval for the difference of their "
        "means. Better: the whole interval is above the margin "
        f"({BETTER:g} points by default). Worse: it is below minus the margin. Alike: it is within "
        f"± the margin for alike ({ALIKE:g} points by default). Not better: it is below the margin "
        "for alike; not worse: above minus that. Else undecided.",
        "The verdict follows. “a beats b” is reproduced if a is better, and not reproduced (at the "
        "scale of the printed numbers: refuted) if a is not better. “a is not worse” is reproduced "
        "if a is not worse, and not reproduced if it is worse by more than the margin for alike. "
        "Fails: the cell is not above the untrained network by more than the margin for alike. "
        "Ordering: each cell is better than the next, with margins of 0. Monotone: each cell is "
        "not worse than the previous one, and the last is better than the first. Plateau: all "
        "pairs are alike. One contrary comparison refutes a claim of several. Where the "
        "margin for better is 0, an interval above 0 and within the margin for alike shows an "
        "effect, though a small one: “a beats b” is reproduced by it.",
        "Each compared cell must be better than the untrained network, unless the claim is that it "
        "fails. Until that is shown the claim is undecided; if the cell is shown to be not better, "
        "the claim is not testable at this scale.",
        "The intervals are t intervals: of differences paired by seed or, where the recipe says "
        "so, of independent samples with a variance each (Welch). No variances are pooled. All "
        "comparisons of a table, with those to the untrained network, are one family. Its "
        f"probability of any wrong statement is at most alpha: {part(len(SIDES))} of it for lower "
        "bounds and as much for upper bounds, each corrected over the family by Holm's method. The "
        "printed confidence is that of the interval at the level which Holm's method gives it, so "
        "an interval and its verdict always agree. The two bounds may have different levels, so "
        "the mean need not lie in the middle.",
        "A table may be analysed again with more seeds. Each analysis has its own share of alpha, "
        "fixed beforehand in the recipe; where it is not, the analyses with "
        f"{_count(FEWEST)} seeds or more have equal shares. Then all cells of an undecided claim, "
        "the untrained network among them, get the further seeds. A decided claim stays decided.",
        "An undecided claim says how many seeds would narrow its interval to the margin for alike, "
        "by the deviation so far, and what they would cost. One seed has no interval, so only "
        "“looks reproduced” or “looks not reproduced” is possible.",
        "A seed that diverged counts as a failure: every finished seed beats it, and its cell is "
        "neither better than another nor like it. If some seeds diverged and others finished, "
        "there is a verdict only if both agree. A linear probe that diverged says nothing about "
        "the pre-training.",
        "± is the sample standard deviation over seeds (n − 1); differences to the untrained "
        f"network are paired by seed, with their {100 * CONFIDENCE:g} % t interval, uncorrected. "
        "Stale and unfinished runs are excluded from means, differences and verdicts.",
    )


def _count(n: int) -> str:
    return COUNTS[n] if n < len(COUNTS) else str(n)
