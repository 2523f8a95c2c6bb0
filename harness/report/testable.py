"""Whether a scale can test a claim at all: by its recipes alone, so before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from harness.recipe.ablation import Ablation, Metric, Scale
from harness.recipe.claims import CONTROL, PRETEXT, Beats, Claim, Fails, NotWorse
from harness.report import preconditions
from harness.report.claim_statements import must_learn
from harness.report.evaluation_protocol import (
    Protocol,
    compared,
    deviation,
    protocol_of,
    protocol_text,
    usual_protocol,
    varied,
)
from harness.report.preconditions import Recipes
from harness.report.sequential_design import design_of


def why_untestable(
    claim: Claim,
    scale: Scale,
    ablation: Ablation,
    recipes: Recipes,
    images: Mapping[str, int | None],
    *,
    printed: Collection[str] = (),
    diverged: bool = False,
) -> str:
    """Why this scale cannot test the claim, whatever the runs show; "" if it can.

    Args:
        recipes: the cells that are run, in the table's order.
        images: cell -> number of images that it trains on, None: not known.
        printed: rows that are not run, whose printed numbers may be compared with runs.
        diverged: the claim is that its cell fails, and the cell diverged in every seed.
    """
    if claim.id in scale.untestable:
        return scale.untestable[claim.id]
    own = claim.metric if isinstance(claim, Beats | NotWorse) else None
    of = scale.metric if own is None or own == PRETEXT else own
    cells = [cell for _, cell in claim.named()]
    there = {*recipes, *(printed if of == scale.metric else ()), CONTROL}
    absent = [cell for cell in cells if cell not in there]
    said = [f"this scale does not run the cell {cell}" for cell in absent]
    design = design_of(scale)
    control = CONTROL in cells or bool(must_learn(claim, design))
    if isinstance(claim, Fails) and not absent:  # a diverged cell fails without it
        control = not diverged
    if control and CONTROL not in recipes:
        said.append("this scale does not run the untrained control")
    if design.accuracy:
        said += preconditions.failed(recipes, images, [cell for cell in cells if cell in recipes])
    if of != scale.metric and not any(protocol_of(recipe, of) for recipe in recipes.values()):
        said.append(f"this scale does not measure {of}")
    beside = [*cells, *([CONTROL] if control else [])]
    of_cells = varied(ablation)
    protocols = {c: compared(protocol_of(r, of), of_cells) for c, r in recipes.items()}
    said += _apart(beside, protocols)
    return "; ".join(said)


def printed_rows(ablation: Ablation, metric: Metric) -> dict[str, float]:
    """The printed numbers of other methods, in rows that are not run. Runs may be compared with
    them only at the scale of the printed numbers."""
    if metric != ablation.metric:
        return {}
    return {
        cell.id: cell.printed
        for cell in ablation.cells
        if cell.set is None and isinstance(cell.printed, float)
    }


def _apart(cells: Sequence[str], protocols: Mapping[str, Protocol]) -> Iterator[str]:
    """Why the cells cannot be compared: they are not all measured by the same protocol."""
    found = {cell: protocols[cell] for cell in cells if cell in protocols}
    first = next(iter(found.values()), None)
    if all(each == first for each in found.values()):
        return
    most = usual_protocol(list(protocols.values()))
    others = [
        f"{cell}: {protocol_text(other)}"
        for cell, own in found.items()
        if (other := deviation(own, most))
    ]
    yield f"its cells use different protocols ({'; '.join(others)})"
