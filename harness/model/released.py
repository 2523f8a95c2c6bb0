"""Weights that others released, for evaluating them as a control of our own evaluation.

Key names by the official code (facebookresearch/moco at 7397dfe): `module.encoder_q.` before
torchvision's names, the head under `fc` (v1: one layer; v2: fc.0 and fc.2). Released files hold no
key encoder and no optimiser, so training cannot go on from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from harness.errors import DataError
from harness.model.encoder import Encoder
from harness.model.weights_file import read
from harness.recipe.schema import Weights

PREFIXES = ("module.encoder_q.", "encoder_q.", "module.", "")

HEADS = ("fc", "head", "heads", "classifier", "projector", "projection_head", "predictor")
"""What a file may hold beside a backbone: the first part of a name under the prefix. Any other is
of a network that the recipe does not build."""

_STEM = re.compile(r"(.*?)conv1\.weight")
_BLOCK = re.compile(r"(.*\.)?(layer\d+|blocks)\.(\d+\.)+")


def load_released(
    encoder: Encoder, weights: Weights, root: Path, *, head: bool, source: str
) -> None:
    """Load the backbone, and the head where the file has one of the same shape.

    Args:
        root: the data root, to which the file's name is relative.
        head: whether the head will be used, so that a file without one is refused.
        source: where the file is had, for whoever lacks it.

    Raises:
        DataError: the file is missing, another one, not readable without running code, lacks
            a tensor that is needed, holds one that is no weight, or is another network's.
    """
    path = root / weights.file
    state = read(path, weights, source)
    prefix = next((p for p in PREFIXES if f"{p}conv1.weight" in state), None)
    if prefix is None:
        raise DataError(f"{path}: {_unknown(state)}")
    own = encoder.state_dict()
    wanted = {}
    wrong: list[str] = []
    for name, tensor in own.items():
        part, _, rest = name.partition(".")
        key = rest if part == "backbone" else f"fc.{rest}"
        given = state.get(prefix + key)
        why = _unfit(given, tensor)
        if not why and given is not None:
            wanted[name] = given
        elif (part == "backbone" or head) and not name.endswith("num_batches_tracked"):
            wrong.append(f"{key} {why}; the recipe needs {tuple(tensor.shape)}")
    known = {name.removeprefix("backbone.") for name in own}
    extra = [
        key
        for key in (name.removeprefix(prefix) for name in state if name.startswith(prefix))
        if key not in known and key.split(".")[0] not in HEADS
    ]
    if wrong or extra:
        wrong = wrong[:3] + [f"{len(wrong) - 3} more such"] * (len(wrong) > 3)
        if extra:
            count = f"{len(extra)} tensors" if len(extra) > 1 else "a tensor"
            wrong.append(f"{count} that the recipe's network does not have: {_some(extra)}")
        raise DataError(
            f"{path}: another network's weights than model.backbone and model.width build, or "
            f"damaged ones: {'; '.join(wrong)}"
        )
    encoder.load_state_dict(own | wanted)


def _unknown(state: dict[str, Tensor]) -> str:
    """What the file's names tell, where no known prefix leads to a residual network."""
    found = [m[1] for m in map(_STEM.fullmatch, state) if m and not _BLOCK.fullmatch(m[1])]
    known = ", ".join(repr(prefix) for prefix in PREFIXES)
    if not found:
        first = dict.fromkeys(name.split(".")[0] for name in state)
        return (
            f"no residual network in it: no conv1.weight under any prefix (its names begin with "
            f"{_some(map(repr, first))})"
        )
    return (
        f"no residual network under a known prefix in it: conv1.weight is under "
        f"{_some(map(repr, found))}, known are {known}; rename its tensors"
    )


def _some(names: Iterable[str]) -> str:
    """The first of them, in what a terminal may be shown."""
    every = [(name if name.isprintable() else ascii(name))[:80] for name in names]
    more = f" and {len(every) - 5} more" if len(every) > 5 else ""
    return ", ".join(every[:5]) + more


def _unfit(given: Tensor | None, own: Tensor) -> str:
    """Why `given` cannot take the place of `own`; "" if it can."""
    if given is None:
        return "is missing"
    if given.shape != own.shape:
        return f"has the shape {tuple(given.shape)}"
    plain = given.layout == torch.strided and given.device.type == "cpu"
    if not plain or given.is_floating_point() != own.is_floating_point():
        return f"is of another kind ({given.dtype}, {given.layout}, {given.device})"
    if not bool(torch.isfinite(given.to(own.dtype)).all()):  # float64's may overflow
        return "holds values that are not finite"
    return ""
