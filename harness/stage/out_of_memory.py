"""Turn out-of-memory errors into messages that name the recipe's fields."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import torch

from harness.errors import HarnessError
from harness.recipe.schema import Recipe

_BYTES = re.compile(r"can't allocate memory: you tried to allocate (\d+) bytes")
_ON_GPU = re.compile(r"Tried to allocate ([\d.]+ \wi?B)")
_BEYOND = "Storage size calculation overflowed"


@contextlib.contextmanager
def enough_memory(recipe: Recipe) -> Iterator[None]:
    """Turn an out-of-memory error inside, of machine or GPU, into a HarnessError. It names the
    fields that decide how much memory is needed."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        why = _why(error)
        if not why:
            raise
        sizes = {
            "model.dim": recipe.model.dim,
            "model.width": recipe.model.width,
            "optim.batch": recipe.optim.batch,
            "data.size": recipe.data.size,
            **{f"contrast.{name}": size for name, size in recipe.contrast if type(size) is int},
        }
        fields = ", ".join(f"{field} ({size})" for field, size in sizes.items())
        raise HarnessError(
            f"{why}; these fields of the recipe decide how much: {fields}"
        ) from error


def _why(error: Exception) -> str:
    """The reason and how much memory was missing; "" if the error has another cause."""
    said = str(error)
    if isinstance(error, torch.OutOfMemoryError):
        found = _ON_GPU.search(said)
        return f"CUDA out of memory: {found[1] if found else 'more'} requested at once"
    if found := _BYTES.search(said):
        return f"out of memory: {int(found[1]) / 1e9:,.1f} GB requested at once"
    if _BEYOND in said:
        return "out of memory: more requested at once than can be counted"
    return "out of memory" if isinstance(error, MemoryError) else ""
