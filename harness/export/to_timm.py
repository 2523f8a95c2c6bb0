"""timm: a Hugging Face folder that `timm.create_model("local-dir:FOLDER", pretrained=True)` loads.

timm's names of these networks are torchvision's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from harness.export.network import Network, Views
from harness.model.safetensors import encoded

WEIGHTS = "model.safetensors"


def files(network: Network, facts: Mapping[str, str]) -> dict[str, bytes]:
    """The weights, with the facts as metadata, and config.json."""
    config = json.dumps(_config(network), indent=2) + "\n"
    return {
        WEIGHTS: encoded(network.tensors, {"format": "pt", **facts}),
        "config.json": config.encode(),
    }


def usage(network: Network) -> str:
    """Code that loads the folder."""
    gives = f"the {network.model.dim} outputs of the head" if network.head else "pooled features"
    return (
        "```python\nimport timm\n\n"
        'model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()\n```\n\n'
        f"It gives {gives}. Without `pretrained=True` the weights are random.\n"
    )


def _config(network: Network) -> dict[str, Any]:
    views, resnext = network.views, network.model.backbone.startswith("resnext")
    outputs = network.model.dim if network.head else 0
    return {
        "architecture": "resnext50_32x4d" if resnext else network.model.backbone,
        "num_classes": outputs,
        "num_features": network.features,
        "global_pool": "avg",
        **({"model_args": {"base_width": 8}} if resnext else {}),
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [3, views.size, views.size],
            "fixed_input_size": False,
            "interpolation": "bilinear",
            "crop_pct": _crop(views),
            "crop_mode": "center",
            "mean": list(views.mean),
            "std": list(views.std),
            "num_classes": outputs,
            "first_conv": "conv1",
            "classifier": "fc",
        },
    }


def _crop(views: Views) -> float:
    """The share with which timm, which rounds down, resizes the short side to the same length."""
    share = views.share
    if math.floor(views.size / share) != views.short_side:
        share = views.size / views.short_side
    while math.floor(views.size / share) < views.short_side:
        share = math.nextafter(share, 0)
    return share
