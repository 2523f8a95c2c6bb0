"""The network to export, read from the last checkpoint of its pre-training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.data.datasets import normalisation
from harness.data.images import CENTER
from harness.errors import RecipeError, StoreError
from harness.model.encoder import Encoder, build
from harness.model.running_statistics import SHARE
from harness.recipe.schema import Data, Model, Recipe
from harness.runtime import checkpoint
from harness.store.layout import StageFolder

WHOLE = {"cifar10": 32, "cifar100": 32, "stl10": 96}
"""Sizes at which a data set's images are evaluated without resizing or cropping."""


@dataclass(frozen=True)
class Views:
    """How images are prepared for evaluation: RGB in [0, 1], then (x - mean) / std."""

    size: int
    """Side of the network's square input, in pixels."""
    share: float
    """Share of the resized image's short side that the central crop keeps; 1: no resizing."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def short_side(self) -> int:
        """Length of the short side after resizing, before the crop, in pixels."""
        return round(self.size / self.share)


@dataclass(frozen=True)
class Network:
    """One encoder, its tensors on the CPU, contiguous."""

    model: Model
    views: Views
    backbone: Mapping[str, Tensor]
    """By torchvision's names."""
    head: Mapping[str, Tensor]
    """By torchvision's names, as fc.*; empty if it is not exported."""
    statistics: str
    """Whose running statistics batch norm uses, in words."""
    lent: bool
    """Whether a key encoder uses the query encoder's statistics."""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Backbone and head by torchvision's names."""
        return {**self.backbone, **self.head}

    @property
    def features(self) -> int:
        """Width of the pooled features."""
        last = max(name for name in self.backbone if re.fullmatch(r"layer4\.0\.bn\d\.bias", name))
        return len(self.backbone[last])

    @property
    def blocks(self) -> list[int]:
        """How many residual blocks each of the four layers has."""
        found = {match[1] for name in self.backbone if (match := re.match(r"(layer\d\.\d+)", name))}
        return [sum(name.startswith(f"layer{n}.") for name in found) for n in range(1, 5)]

    @property
    def is_bottleneck(self) -> bool:
        """Whether its blocks have three convolutions; else two."""
        return "layer1.0.conv3.weight" in self.backbone


def read(
    folder: StageFolder, recipe: Recipe, result: Mapping[str, Any], *, head: bool, key: bool
) -> Network:
    """The encoder of a finished pre-training.

    Args:
        result: the stage's result.json, with the last step and the weights' digest.
        head: include the projection head.
        key: the key encoder instead of the query encoder.

    Raises:
        StoreError: the checkpoint is missing, damaged or not the one that the result names.
        RecipeError: the method has no key encoder, or the head is neither trained nor given.
    """
    try:
        made = network(recipe, _checkpoint(folder, result), head=head, key=key)
    except ValueError as error:
        raise StoreError(
            f"{folder.checkpoints}: the last checkpoint does not fit the stage's recipe ({error}); "
            "move it away and run again"
        ) from error
    if head and recipe.optim.epochs == 0 and recipe.model.weights is not None:
        drawn = build(recipe.model, recipe.seed).head.state_dict()
        if any(torch.equal(made.head[f"fc.{name}"], tensor) for name, tensor in drawn.items()):
            raise RecipeError(
                f"{folder.id}: the given weights have no head that fits, so the head would be "
                "random: leave --head out"
            )
    return made


def network(recipe: Recipe, state: Mapping[str, Tensor], *, head: bool, key: bool) -> Network:
    """One of a mechanism's encoders.

    Args:
        state: the mechanism's tensors by name.
        head, key: see `read`.

    Raises:
        ValueError: a tensor is missing, or its shape differs from the recipe's.
        RecipeError: the method has no key encoder.
    """
    with torch.device("meta"):
        wanted = Encoder(recipe.model).state_dict()
    found, lent = _encoder(state, "key." if key else "query.", wanted)
    if key and not any(name in found for name in wanted if name not in lent):
        raise RecipeError(
            f"contrast.kind {recipe.contrast.kind} has no key encoder; leave --key out"
        )
    wrong = [name for name, of in wanted.items() if not _fits(found.get(name), of)]
    if wrong:
        raise ValueError(", ".join(wrong[:3]))
    parts: dict[str, dict[str, Tensor]] = {"backbone": {}, "head": {}}
    for name in wanted:
        part, _, rest = name.partition(".")
        parts[part][rest if part == "backbone" else f"fc.{rest}"] = found[name].contiguous()
    return Network(
        recipe.model,
        _views(recipe.data),
        parts["backbone"],
        parts["head"] if head else {},
        _statistics(recipe, key=key, lent=bool(lent)),
        bool(lent),
    )


def _checkpoint(folder: StageFolder, result: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """The mechanism's tensors in the checkpoint whose digest the result names."""
    digest, step = result.get("weights"), result.get("step")
    at = (path for found, path in checkpoint.listed(folder.checkpoints) if found == step)
    path = next((path for path in at if path.stem.endswith(f"-{digest}")), None)
    state = checkpoint.read(path) if path is not None else None
    if state is None:
        raise StoreError(
            f"{folder.checkpoints}: the checkpoint of the last step, {step}, whose digest the "
            f"result names ({digest}), is missing or damaged; restore it, or move the run's "
            "folder away and pre-train again"
        )
    mechanism = state.get("mechanism")
    if state.get("stage") != folder.id or not isinstance(mechanism, dict):
        raise StoreError(
            f"{path}: belongs to {state.get('stage')}, not to this stage; move it away"
        )
    return {name: x for name, x in mechanism.items() if isinstance(x, Tensor)}


def _encoder(
    state: Mapping[str, Tensor], prefix: str, wanted: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """(the encoder's tensors, names of those taken from the query encoder): a key encoder that
    always normalises with its batch has no running statistics."""
    found = {name: state[prefix + name] for name in wanted if prefix + name in state}
    kept = ("running_mean", "running_var", "num_batches_tracked")
    lent = [name for name in wanted if name not in found and name.endswith(kept)]
    lent = lent if prefix != "query." else []
    found |= {name: state[f"query.{name}"] for name in lent if f"query.{name}" in state}
    return found, lent


def _fits(given: Tensor | None, own: Tensor) -> bool:
    return given is not None and given.shape == own.shape and given.dtype == own.dtype


def _statistics(recipe: Recipe, *, key: bool, lent: bool) -> str:
    first = recipe.model.running_stats == "first_group"
    of = "the first group's statistics" if first else "the groups' mean statistics"
    whose = f"moving average ({SHARE} a step) of {of}"
    if recipe.optim.epochs == 0:
        whose = "as given" if recipe.model.weights is not None else "initial, mean 0 and variance 1"
    if lent:
        return (
            f"the query encoder's, {whose}: the key encoder has none, so features differ slightly "
            "from those in training"
        )
    return f"the {'key' if key else 'query'} encoder's own, {whose}"


def _views(data: Data) -> Views:
    mean, std = normalisation(data)
    whole = data.name == "embedded" or WHOLE.get(data.name) == data.size
    return Views(data.size, 1.0 if whole else CENTER, mean, std)
