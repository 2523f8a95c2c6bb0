"""The claims of all published reports, each with its verdict, effect, scale, seeds and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.recipe.claims import CONTROL, By
from harness.report.claim_summary import WHOSE
from harness.report.cost import Cost
from harness.report.measures import difference_unit, measure

UNTRAINED = "untrained network"

MOST_PRINTED = 3
"""Of more printed numbers the first and the last are told."""


@dataclass(frozen=True)
class Effect:
    """The difference of two cells that decides a claim, with its interval."""

    of: str
    """E.g. "kNN top-1: m0.99 − m0.9"."""
    unit: str
    mean: float | None
    """None: all seeds of a cell diverged."""
    low: float | None
    """None: the interval has no lower bound."""
    high: float | None
    margin: float
    alike: float
    claimed: tuple[str, ...]
    """The findings that the claim needs of this difference."""
    seeds: int
    diverged: str

    @property
    def numbers(self) -> str:
        """E.g. "+11.70 points (+5.16 to +19.58)"."""
        if self.mean is None:
            return self.diverged
        size = f"{self.mean:+.2f} {self.unit}"
        if self.low is None or self.high is None:
            return f"{size}{f'; {self.diverged}' if self.diverged else ', no interval'}"
        return f"{size} ({self.low:+.2f} to {self.high:+.2f})"


@dataclass(frozen=True)
class ClaimLine:
    """One claim, judged by one published table."""

    report: str
    """The report's folder."""
    ablation: str
    paper: str
    """The paper and the place of the ablation's numbers in it. Ablations of one place that have a
    claim of one id have the same claim."""
    id: str
    by: By
    says: str
    printed: str
    """E.g. "57.8 (m0.99), 55.2 (m0.9), linear probe top-1"; "" if there is no number."""
    numbers: str
    """The same without the cells: "57.8, 55.2, linear probe top-1"."""
    verdict: str
    in_words: str
    effect: Effect | None
    why: str
    """Why the verdict is open although the interval may not be; "" otherwise."""
    unlearned: str
    """The same in a few words, where cells are not above the untrained network."""
    scale: str
    papers_scale: bool
    """Whether the runs are at the scale of the printed numbers."""
    cost: str
    """Of the whole table."""
    fixed: bool
    """Whether the table is shown to have been fixed before its runs."""


def claim_lines(reports: Mapping[str, Mapping[str, Any]]) -> list[ClaimLine]:
    """A line for each claim of each report: those of one ablation together, in its order, and
    those that judge the same claim beside each other.

    Args:
        reports: folder -> content of its results.json.
    """
    found = [_line(name, said, claim) for name, said in reports.items() for claim in said["claims"]]
    first = {(line.ablation, line.id): n for n, line in reversed([*enumerate(found)])}
    tables = {line.ablation: n for n, line in reversed([*enumerate(found)])}
    return sorted(found, key=lambda each: (tables[each.ablation], first[each.ablation, each.id]))


def of_papers(lines: Sequence[ClaimLine]) -> list[ClaimLine]:
    """The papers' claims, without our own checks."""
    return [line for line in lines if line.by != "ours"]


def _line(name: str, said: Mapping[str, Any], claim: Mapping[str, Any]) -> ClaimLine:
    whose = "" if claim["by"] in ("paper", "ours") else f" ({WHOSE[claim['by']]})"
    unlearned = [
        each["cell"]
        for each in claim["preconditions"]
        if each["outcome"] != "better" and not each["diverged"]["cell"]
    ]
    effect, verdict, why, short = _effect(said, claim), claim["verdict"], "", ""
    testable = not verdict.startswith(("not testable", "incomplete"))
    if unlearned and (verdict == "undecided" or not testable):
        how = "not surely above" if testable else "not above"
        short = f"{', '.join(unlearned)} {how} the {UNTRAINED}"
    if not claim["comparisons"] or not testable:
        why = str(claim["evidence"])
    elif short:
        why = short
    return ClaimLine(
        report=name,
        ablation=str(said["ablation"]),
        paper=str(said["paper"]),
        id=claim["id"],
        by=claim["by"],
        says=claim["says"] + whose,
        printed=_printed(claim["printed"], cells=True),
        numbers=_printed(claim["printed"], cells=False),
        verdict=verdict,
        in_words=claim["in_words"],
        effect=effect,
        why=why,
        unlearned=short,
        scale=said["scale"]["here"],
        papers_scale=said["scale"]["papers"],
        cost=", ".join(Cost(**each).words for each in said["cost"]),
        fixed=standing(said) == "before",
    )


def standing(said: Mapping[str, Any]) -> str:
    """Whether a table was fixed before its runs; see preregistration.Standing."""
    return str((said["preregistered"] or {"standing": "unknown"})["standing"])


def _printed(printed: Mapping[str, Any] | None, *, cells: bool) -> str:
    """The printed numbers; of many, the first and the last."""
    if printed is None:
        return ""
    about = "≈ " if printed["approximate"] else ""
    numbers = [
        (about if isinstance(each["value"], float) else "")
        + str(each["value"])
        + (f" ({_named(each)})" if cells else "")
        for each in printed["values"]
    ]
    if len(numbers) > MOST_PRINTED:
        numbers = [numbers[0], "…", numbers[-1]]
    return ", ".join([*numbers, printed["metric"]])


def _named(each: Mapping[str, Any]) -> str:
    """The row's label; of a label that is a number alone, the cell."""
    return str(each["cell"] if each["label"].replace(".", "").isdigit() else each["label"])


def _effect(said: Mapping[str, Any], claim: Mapping[str, Any]) -> Effect | None:
    if claim["decisive"] is None or claim["verdict"] == "incomplete":
        return None
    each = claim["comparisons"][claim["decisive"]]
    lost, won = each["diverged"]["cell"], each["diverged"]["over"]
    if each["mean"] is None and not lost and not won:
        return None
    metric = each["metric"] or said["metric"]
    over = UNTRAINED if each["over"] == CONTROL else each["over"]
    both = ((lost, each["cell"]), (won, over))
    return Effect(
        of=f"{measure(metric).label}: {each['cell']} − {over}",
        unit=difference_unit(metric),
        mean=each["mean"],
        low=each["low"],
        high=each["high"],
        margin=each["margin"],
        alike=each["alike"],
        claimed=tuple(each["claimed"]),
        seeds=len(each["values"]) + lost + won,
        diverged=", ".join(f"{cell} diverged in {n}" for n, cell in both if n),
    )
