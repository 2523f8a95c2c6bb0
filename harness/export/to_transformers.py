"""transformers: a Hugging Face folder for its ResNet classes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from harness.export.network import Network
from harness.model.safetensors import encoded

WEIGHTS = "model.safetensors"
_PARTS = {"conv": "convolution", "bn": "normalization"}


def renamed(name: str) -> str:
    """transformers' name for torchvision's `name`."""
    if match := re.fullmatch(r"(conv|bn)1\.(\w+)", name):
        return f"resnet.embedder.embedder.{_PARTS[match[1]]}.{match[2]}"
    if name.startswith("fc."):
        return name.replace("fc", "classifier.1", 1)
    match = re.fullmatch(r"layer(\d)\.(\d+)\.(?:(conv|bn)(\d)|downsample\.([01]))\.(\w+)", name)
    assert match is not None, name
    block = f"resnet.encoder.stages.{int(match[1]) - 1}.layers.{match[2]}"
    if match[3]:
        return f"{block}.layer.{int(match[4]) - 1}.{_PARTS[match[3]]}.{match[6]}"
    return f"{block}.shortcut.{_PARTS['conv' if match[5] == '0' else 'bn']}.{match[6]}"


def files(network: Network, facts: Mapping[str, str]) -> dict[str, bytes]:
    """The weights, with the facts as metadata, config.json and preprocessor_config.json."""
    tensors = {renamed(name): tensor for name, tensor in network.tensors.items()}
    return {
        WEIGHTS: encoded(tensors, {"format": "pt", **facts}),
        "config.json": _json(_config(network)),
        "preprocessor_config.json": _json(_preprocessor(network)),
    }


def usage(network: Network) -> str:
    """Code that loads the folder."""
    kind = "AutoModelForImageClassification" if network.head else "AutoModel"
    gives = "logits are the head's outputs" if network.head else "pooler_output has the features"
    return (
        f"```python\nfrom transformers import {kind}\n\n"
        f'model = {kind}.from_pretrained("FOLDER").eval()\n```\n\n'
        f"Of what it returns {gives}{'' if network.head else ', (N, C, 1, 1)'}.\n"
    )


def _config(network: Network) -> dict[str, Any]:
    channels = network.backbone["conv1.weight"].shape[0]
    widths = [network.features // 2**n for n in (3, 2, 1, 0)]
    outputs = {"id2label": {str(n): f"embedding_{n}" for n in range(network.model.dim)}}
    return {
        "architectures": ["ResNetForImageClassification" if network.head else "ResNetModel"],
        "model_type": "resnet",
        "num_channels": 3,
        "embedding_size": channels,
        "hidden_sizes": widths,
        "depths": network.blocks,
        "layer_type": "bottleneck" if network.is_bottleneck else "basic",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
        **(outputs if network.head else {}),
    }


def _preprocessor(network: Network) -> dict[str, Any]:
    views = network.views
    resizes = views.share < 1
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": True,
        "do_resize": resizes,
        "size": {"shortest_edge": views.short_side},
        "resample": 2,  # PIL's bilinear
        "do_center_crop": resizes,
        "crop_size": {"height": views.size, "width": views.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(views.mean),
        "image_std": list(views.std),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
