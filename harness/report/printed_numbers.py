"""The numbers that a paper printed of the cells of one claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.recipe.ablation import CONTROL, Ablation
from harness.recipe.claims import PRETEXT


def printed_numbers(
    ablation: Ablation, cells: Sequence[str], metric: str | None = None
) -> tuple[str | None, list[dict[str, Any]]]:
    """(metric, [{"cell", "label", "value"}]) of the cells, if all but the control have a number.

    Args:
        metric: what the claim compares; None: what the paper's table shows. If the paper printed
            no number of it, that of its table is returned: both tell how good the features are.
            Pretext accuracy does not, and is not replaced.
    """
    own = metric or ablation.metric
    for wanted in (own,) if own == PRETEXT else dict.fromkeys((own, ablation.metric)):
        numbers = _numbers(ablation, wanted)
        trained = [name for name in cells if name != CONTROL]
        found = [
            {"cell": each.id, "label": each.label, "value": numbers[each.id]}
            for name in trained
            if (each := ablation.cell(name)) is not None and numbers.get(name) is not None
        ]
        if found and len(found) == len(trained):
            return wanted, found
    return None, []


def _numbers(ablation: Ablation, metric: str | None) -> dict[str, Any]:
    """Cell -> its printed number, in the table, in a column beside it, or at a curve's end."""
    if metric == ablation.metric:
        return {cell.id: cell.printed for cell in ablation.cells}
    for column in ablation.columns:
        if column.metric == metric:
            return dict(column.values)
    ends = {each.cell: each.points[-1][1] for each in ablation.curves if each.metric == metric}
    return dict(ends)
