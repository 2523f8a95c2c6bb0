"""The paper's claims, judged by our runs.

The rule, the same for every table and fixed before its runs (it is printed under each report):

- A value counts if its run is finished, or has diverged, on the table's edition and data. A claim
  is judged once every seed of the cells that it names counts; before that it is incomplete.
- One seed: the difference alone is held against the margin, and the verdict says "one seed".
- Several seeds: differences are paired by seed, and their 95 % t interval is held against the
  margin. No correction is made for judging several claims.
    - "beats" is reproduced if the whole interval is above zero and the mean is above the margin;
      not reproduced if the whole interval is at or below the margin; else undecided.
    - "fails" is a difference to the untrained control: reproduced if the whole interval is at or
      below the margin; not reproduced if the whole interval is above it; else undecided.
- A diverged seed has failed: it loses against whatever it is compared with, and a finished seed
  beats a diverged one. If some seeds diverged and the others finished, the verdict stands only if
  both kinds of evidence point the same way; else it is undecided.
- A linear probe that diverged on a finished network says nothing about the pre-training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.recipe.ablation import CONTROL, Beats, Claim, Fails
from harness.report.collect import CellResult, Results, Value
from harness.report.runs import WORDS
from harness.report.statistics import Summary, summarise

Verdict = Literal[
    "reproduced", "not reproduced", "undecided", "not testable at this scale", "incomplete"
]


@dataclass(frozen=True)
class Judgement:
    """A claim, its verdict, and the numbers that led to it."""

    claim: Claim
    verdict: Verdict
    evidence: str
    difference: Summary | None = None
    """In points, paired by seed over the seeds that finished in both cells."""


def judge(results: Results) -> list[Judgement]:
    """A verdict for each claim of the ablation, in its order; see the module's rule."""
    if results.ablation is None:
        return []
    return [_judge(claim, results) for claim in results.ablation.claims]


def _judge(claim: Claim, results: Results) -> Judgement:
    if results.scale is not None and claim.id in results.scale.untestable:
        reason = results.scale.untestable[claim.id]
        return Judgement(claim, "not testable at this scale", reason)
    all_diverged = _all_diverged(claim, results)
    if all_diverged is not None:
        return all_diverged
    over = claim.over if isinstance(claim, Beats) else CONTROL
    sides: list[dict[int, Value]] = []
    lacking = []
    for cell_id in (claim.cell, over):
        cell = results.cell(cell_id)
        values = results.values(cell) if cell is not None else []
        sides.append({value.seed: value for value in values if value.counts})
        lacking += _lacking(cell, cell_id, values, results)
    pairs = [(value, sides[1][seed]) for seed, value in sides[0].items() if seed in sides[1]]
    lost = sum(ours.standing == "diverged" for ours, _ in pairs)
    won = sum(o.standing != "diverged" and t.standing == "diverged" for o, t in pairs)
    differences = [
        o.value - t.value for o, t in pairs if o.value is not None and t.value is not None
    ]
    summary = summarise(differences) if differences else None
    said = []
    if lost:
        said.append(f"{claim.cell} diverged in {_seeds(lost, len(pairs))}")
    if won:
        said.append(f"{over} diverged in {_seeds(won, len(pairs))}")
    if summary:
        said.append(f"{_describe(summary, over)}; margin {results.margin:g}")
    elif len(pairs) == 1:
        said.append("one seed")
    evidence = "; ".join(said)
    if lacking:
        evidence = "; ".join(lacking) + (f". So far: {evidence}" if said else "")
        return Judgement(claim, "incomplete", evidence, summary)
    by_numbers = decide(claim.kind, differences, results.margin) if differences else None
    verdict = _with_divergence(claim.kind, by_numbers, lost, won)
    return Judgement(claim, verdict, evidence, summary)


def decide(
    kind: Literal["fails", "beats"], differences: Sequence[float], margin: float
) -> Literal["reproduced", "not reproduced", "undecided"]:
    """The verdict by numbers alone: seed-paired differences in points against the margin."""
    found = summarise(differences)
    low = found.mean if found.low is None else found.low
    high = found.mean if found.high is None else found.high
    if kind == "fails":
        if high <= margin:
            return "reproduced"
        return "not reproduced" if low > margin else "undecided"
    if low > 0 and found.mean > margin:
        return "reproduced"
    return "not reproduced" if high <= margin else "undecided"


def _with_divergence(
    kind: Literal["fails", "beats"], by_numbers: Verdict | None, lost: int, won: int
) -> Verdict:
    """Join the numbers' verdict with the seeds that one side won or lost by divergence."""
    if kind == "fails":
        lost, won = 0, lost  # diverging is what the claim says
    votes: set[Verdict] = {by_numbers} if by_numbers else set()
    if won:
        votes.add("reproduced")
    if lost:
        votes.add("not reproduced")
    return votes.pop() if len(votes) == 1 else "undecided"


def _all_diverged(claim: Claim, results: Results) -> Judgement | None:
    """A cell that diverged in all seeds has failed, whether or not there is a control."""
    cell = results.cell(claim.cell)
    if not isinstance(claim, Fails) or cell is None or len(cell.runs) < len(results.seeds):
        return None
    if any(value.standing != "diverged" for value in results.values(cell)):
        return None
    n = len(cell.runs)
    first = results.values(cell)[0].detail
    evidence = f"{cell.id} diverged in {_seeds(n, n)}" + (f" ({first})" if first else "")
    return Judgement(claim, "reproduced", evidence + ("; one seed" if n == 1 else ""))


def _lacking(
    cell: CellResult | None, cell_id: str, values: list[Value], results: Results
) -> list[str]:
    if cell is None or not cell.runs:
        what = "untrained control" if cell_id == CONTROL else "cell"
        return [f"this scale does not run the {what} {cell_id}"]
    missing = [value for value in values if not value.counts]
    if not missing:
        return []
    how = ", ".join(
        f"seed {value.seed} {WORDS.get(value.standing, value.standing)}" for value in missing
    )
    return [f"{cell_id} lacks {_seeds(len(missing), len(results.seeds))} ({how})"]


def _describe(found: Summary, over: str) -> str:
    """The difference in words: its size, its interval or that there is none."""
    what = "the untrained control" if over == CONTROL else over
    size = f"{found.mean:+.2f} points to {what}"
    if found.low is None or found.high is None:
        return f"{size}, one seed"
    return f"{size}, 95 % interval {found.low:+.2f} to {found.high:+.2f}, {found.n} seeds"


def _seeds(n: int, of: int) -> str:
    return f"{n} of {of} seed{'s' if of != 1 else ''}"
