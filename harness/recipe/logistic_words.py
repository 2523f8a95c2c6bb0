"""Logistic regression in words: its protocol, and what limits the choice of C."""

from __future__ import annotations

from collections.abc import Sequence

from harness.recipe.evaluation import Logistic


def protocol_words(said: Logistic) -> str:
    """How the accuracy is measured, for a line below it."""
    layer = "pooled features of the backbone" if said.layer == "backbone" else "the head's output"
    scale = "each of length 1" if said.normalise == "l2" else "not normalised"
    if len(said.c) == 1:
        how = f"C = {said.c[0]:g}"
    else:
        kind = (
            f"{said.folds}-fold cross-validation"
            if said.held_out == said.folds
            else f"holding out {said.held_out} of {said.folds} folds"
        )
        grid = ", ".join(f"{c:g}" for c in said.c)
        how = f"C of {grid} chosen by {kind} of the training images, then all of them fitted"
    return (
        f"{layer} of centre crops, {scale}; {how}; L-BFGS, at most {said.iterations} iterations, "
        f"tolerance {said.tolerance:g}"
    )


def remarks(grid: Sequence[float], c: float, unconverged: Sequence[float]) -> list[str]:
    """What a reader of the accuracy has to know of how C was chosen.

    Args:
        grid: the values of C that were tried.
        c: the one that was chosen.
        unconverged: those at which a fit did not converge.
    """
    found = []
    if len(grid) > 1 and c in (min(grid), max(grid)):
        end = "smallest" if c == min(grid) else "largest"
        found.append(
            f"C = {c:g} is the {end} of the grid, so a better one may lie beyond; widen `c`"
        )
    if unconverged:
        at = ", ".join(f"{each:g}" for each in unconverged)
        found.append(f"L-BFGS did not converge at C = {at}; more `iterations` may change it")
    return found
