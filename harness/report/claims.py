"""Judge the paper's claims by our runs.

The rule is the same for every table and fixed in the ablation recipe before the first run. Each
report prints it: `harness.report.rule_text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.recipe.ablation import Scale
from harness.recipe.claims import PRETEXT, Beats, By, Claim, Fails, NotWorse
from harness.report.claim_statements import at_scale, sides
from harness.report.claim_summary import count_verdicts
from harness.report.collect import CellResult, Results
from harness.report.comparison import JUDGED, Scores
from harness.report.decision_rule import Decision, all_diverged, decide_claims
from harness.report.evidence import evidence_text, seeds, unlearned_text
from harness.report.narrowing import furthest, narrowing_text, needed
from harness.report.preconditions import training_images
from harness.report.runs import WORDS
from harness.report.scale import is_papers_scale
from harness.report.sequential_design import Design, design_of
from harness.report.table import SeedValue
from harness.report.testable import printed_rows, why_untestable

Verdict = Literal[
    "reproduced",
    "not reproduced",
    "refuted",
    "looks reproduced (one seed)",
    "looks not reproduced (one seed)",
    "undecided",
    "not testable at this scale",
    "incomplete",
]


@dataclass(frozen=True)
class Judgement:
    """A claim, its verdict, and the numbers that led to it."""

    claim: Claim
    verdict: Verdict
    evidence: str
    decision: Decision | None = None
    """None: the claim was not tested."""
    needs: int | None = None
    """About how many seeds narrow its interval to the margin; `most` + 1: more than `most`."""
    most: int = 0
    next_look: int | None = None
    """How many seeds the next planned analysis has; None: there is none."""

    @property
    def words(self) -> str:
        """The verdict, e.g. "undecided (narrowing it needs 7 seeds)"."""
        if self.verdict != "undecided" or self.needs is None:
            return self.verdict
        if self.needs <= self.most:
            return f"undecided (narrowing it needs {self.needs} seeds)"
        if self.next_look is not None:
            return f"undecided (the next look has {self.next_look} seeds)"
        return f"undecided (narrowing it needs more than {self.most} seeds)"


def judge(results: Results) -> list[Judgement]:
    """A verdict for each claim of the ablation, in its order; see `harness.report.rule_text`."""
    ablation, scale = results.ablation, results.scale
    if ablation is None or scale is None:
        return []
    design = design_of(scale)
    found = _scores(results)
    run = [cell.id for cell in results.cells if cell.runs]
    claims = [at_scale(claim, run) for claim in ablation.claims]
    reasons = {claim.id: _untestable(claim, found, results, scale) for claim in claims}
    tested = [claim for claim in claims if not reasons[claim.id]]
    decisions = dict(zip([c.id for c in tested], decide_claims(tested, found, design), strict=True))
    return [
        _judgement(claim, decisions[claim.id], found, results, scale)
        if claim.id in decisions
        else Judgement(claim, "not testable at this scale", reasons[claim.id])
        for claim in claims
    ]


def verdict_counts(judgements: list[Judgement]) -> dict[By, dict[str, int]]:
    """Source of the claim -> verdict -> count."""
    return count_verdicts((each.claim.by, each.verdict) for each in judgements)


def next_seeds(judgements: Iterable[Judgement], scale: Scale, most: int) -> dict[str, list[int]]:
    """Cell -> the seeds of its next analysis that are beyond the scale's own; {}: none left.

    All cells that an undecided claim compares get all seeds of the claim's next analysis, also the
    control. Seeds that have already run are included. Cells of decided claims get none.

    Args:
        most: skip analyses of more seeds than this, even if the scale plans them.
    """
    design = design_of(scale)
    wanted: dict[str, int] = {}
    for each in judgements:
        decision = each.decision
        if decision is None or decision.conclusion != "undecided":
            continue
        size = next(iter(design.analyses[decision.analysis + 1 :]), None)
        if size is not None and size <= most:
            for _, cell in sides(each.claim, design):
                wanted[cell] = max(wanted.get(cell, 0), size)
    return {cell: list(design.seeds[len(scale.seeds) : size]) for cell, size in wanted.items()}


def _untestable(claim: Claim, scores: Scores, results: Results, scale: Scale) -> str:
    """Why this scale cannot test the claim, whatever the runs show; "" if it can."""
    assert results.ablation is not None
    runs = {cell.id: cell.runs for cell in results.cells if cell.runs}
    return why_untestable(
        claim,
        scale,
        results.ablation,
        {cell: of_cell[0].recipe for cell, of_cell in runs.items()},
        {cell: training_images(of_cell) for cell, of_cell in runs.items()},
        printed=_printed_rows(results),
        diverged=isinstance(claim, Fails) and all_diverged(claim, scores, results.seeds),
    )


def _scores(results: Results) -> Scores:
    """Every result that counts, by metric, cell and seed."""
    assert results.ablation is not None
    compared = (c.metric for c in results.ablation.claims if isinstance(c, Beats | NotWorse))
    others = dict.fromkeys(metric for metric in compared if metric not in (None, results.metric))
    found: dict[tuple[str, str], dict[int, float | None]] = {}
    for cell in results.cells:
        found[JUDGED, cell.id] = judged = _counting(results.values(cell))
        for metric in others:
            assert metric is not None
            found[metric, cell.id] = (
                _pretext(cell, judged)
                if metric == PRETEXT
                else _counting(results.values(cell, metric))
            )
    for cell_id, value in _printed_rows(results).items():
        planned = design_of(results.scale).seeds if results.scale is not None else ()
        found[JUDGED, cell_id] = dict.fromkeys(planned, value)
    return found


def _pretext(cell: CellResult, judged: Mapping[int, float | None]) -> dict[int, float | None]:
    """Pretext accuracies of the seeds whose judged result counts."""
    found: dict[int, float | None] = {}
    for run in cell.runs:
        value = run.stages["pretrain"].values.get(PRETEXT)
        if run.seed in judged and (value is not None or judged[run.seed] is None):
            found[run.seed] = None if judged[run.seed] is None else value
    return found


def _printed_rows(results: Results) -> dict[str, float]:
    """Printed numbers of other methods, compared with runs at the scale of the printed numbers.
    They are the same for every seed."""
    if results.ablation is None or not is_papers_scale(results):
        return {}
    return printed_rows(results.ablation, results.metric)


def _counting(values: list[SeedValue]) -> dict[int, float | None]:
    return {
        value.seed: None if value.standing == "diverged" else value.value
        for value in values
        if value.counts
    }


def _judgement(
    claim: Claim, decision: Decision, scores: Scores, results: Results, scale: Scale
) -> Judgement:
    design = design_of(scale)
    text = evidence_text(decision, design)
    if text and _is_of_part(claim, results):
        text = f"of its cells {', '.join(cell for _, cell in claim.named())}: {text}"
    if decision.conclusion == "incomplete":
        lacking = "; ".join(_lacking(claim, scores, results, design))
        return Judgement(
            claim,
            "incomplete",
            lacking + (f". With the seeds so far: {text}" if text else ""),
            decision,
        )
    if decision.conclusion == "unlearned":
        return Judgement(
            claim, "not testable at this scale", unlearned_text(decision, design), decision
        )
    if isinstance(claim, Fails) and all_diverged(claim, scores, design.seeds[: decision.seeds]):
        text = _how_it_diverged(claim, decision, results)
    needs, most = needed(decision, design), furthest(design)
    used = {cell for _, cell in sides(claim, design)}
    runs = [run for run in results.runs if run.cell in used]
    narrowing = narrowing_text(needs, decision, design, runs)
    text = f"{text}. {narrowing}" if narrowing else text
    to_come = next((size for size in design.analyses if size > decision.seeds), None)
    return Judgement(claim, _verdict(decision, results), text, decision, needs, most, to_come)


def _is_of_part(claim: Claim, results: Results) -> bool:
    """Whether the scale runs only some of the cells that the ablation's claim names."""
    whole = () if results.ablation is None else results.ablation.claims
    return any(claim.id == each.id and claim.named() != each.named() for each in whole)


def _verdict(decision: Decision, results: Results) -> Verdict:
    if decision.conclusion == "undecided" and decision.seeds == 1:
        if decision.holds:
            return "looks reproduced (one seed)"
        return "looks not reproduced (one seed)"
    if decision.conclusion == "reproduced":
        return "reproduced"
    if decision.conclusion == "not reproduced":
        assert results.ablation is not None
        assert results.scale is not None
        printed_here = results.scale.level == results.ablation.printed_at
        return "refuted" if printed_here else "not reproduced"
    return "undecided"


def _how_it_diverged(claim: Fails, decision: Decision, results: Results) -> str:
    cell = results.cell(claim.cell)
    detail = results.values(cell)[0].detail if cell is not None else ""
    text = f"{claim.cell} diverged in {seeds(decision.seeds, decision.seeds)}"
    return text + (f" ({detail})" if detail else "")


def _lacking(claim: Claim, scores: Scores, results: Results, design: Design) -> list[str]:
    """What the first analysis still needs, cell by cell."""
    wanted = design.seeds[: design.analyses[0]]
    said: dict[str, None] = {}
    for measure, cell_id in sides(claim, design):
        missing = [seed for seed in wanted if seed not in scores.get((measure, cell_id), {})]
        cell = results.cell(cell_id)
        if not missing or cell is None:
            continue
        metric = results.metric if measure in (JUDGED, PRETEXT) else measure
        standing = {value.seed: value.standing for value in results.values(cell, metric)}
        by_state: dict[str, list[str]] = {}
        for seed in missing:
            state = _state(standing.get(seed, "absent"), measure)
            by_state.setdefault(state, []).append(str(seed))
        how = ", ".join(
            state
            if len(of_it) == len(wanted)
            else f"seed{'s' if len(of_it) > 1 else ''} {', '.join(of_it)} {state}"
            for state, of_it in by_state.items()
        )
        said[f"{cell_id} lacks {seeds(len(missing), len(wanted))} ({how})"] = None
    return list(said)


def _state(standing: str, measure: str) -> str:
    if standing == "finished" and measure == PRETEXT:
        return "without a pretext accuracy"
    return WORDS.get(standing, standing)
