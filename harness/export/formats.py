"""The export formats, and which networks each can express."""

from __future__ import annotations

import importlib
from enum import StrEnum
from types import ModuleType
from typing import TYPE_CHECKING

from harness.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.export.network import Network
    from harness.recipe.schema import Model

WIDE_STEM = "its ResNets have a stem of 64 channels, but model.width is {width}"
NO_SMALL_STEM = "its ResNets start with a 7x7 convolution of stride 2 and max-pooling"


class Format(StrEnum):
    """The library whose tensor names and files are used."""

    torchvision = "torchvision"
    timm = "timm"
    detectron2 = "detectron2"
    transformers = "transformers"


def why_not(form: Format, model: Model, *, head: bool) -> str:
    """Why the format's library cannot build the network; "" if it can."""
    name, width = model.backbone, model.width
    if model.layout == "msra" and form != Format.detectron2:
        return "its blocks have the stride in the 3x3 convolution, and its images are RGB"
    if name == "miniature":
        return "no library has this network"
    if name.endswith("_cifar") and form != Format.torchvision:
        return NO_SMALL_STEM
    if width > 1 and form in (Format.torchvision, Format.timm):
        return WIDE_STEM.format(width=width)
    if name.startswith("resnext") and form == Format.transformers:
        return "its ResNets have no grouped convolutions"
    if head and form == Format.detectron2:
        return "it has no projection head"
    if head and model.head == "mlp" and form in (Format.timm, Format.transformers):
        return "it has one layer after the backbone, but model.head mlp has two"
    return ""


def refuse(form: Format, model: Model, *, head: bool) -> None:
    """Raise an error if the format cannot express the network.

    Raises:
        RecipeError: it cannot; names the formats that can.
    """
    why = why_not(form, model, head=head)
    if not why:
        return
    others = [each.value for each in Format if not why_not(each, model, head=head)]
    bare = head and not why_not(form, model, head=False)
    ways = [f"--format {each}" for each in others] + ["leave --head out"] * bare
    use = f"use {' or '.join(ways)}" if ways else "only this harness can use it"
    what = f"model.layout {model.layout}, " if model.layout != "torchvision" else ""
    what += f"model.backbone {model.backbone}" + (f" with its {model.head} head" if head else "")
    raise RecipeError(f"{what} cannot be exported to {form.value}: {why}; {use}")


def files(form: Format, network: Network, facts: Mapping[str, str]) -> Mapping[str, bytes]:
    """The format's files by name, the weights first.

    Args:
        facts: also written into the file of weights, if the format has a place for them.
    """
    made: Mapping[str, bytes] = _writer(form).files(network, facts)
    return made


def usage(form: Format, network: Network) -> str:
    """Markdown: how to load the files, with the necessary settings."""
    said: str = _writer(form).usage(network)
    return said


def _writer(form: Format) -> ModuleType:
    return importlib.import_module(f"harness.export.to_{form.value}")
