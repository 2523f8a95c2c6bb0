"""A warning, and the warnings of one recipe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from harness.recipe.warning_keys import WarningKey

KEYS: tuple[WarningKey, ...] = get_args(WarningKey)


@dataclass(frozen=True)
class Doubt:
    """A reason to doubt one recipe."""

    key: WarningKey
    says: str
    """The field, what is wrong with it by this recipe's numbers, and what to do."""


@dataclass(frozen=True)
class Warned:
    """A doubt, said once for all cells that it concerns."""

    key: WarningKey
    says: str
    cells: tuple[str, ...] = ()
    """The cells of an ablation recipe that it concerns; (): a single recipe, or the whole table."""


@dataclass(frozen=True)
class Preflight:
    """The warnings of a recipe or ablation recipe. They never change an exit code."""

    warnings: tuple[Warned, ...]
    accepted: tuple[Warned, ...]
    """Those whose keys are in `about.accept`."""
    power: tuple[str, ...] = ()
    """Which differences the seeds of a table can decide, a line for each look."""


def gathered(found: Iterable[tuple[Doubt, str]], accept: Iterable[WarningKey]) -> Preflight:
    """The doubts with their cells ("": none in particular), each once, in the order of KEYS."""
    cells: dict[Doubt, dict[str, None]] = {}
    for doubt, cell in found:
        cells.setdefault(doubt, {}).update({cell: None} if cell else {})
    ordered = sorted(cells, key=lambda doubt: KEYS.index(doubt.key))
    each = [Warned(doubt.key, doubt.says, tuple(cells[doubt])) for doubt in ordered]
    silent = set(accept)
    return Preflight(
        tuple(warned for warned in each if warned.key not in silent),
        tuple(warned for warned in each if warned.key in silent),
    )
