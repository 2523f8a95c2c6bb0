"""torchvision: a state dict for torch.load; the harness uses torchvision's names."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch

from harness.export.network import Network

WEIGHTS = "model.pth"


def files(network: Network, facts: Mapping[str, str]) -> dict[str, bytes]:
    """The file of weights; a state dict has no place for facts."""
    del facts
    buffer = io.BytesIO()
    torch.save({name: tensor.clone() for name, tensor in network.tensors.items()}, buffer)
    return {WEIGHTS: buffer.getvalue()}


def usage(network: Network) -> str:
    """Code that builds the network and loads the file."""
    return (
        "```python\nimport torch\nfrom torchvision.models import resnet\n\n"
        f"model = {_network(network)}\n"
        f"{_stem(network)}{_head(network)}"
        f'model.load_state_dict(torch.load("{WEIGHTS}", weights_only=True))\nmodel.eval()\n```\n'
    )


def _network(network: Network) -> str:
    name = network.model.backbone.removesuffix("_cifar")
    if name == "resnext50_32x8d":  # torchvision has a name only for 101 layers of this width
        return "resnet.ResNet(resnet.Bottleneck, [3, 4, 6, 3], groups=32, width_per_group=8)"
    return f"resnet.{name}()"


def _stem(network: Network) -> str:
    if not network.model.backbone.endswith("_cifar"):
        return ""
    return (
        "model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)\n"
        "model.maxpool = torch.nn.Identity()\n"
    )


def _head(network: Network) -> str:
    features, dim = network.features, network.model.dim
    if not network.head:
        return "model.fc = torch.nn.Identity()\n"
    last = f"torch.nn.Linear({features}, {dim})"
    if network.model.head == "fc":
        return f"model.fc = {last}\n"
    first = f"torch.nn.Linear({features}, {features})"
    return f"model.fc = torch.nn.Sequential({first}, torch.nn.ReLU(), {last})\n"
