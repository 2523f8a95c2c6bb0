"""The numbers behind a verdict, as text."""

from __future__ import annotations

from harness.recipe.claims import CONTROL, Beats, Claim, Fails
from harness.report.comparison import Comparison, Measure
from harness.report.decision_rule import Decision
from harness.report.measures import measure
from harness.report.sequential_design import Design
from harness.report.statistics import summarise


def evidence_text(claim: Claim, decision: Decision, design: Design) -> str:
    """The evidence for the decision; "" if there is none yet."""
    found = decision.evidence
    against = decision.conclusion == "not reproduced" and not found.negated
    decisive = found.decisive(against)
    several = len(found.comparisons)
    level = decision.level / several if against else decision.level
    text = comparison_text(
        decisive, _confidence(level, design), design.unit, plain=isinstance(claim, Fails | Beats)
    )
    if not text:
        return ""
    if several > 1:
        which = "strongest against it" if against else "weakest"
        text = f"{which} of {several} comparisons: {text}"
    if unlearned := unlearned_text(decision, design):
        text = f"{unlearned}. {text[0].upper()}{text[1:]}"
    return text + _next(decision, design)


def _next(decision: Decision, design: Design) -> str:
    """The next step for an undecided claim of a table with several analyses."""
    if decision.conclusion != "undecided" or len(design.analyses) == 1:
        return ""
    if decision.analysis + 1 < len(design.analyses):
        size = design.analyses[decision.analysis + 1]
        return f"; next analysis at {size} of at most {len(design.seeds)} seeds"
    return f"; all {len(design.seeds)} planned seeds are used"


def unlearned_text(decision: Decision, design: Design) -> str:
    """Which cells are not, or not yet significantly, above the untrained control; "" if all are."""
    how = (
        "does not beat"
        if decision.conclusion == "unlearned"
        else ("is not yet significantly above")
    )
    return "; ".join(
        f"{each.statement.cell} {how} the untrained network "
        f"({comparison_text(each, 1 - design.alpha, design.unit, plain=True)})"
        for each in decision.unlearned
    )


def comparison_text(found: Comparison, confidence: float, unit: str, *, plain: bool) -> str:
    """One comparison: diverged seeds, the difference and its interval, the threshold.

    Args:
        plain: whether this is a sentence about one cell with the margin as threshold; else both
            cells are named.
    """
    stated = found.statement
    said = []
    if found.lost:
        said.append(f"{stated.cell} diverged in {seeds(found.lost, found.seeds)}")
    if found.won:
        said.append(f"{stated.over} diverged in {seeds(found.won, found.seeds)}")
    if found.differences:
        difference = _difference(found, confidence, unit)
        if plain:
            of = "" if stated.measure == "judged" else f"{measure(stated.measure).label}: "
            said.append(f"{of}{difference}; margin {stated.threshold:g}")
        else:
            limit = f"{stated.threshold:+g}" if stated.threshold else "0"
            who = f"{_what(stated.measure)}{stated.cell}"
            said.append(f"{who}: {difference}; the claim needs more than {limit}")
    elif found.seeds == 1:
        said.append("one seed")
    return "; ".join(said)


def _what(compared: Measure) -> str:
    """The measure before a cell's name; "" for the table's own."""
    if compared == "judged":
        return ""
    metric = f"{compared}/top1" if compared in ("knn", "pretext") else compared
    return f"{measure(metric).label} of "


def _difference(found: Comparison, confidence: float, unit: str) -> str:
    """The difference with its interval, or that there is none."""
    summary = summarise(found.differences, confidence)
    over = found.statement.over
    size = f"{summary.mean:+.2f} {unit} to {'the untrained control' if over == CONTROL else over}"
    if summary.low is None or summary.high is None:
        return f"{size}, one seed"
    interval = f"{summary.low:+.2f} to {summary.high:+.2f}"
    return f"{size}, {100 * confidence:.4g} % interval {interval}, {summary.n} seeds"


def _confidence(level: float, design: Design) -> float:
    """Confidence of the two-sided interval whose nearer bound is that of a one-sided test at this
    level."""
    return 1 - 2 * level if level else 1 - design.alpha


def seeds(n: int, of: int) -> str:
    return f"{n} of {of} seed{'s' if of != 1 else ''}"
