"""Weights given as a file: a checkpoint of other authors, or of this harness.

They are evaluated unchanged, as a control of our own evaluation, or pre-training starts from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.model.encoder import Encoder
from harness.model.networks import HEADS, Network, NoNetwork, chosen, looks_like, some
from harness.model.weights_file import read
from harness.recipe.schema import Weights

COUNT = "num_batches_tracked"
"""Missing in old files, and never read."""


@dataclass(frozen=True)
class UsedWeights:
    """What was taken of given weights."""

    source: str
    """The file, or the run."""
    prefix: str
    """Prefix of the network's names."""
    others: tuple[str, ...]
    """The prefixes of networks that were not taken."""
    head: bool
    """Whether its head was taken too."""

    def __str__(self) -> str:
        left = f", not {some(map(repr, self.others))}" if self.others else ""
        head = "with its head" if self.head else "without a head"
        return f"weights of {self.source}: the network {self.prefix!r}{left}, {head}"


def load_released(
    encoder: Encoder, weights: Weights, root: AnyRoot, *, head: bool, source: str
) -> UsedWeights:
    """Load the backbone, and the head if the file has one that fits and no new one is wanted.

    Args:
        root: the data root, which the file's path is relative to unless it is absolute.
        head: whether the head will be used; then a file without one that fits is refused.
        source: where users can get the file.

    Raises:
        DataError: the file is missing, another one, not readable without running code, lacks
            a tensor that is needed, holds one that is no weight, or belongs to another network; or
            it is not clear which of its networks to take.
    """
    assert weights.file is not None
    path = root / weights.file
    tensors = read(path, weights, source)
    try:
        network = chosen(tensors, weights.prefix)
    except NoNetwork as why:
        raise DataError(f"{path}: {why}") from None
    given = take(encoder, network, weights, needed=head, where=str(path))
    return UsedWeights(weights.named, network.prefix, network.others, given)


def take(encoder: Encoder, network: Network, weights: Weights, *, needed: bool, where: str) -> bool:
    """Load the network into the encoder; returns whether its head was loaded too.

    Args:
        needed: whether a network without a head that fits is refused. If the recipe wants a new
            head, none is loaded.
        where: where the network comes from, for messages.

    Raises:
        DataError: it is another network than the encoder's.
    """
    state = encoder.state_dict()
    own = {n.removeprefix("backbone."): each for n, each in state.items() if _is_backbone(n)}
    wrong = misfits(network.tensors, own)
    extra = [n for n in network.tensors if n not in own and n.split(".")[0] not in HEADS]
    lacking: list[str] = []
    head: dict[str, Tensor] = {}
    if weights.head == "given":
        drawn = {name: each for name, each in state.items() if not _is_backbone(name)}
        head, lacking = _head(network, drawn)
    hint = f" (its names are those of {seen})" if (seen := looks_like(network.tensors)) else ""
    if needed and lacking:
        if not wrong and not extra:
            raise DataError(
                f"{where}: its head does not fit the recipe's: {'; '.join(lacking[:3])}; to "
                "evaluate its backbone, set knn.layer: backbone; to train with a new head, set "
                "model.weights.head: new"
            )
        wrong += lacking
    if wrong or extra:
        wrong = wrong[:3] + [f"{len(wrong) - 3} more such"] * (len(wrong) > 3)
        if extra:
            count = f"{len(extra)} tensors" if len(extra) > 1 else "a tensor"
            wrong.append(f"{count} not in the recipe's network: {some(extra)}")
        raise DataError(
            f"{where}: weights of another network than model.backbone and model.width give, or "
            f"damaged: {'; '.join(wrong)}{hint}"
        )
    fits = {f"backbone.{n}": network.tensors[n] for n in own if n in network.tensors}
    encoder.load_state_dict(state | fits | head)
    return bool(head)


def _is_backbone(name: str) -> bool:
    return name.startswith("backbone.")


def misfits(given: Mapping[str, Tensor], own: Mapping[str, Tensor], before: str = "") -> list[str]:
    """Each tensor of `own` that is missing in `given`, or cannot replace it, with the reason.

    Args:
        own: of a network, on any device.
        before: what to put before the names.
    """
    found = []
    for name, tensor in own.items():
        missing = name not in given and name.endswith(COUNT)
        if not missing and (why := _unfit(given.get(name), tensor)):
            found.append(f"{before}{name} {why}; the recipe needs {tuple(tensor.shape)}")
    return found


def _head(network: Network, own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """(the network's head that fits, by the encoder's names, []); or ({}, what is wrong)."""
    wanted = {name.removeprefix("head."): each for name, each in own.items()}
    wrong: list[str] = []
    for at, given in network.heads.items() or [("fc.", {})]:
        shown = at.removeprefix(network.prefix)
        found = misfits(given, wanted, shown)
        found += [
            f"{shown}{n} does not belong to the recipe's head" for n in given if n not in wanted
        ]
        if not found:
            return {f"head.{name}": given[name] for name in wanted}, []
        wrong = wrong or found
    return {}, wrong


def _unfit(given: Tensor | None, own: Tensor) -> str:
    """Why `given` cannot replace `own`; "" if it can."""
    if given is None:
        return "is missing"
    if given.shape != own.shape:
        return f"has the shape {tuple(given.shape)}"
    plain = given.layout == torch.strided and given.device.type == "cpu"
    if not plain or given.is_floating_point() != own.is_floating_point():
        return f"has another type ({given.dtype}, {given.layout}, {given.device})"
    if not bool(torch.isfinite(given.to(own.dtype)).all()):  # float64 values may overflow
        return "has values that are not finite"
    return ""
