"""Recognise which of the recipe's networks a file holds, by its tensors' names and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from harness.errors import DataError
from harness.model.encoder import Encoder
from harness.model.networks import HEADS, NoNetwork, chosen, looks_like
from harness.model.released import misfits
from harness.model.weights_file import read
from harness.recipe.schema import Model, Weights
from harness.recipe.sections import WIDER

BACKBONES: tuple[str, ...] = get_args(Model.model_fields["backbone"].annotation)
STEMS = {"miniature": 16}
"""Channels of a backbone's stem at width 1, where it is not RESNET."""
RESNET = 64


@dataclass(frozen=True)
class Recognised:
    """The network of a file."""

    backbone: str
    width: int
    head: Literal["fc", "mlp"] | None
    """None: the file has no head of a form that a recipe builds."""
    dim: int
    """Width of the head's output; 0 without a head."""
    prefix: str
    """What stands before its names in the file."""
    others: tuple[str, ...]
    """The prefixes of the file's other networks, which are not taken."""


def recognise(path: Path, prefix: str | None = None) -> Recognised:
    """The network that a recipe takes from the file. No code of the file is run.

    Args:
        prefix: the network's prefix in the file, as a recipe's model.weights.prefix; None: found.

    Raises:
        DataError: the file cannot be read or holds no network; it is not clear which of several is
            meant; or the network is none that a recipe can build.
    """
    tensors = read(path, Weights(file=str(path)), "where it comes from")
    try:
        network = chosen(tensors, prefix)
    except NoNetwork as why:
        raise DataError(f"{path}: {why}") from None
    given = network.tensors
    nearest: tuple[int, str, list[str]] | None = None
    for backbone, width in _candidates(given):
        own, feature = _drawn(backbone, width)
        extra = [n for n in given if n not in own and n.split(".")[0] not in HEADS]
        wrong = misfits(given, own) + [f"{name} is one more" for name in extra]
        if not wrong:
            head, dim = next(_heads(network.heads, feature), (None, 0))
            return Recognised(backbone, width, head, dim, network.prefix, network.others)
        if nearest is None or len(wrong) < nearest[0]:
            nearest = len(wrong), backbone, wrong[:2]
    seen = f": {found}" if (found := looks_like(given)) else ""
    near = ""
    if nearest is not None:
        count, backbone, wrong = nearest
        near = f" The nearest is {backbone}, but {count} tensors differ: {'; '.join(wrong)}"
    raise DataError(
        f"{path}: a network that no recipe builds{seen}; they build {', '.join(BACKBONES)}, and "
        f"{' and '.join(WIDER)} wider.{near}"
    )


def _candidates(given: Mapping[str, Tensor]) -> Iterator[tuple[str, int]]:
    """(backbone, width) of the networks with a stem as wide as the file's."""
    stem = given["conv1.weight"]
    channels = stem.shape[0] if stem.dim() else 0
    for backbone in BACKBONES:
        width, rest = divmod(channels, STEMS.get(backbone, RESNET))
        if width and not rest and (width == 1 or backbone in WIDER):
            yield backbone, width


def _drawn(backbone: str, width: int) -> tuple[dict[str, Tensor], int]:
    """The backbone's tensors without their values, and the width of its features."""
    said = {"backbone": backbone, "width": width, "bn_group": 2}
    with torch.device("meta"):
        made = Encoder(Model.model_validate(said))
    return made.backbone.state_dict(), made.feature_dim


def _heads(
    heads: Mapping[str, Mapping[str, Tensor]], feature: int
) -> Iterator[tuple[Literal["fc", "mlp"], int]]:
    """(kind, width of the output) of each head of the file that a recipe builds."""
    for found in heads.values():
        shapes = {name: tuple(each.shape) for name, each in found.items()}
        linear = shapes.get("weight", ())
        if len(linear) == 2 and shapes == {"weight": (linear[0], feature), "bias": linear[:1]}:
            yield "fc", linear[0]
        last = shapes.get("2.weight", ())
        if len(last) == 2 and shapes == {
            "0.weight": (feature, feature),
            "0.bias": (feature,),
            "2.weight": (last[0], feature),
            "2.bias": last[:1],
        }:
            yield "mlp", last[0]
