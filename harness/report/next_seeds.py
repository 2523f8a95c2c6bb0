"""Which seeds would let undecided claims be judged again."""

from __future__ import annotations

from collections.abc import Iterable

from harness.recipe.ablation import Scale
from harness.report.claims import Judgement
from harness.report.comparison import sides
from harness.report.looks import rule_of


def next_seeds(judgements: Iterable[Judgement], scale: Scale, most: int) -> dict[str, list[int]]:
    """Cell -> the seeds beyond the scale's own that it needs for the next look; {}: no more looks.

    Every cell that an undecided claim rests on gets all seeds of the claim's next look, the control
    too; those already run are among them. Cells of decided claims get none.

    Args:
        most: no look at more seeds than this, though the scale may plan some.
    """
    rule = rule_of(scale)
    wanted: dict[str, int] = {}
    for each in judgements:
        ruling = each.ruling
        if ruling is None or ruling.outcome != "undecided" or ruling.look + 1 == len(rule.looks):
            continue
        size = rule.looks[ruling.look + 1]
        if size <= most:
            for _, cell in sides(each.claim, rule):
                wanted[cell] = max(wanted.get(cell, 0), size)
    return {cell: list(rule.seeds[len(scale.seeds) : size]) for cell, size in wanted.items()}
