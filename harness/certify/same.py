"""Compare two runs of one recipe: losses and weights."""

from __future__ import annotations

from typing import Any

from harness.errors import HarnessError
from harness.store import journal
from harness.store.layout import StageFolder


def losses(folder: StageFolder) -> list[tuple[int, float]]:
    """(step, training loss) of each step, in order of writing."""
    records = journal.series(journal.read(folder), "train/loss")
    return [(step, loss) for step, _, loss in records]


def differing(one: StageFolder, other: StageFolder) -> list[str]:
    """Names of the parts in which the two last checkpoints are not bit-identical.

    Raises:
        HarnessError: a stage has no checkpoint.
    """
    first, second = _state(one), _state(other)
    return sorted(_unlike(first, second, ""))


def _state(folder: StageFolder) -> dict[str, Any]:
    from harness.runtime import checkpoint

    found = checkpoint.newest(folder.checkpoints, lambda _: None)
    if found is None:
        raise HarnessError(f"{folder.checkpoints}: no checkpoint")
    return {name: value for name, value in found[1].items() if name != "stage"}


def _unlike(one: Any, other: Any, place: str) -> list[str]:
    import torch

    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [name for k in one for name in _unlike(one[k], other[k], f"{place}.{k}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return _unlike(dict(enumerate(one)), dict(enumerate(other)), place)
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [place]
    return [] if type(one) is type(other) and one == other else [place]
