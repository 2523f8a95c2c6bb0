"""detectron2: a pickle of NumPy arrays by detectron2's names, and the matching settings."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.export.network import Network
from harness.recipe.schema import Model
from harness.recipe.yaml_text import render

WEIGHTS = "model.pkl"
PROTOCOL = 4

_NAME = re.compile(r"(?:layer(\d)\.(\d+)\.)?(?:(conv|bn)(\d)|downsample\.([01]))\.(\w+)")


def renamed(name: str) -> str:
    """detectron2's name for torchvision's `name`."""
    match = _NAME.fullmatch(name)
    assert match is not None, name
    place = f"res{int(match[1]) + 1}.{match[2]}" if match[1] else "stem"
    part = f"conv{match[4]}" if match[3] else "shortcut"
    norm = ".norm" if match[3] == "bn" or match[5] == "1" else ""
    return f"{place}.{part}{norm}.{match[6]}"


def files(network: Network, facts: Mapping[str, str]) -> dict[str, bytes]:
    """The pickle for detectron2's checkpointer; it has no place for facts."""
    del facts
    arrays = {
        renamed(name): tensor.numpy()
        for name, tensor in network.backbone.items()
        if not name.endswith("num_batches_tracked")
    }
    content = {"model": arrays, "__author__": "moco-harness", "matching_heuristics": True}
    return {WEIGHTS: pickled(content)}


def pickled(content: Mapping[str, Any]) -> bytes:
    """A pickle that any NumPy reads."""
    buffer = io.BytesIO()
    _Portable(buffer, PROTOCOL).dump(content)
    return buffer.getvalue()


class _Portable(pickle.Pickler):
    """Pickles arrays as a call of numpy.ndarray. By default NumPy 2 names one of its own modules,
    which NumPy 1, common among detectron2's users, does not have."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            little = value.astype(value.dtype.newbyteorder("<"), copy=False)
            return np.ndarray, (value.shape, little.dtype.str, bytearray(little.tobytes()))
        return NotImplemented


def usage(network: Network) -> str:
    """The settings with which detectron2 builds this network and prepares images as
    pre-training did."""
    return (
        "detectron2's settings for these weights. Batch norm is trained and synchronised, as in "
        "the papers; frozen, it would keep the statistics of the pre-training "
        f"data.\n\n```yaml\n{render(_settings(network))}```\n\nFor a C4 detector `res5` goes to "
        "`roi_heads.res5`, as detectron2's heuristics match it. The file is a pickle: load it "
        "only if you trust its source.\n"
    )


def _settings(network: Network) -> dict[str, Any]:
    model, views = network.model, network.views
    msra = model.layout == "msra"
    mean = [round(255 * value, 4) for value in views.mean]
    std = [round(255 * value, 4) for value in views.std]
    return {
        "MODEL": {
            "WEIGHTS": WEIGHTS,
            "PIXEL_MEAN": mean[::-1] if msra else mean,
            "PIXEL_STD": [1.0] * 3 if msra else std,
            "BACKBONE": {"FREEZE_AT": 0},
            "RESNETS": {"NORM": "SyncBN", **resnet_settings(model)},
        },
        "INPUT": {"FORMAT": "BGR" if msra else "RGB"},
    }


def resnet_settings(model: Model) -> dict[str, Any]:
    """How detectron2 builds the backbone, without its norm."""
    deep = model.backbone not in ("resnet18", "resnet34")
    resnext = model.backbone.startswith("resnext")
    return {
        "DEPTH": int(re.findall(r"\d+", model.backbone)[0]),
        "STRIDE_IN_1X1": model.layout == "msra",
        "NUM_GROUPS": 32 if resnext else 1,
        "WIDTH_PER_GROUP": 8 if resnext else 64 * model.width,
        "STEM_OUT_CHANNELS": 64 * model.width,
        "RES2_OUT_CHANNELS": (256 if deep else 64) * model.width,
    }
