"""Logistic regression in words: its protocol, and what limits the choice of C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.recipe.knn_words import Trained, data_words


def logistic_words(said: Mapping[str, Any], data: Mapping[str, Any], trained: Trained) -> str:
    """E.g. "C of 0.1, 1 by 3-fold cross-validation, backbone, not normalised, centre crops of
    cifar10, L-BFGS of at most 1000 iterations to 0.0001".

    Args:
        said: the protocol, as the fields of harness.recipe.evaluation.Logistic.
        data: the data with the training images, as a recipe's `data`.
    """
    del trained
    grid, folds, held_out = said["c"], said["folds"], said["held_out"]
    how = f"C {grid[0]:g}"
    if len(grid) > 1:
        kind = f"{folds}-fold cross-validation"
        if held_out < folds:
            kind = f"holding out {held_out} of {folds} folds"
        how = f"C of {', '.join(f'{c:g}' for c in grid)} by {kind}"
    scale = "each of length 1" if said["normalise"] == "l2" else "not normalised"
    return (
        f"{how}, {said['layer']}, {scale}, centre crops of {data_words(data)}, L-BFGS of at most "
        f"{said['iterations']} iterations to {said['tolerance']:g}"
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
