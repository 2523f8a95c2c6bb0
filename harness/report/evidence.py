"""The numbers behind a verdict, as text."""

from __future__ import annotations

import math

from harness.recipe.claims import CONTROL, PRETEXT
from harness.report.comparison import JUDGED, Comparison, Statement
from harness.report.decision_rule import Bounded, Decision
from harness.report.measures import difference_unit, measure
from harness.report.sequential_design import Design
from harness.store.layout import is_accuracy

UNTRAINED = "the untrained network"


def outcome(found: Bounded) -> str:
    """better, worse, alike, not better, not worse or undecided."""
    shown = found.found
    for word in ("better", "worse"):
        if word in shown:
            return word
    if {"not better", "not worse"} <= shown:
        return "alike"
    return next(iter(shown), "undecided")


def evidence_text(decision: Decision, design: Design) -> str:
    """The evidence for the decision; "" if there is none yet."""
    several = len(decision.criterion.compared)
    decisive = decision.decisive()
    text = comparison_text(decisive, design)
    if not text:
        return ""
    if several > 1:
        against = decision.conclusion == "not reproduced"
        text = f"{'strongest against it' if against else 'weakest'} of {several}: {text}"
    sure = decision.seeds > 1  # one seed has no interval, and none may be complete
    if sure and (unlearned := unlearned_text(decision, design)):
        text = (
            f"{unlearned}. {text[0].upper()}{text[1:]}" if several > 1 else f"{unlearned}. {text}"
        )
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
    """Which cells are not, or not yet surely, above the untrained control; "" if all are."""
    how = "does not beat" if decision.conclusion == "unlearned" else "is not yet surely above"
    return "; ".join(
        f"{each.comparison.statement.cell} {how} {UNTRAINED} "
        f"({_metric(each, design)}: {numbers(each, design)})"
        for each in decision.unlearned
    )


def _metric(found: Bounded, design: Design) -> str:
    stated = found.comparison.statement.measure
    return measure(design.metric if stated == JUDGED else stated).label


def comparison_text(found: Bounded, design: Design) -> str:
    """E.g. "m0.99 is better than m0.9: +5.00 points, 97.5 % interval +4.64 to +5.36, 3 seeds;
    margin 2"."""
    said = numbers(found, design)
    return f"{_outcome_text(found, design)}: {said}" if said else ""


def numbers(found: Bounded, design: Design) -> str:
    """Diverged seeds, the difference with its interval, the margins."""
    comparison = found.comparison
    stated = comparison.statement
    said = []
    if comparison.lost:
        said.append(f"{stated.cell} diverged in {seeds(comparison.lost, comparison.seeds)}")
    if comparison.won:
        said.append(f"{stated.over} diverged in {seeds(comparison.won, comparison.seeds)}")
    if comparison.estimate is not None:
        said.append(f"{_difference(found, comparison, unit(stated, design))}; {_margins(stated)}")
    elif comparison.seeds == 1:
        said.append("one seed")
    return "; ".join(said)


def unit(stated: Statement, design: Design) -> str:
    """The unit of the statement's differences."""
    return design.unit if stated.measure == JUDGED else difference_unit(stated.measure)


def _outcome_text(found: Bounded, design: Design) -> str:
    stated, word = found.comparison.statement, outcome(found)
    a, b = stated.cell, UNTRAINED if stated.over == CONTROL else stated.over
    if stated.measure != JUDGED:
        a = f"{measure(stated.measure).label} of {a}"
    own = stated.measure == JUDGED
    if stated.measure == PRETEXT or not (design.accuracy if own else is_accuracy(stated.measure)):
        word = word.replace("better", "higher").replace("worse", "lower")
    if word == "alike":
        return f"{a} and {b} are alike"
    return f"{a} against {b}" if word == "undecided" else f"{a} is {word} than {b}"


def _difference(found: Bounded, comparison: Comparison, unit: str) -> str:
    """The difference with its interval, or that there is none."""
    estimate = comparison.estimate
    assert estimate is not None
    size = f"{estimate.mean:+.2f} {unit}"
    if estimate.error is None:
        return f"{size}, one seed"
    low, high = (
        estimate.mean + sign * estimate.reach(level)
        for sign, level in zip((-1, 1), found.levels, strict=True)
    )
    confidence = 100 * (1 - sum(found.levels))
    n = f"{len(comparison.ours)} seeds{', unpaired' if comparison.statement.welch else ''}"
    if not math.isfinite(low) or not math.isfinite(high):
        return f"{size}, {n}"
    return f"{size}, {confidence:.4g} % interval {low:+.2f} to {high:+.2f}, {n}"


def _margins(stated: Statement) -> str:
    if stated.better == stated.within:
        return f"margin {stated.within:g}"
    return f"margin {stated.better:g}, alike within {stated.within:g}"


def seeds(n: int, of: int) -> str:
    return f"{n} of {of} seed{'s' if of != 1 else ''}"
