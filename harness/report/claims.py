"""The paper's claims, judged by our runs.

The rule, the same for every table and fixed in the ablation recipe before the first run (it is
printed under each report):

- A value counts if its run is finished, or has diverged, on the table's edition and data. A claim
  is judged once every seed of the cells that it rests on counts; before that it is incomplete. A
  linear probe that diverged on a finished network says nothing about the pre-training.
- Preconditions: a momentum m needs 3 / (1 - m) steps, K may be at most a tenth of the images, and
  a cell must beat the untrained control before it is compared (not where the claim is that it
  fails or leaks). A claim that does not meet them is not testable at this scale.
- A claim is made of comparisons "a is above b by more than so many points", each over differences
  that are paired by seed: seeds share data order, augmentations and initial weights.
    - "beats": by the margin. "fails": that the cell does not beat the untrained control.
    - "ordering": each over the next, by more than 0.
    - "monotone": each over the one before by more than minus the margin, the last over the first by
      the margin.
    - "plateau": each pair, both ways, by more than minus the margin (two one-sided tests).
    - "leak": its pretext accuracy over the other's, and the other's kNN over its, by the margin.
- Reproduced: the whole interval of every comparison is on the claim's side. Not reproduced: the
  whole interval of one comparison is on the wrong side; at the scale of the printed numbers this is
  "refuted". Else undecided, with an estimate of the seeds that would decide it (from the deviation
  so far, for a power of 0.8; where looks are planned, the next one with as many).
- Intervals are t intervals, so wide that the probability of any wrong verdict in the table is at
  most alpha: half of it for each direction, corrected over the table's testable claims by Holm's
  method, and divided by the number of a claim's comparisons where one is enough. For one claim with
  one comparison, alpha 0.05 gives the common 95 % interval.
- Where a scale says `max_seeds`, undecided claims get more seeds and are looked at again; alpha is
  divided equally among the planned looks (those with less than three seeds have none).
- One seed has no interval: the verdict says only what it looks like, by the thresholds.
- A diverged seed has failed: it loses against whatever it is compared with, and a finished seed
  beats a diverged one. If some seeds diverged and the others finished, the verdict stands only if
  both kinds of evidence point the same way; else it is undecided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.recipe.ablation import Metric, Scale
from harness.recipe.claims import CONTROL, By, Claim, Fails, Leak
from harness.report import preconditions
from harness.report.collect import Results, Value
from harness.report.comparison import Measure, Scores, must_learn, sides
from harness.report.evidence import evidence, gate, seeds
from harness.report.looks import Rule, rule_of
from harness.report.protocols import in_words
from harness.report.rule import Ruling, all_diverged, decide, furthest, needed
from harness.report.runs import WORDS
from harness.report.setting import is_papers_scale
from harness.report.tally import tally

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
    ruling: Ruling | None = None
    """None: the claim was not put to the test."""
    needs: int | None = None
    """About how many seeds would decide it; `most` + 1: more than `most`."""
    most: int = 0

    @property
    def words(self) -> str:
        """The verdict with what is needed to decide it, e.g. "undecided (needs 7 seeds)"."""
        if self.verdict != "undecided" or self.needs is None:
            return self.verdict
        more = self.needs > self.most
        return f"undecided (needs {f'more than {self.most}' if more else self.needs} seeds)"


def judge(results: Results) -> list[Judgement]:
    """A verdict for each claim of the ablation, in its order; see the module's rule."""
    ablation, scale = results.ablation, results.scale
    if ablation is None or scale is None:
        return []
    rule = rule_of(scale)
    found = _scores(results)
    reasons = {claim.id: _untestable(claim, found, results, scale) for claim in ablation.claims}
    tested = [claim for claim in ablation.claims if not reasons[claim.id]]
    rulings = dict(zip([c.id for c in tested], decide(tested, found, rule), strict=True))
    return [
        _judgement(claim, rulings[claim.id], found, results, scale)
        if claim.id in rulings
        else Judgement(claim, "not testable at this scale", reasons[claim.id])
        for claim in ablation.claims
    ]


def tallied(judgements: list[Judgement]) -> dict[By, dict[str, int]]:
    """Whose claims -> verdict -> how many."""
    return tally((each.claim.by, each.verdict) for each in judgements)


def _untestable(claim: Claim, scores: Scores, results: Results, scale: Scale) -> str:
    """Why this scale cannot test the claim, whatever its runs will say; "" if it can."""
    if claim.id in scale.untestable:
        return scale.untestable[claim.id]
    runs = {cell.id: cell.runs for cell in results.cells if cell.runs}
    cells = [cell for _, cell in claim.named()]
    there = {*runs, *_printed_rows(results), CONTROL}
    absent = [cell for cell in cells if cell not in there]
    said = [f"this scale does not run the cell {cell}" for cell in absent]
    rule = rule_of(scale)
    control = CONTROL in cells or bool(must_learn(claim, rule))
    if isinstance(claim, Fails) and not absent:  # a cell that diverges has failed without it
        control = not all_diverged(claim, scores, results.seeds)
    if control and CONTROL not in runs:
        said.append("this scale does not run the untrained control")
    if rule.accuracy:
        said += preconditions.failed(runs, [cell for cell in cells if cell in runs])
    metrics = {results.metric, *(("knn/top1",) if isinstance(claim, Leak) else ())}
    compared = [*cells, *([CONTROL] if control else [])]
    said += [text for metric in sorted(metrics) for text in _apart(compared, results, metric)]
    return "; ".join(said)


def _apart(cells: list[str], results: Results, metric: Metric) -> list[str]:
    """Why the cells cannot be compared: not all of them were measured alike."""
    found = [cell for cell in map(results.cell, dict.fromkeys(cells)) if cell and cell.runs]
    protocols = [results.protocol(cell, metric) for cell in found]
    if all(each == protocols[0] for each in protocols):
        return []
    others = [
        f"{cell.id}: {in_words(other)}"
        for cell in found
        if (other := results.otherwise(cell, metric))
    ]
    return [f"its cells are measured by different protocols ({'; '.join(others)})"]


def _scores(results: Results) -> Scores:
    """Every result that counts, by measure, cell and seed."""
    found: dict[tuple[Measure, str], dict[int, float | None]] = {}
    for cell in results.cells:
        found["judged", cell.id] = _counting(results.values(cell))
        found["knn", cell.id] = knn = _counting(results.values(cell, "knn/top1"))
        pretext = found["pretext", cell.id] = {}
        for run in cell.runs:
            value = run.stages["pretrain"].values.get("pretext/top1")
            if run.seed in knn and (value is not None or knn[run.seed] is None):
                pretext[run.seed] = None if knn[run.seed] is None else value
    for cell_id, value in _printed_rows(results).items():
        planned = rule_of(results.scale).seeds if results.scale is not None else ()
        found["judged", cell_id] = dict.fromkeys(planned, value)
    return found


def _printed_rows(results: Results) -> dict[str, float]:
    """Other methods' printed numbers, which a run at the scale of the printed numbers is held
    against: the same for every seed."""
    ablation = results.ablation
    if ablation is None or results.metric != ablation.metric or not is_papers_scale(results):
        return {}
    return {
        cell.id: cell.printed
        for cell in ablation.cells
        if cell.set is None and isinstance(cell.printed, float)
    }


def _counting(values: list[Value]) -> dict[int, float | None]:
    return {
        value.seed: None if value.standing == "diverged" else value.value
        for value in values
        if value.counts
    }


def _judgement(
    claim: Claim, ruling: Ruling, scores: Scores, results: Results, scale: Scale
) -> Judgement:
    rule = rule_of(scale)
    text = evidence(claim, ruling, rule)
    if ruling.outcome == "incomplete":
        lacking = "; ".join(_lacking(claim, scores, results, rule))
        return Judgement(
            claim, "incomplete", lacking + (f". So far: {text}" if text else ""), ruling
        )
    if ruling.outcome == "unlearned":
        return Judgement(claim, "not testable at this scale", gate(ruling, rule), ruling)
    if isinstance(claim, Fails) and all_diverged(claim, scores, rule.seeds[: ruling.seeds]):
        text = _how_it_diverged(claim, ruling, results)
    needs, most = needed(ruling, rule), furthest(rule)
    return Judgement(claim, _verdict(ruling, results), text, ruling, needs, most)


def _verdict(ruling: Ruling, results: Results) -> Verdict:
    if ruling.outcome == "undecided" and ruling.seeds == 1:
        if ruling.evidence.holds:
            return "looks reproduced (one seed)"
        return "looks not reproduced (one seed)"
    if ruling.outcome == "reproduced":
        return "reproduced"
    if ruling.outcome == "not reproduced":
        assert results.ablation is not None
        assert results.scale is not None
        printed_here = results.scale.level == results.ablation.printed_at
        return "refuted" if printed_here else "not reproduced"
    return "undecided"


def _how_it_diverged(claim: Fails, ruling: Ruling, results: Results) -> str:
    cell = results.cell(claim.cell)
    detail = results.values(cell)[0].detail if cell is not None else ""
    text = f"{claim.cell} diverged in {seeds(ruling.seeds, ruling.seeds)}"
    return text + (f" ({detail})" if detail else "")


def _lacking(claim: Claim, scores: Scores, results: Results, rule: Rule) -> list[str]:
    """What the first look still waits for, cell by cell."""
    wanted = rule.seeds[: rule.looks[0]]
    said: dict[str, None] = {}
    for measure, cell_id in sides(claim, rule):
        missing = [seed for seed in wanted if seed not in scores.get((measure, cell_id), {})]
        cell = results.cell(cell_id)
        if not missing or cell is None:
            continue
        metric = results.metric if measure == "judged" else "knn/top1"
        standing = {value.seed: value.standing for value in results.values(cell, metric)}
        how = ", ".join(
            f"seed {seed} {_state(standing.get(seed, 'absent'), measure)}" for seed in missing
        )
        said[f"{cell_id} lacks {seeds(len(missing), len(wanted))} ({how})"] = None
    return list(said)


def _state(standing: str, measure: Measure) -> str:
    if standing == "finished" and measure == "pretext":
        return "without a pretext accuracy"
    return WORDS.get(standing, standing)
