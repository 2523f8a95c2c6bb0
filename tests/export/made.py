"""Encoders whose every tensor differs from what it is drawn as, and networks of them."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from harness.export import formats
from harness.export.formats import Format
from harness.export.network import Network, network
from harness.model.encoder import Encoder
from harness.recipe.schema import Recipe

DIM = 16


def recipe(backbone: str, *, width: int = 1, head: str = "fc", **data: Any) -> Recipe:
    said = {
        "name": "made",
        "data": {"name": "imagefolder", "folder": "pictures", "size": 64, **data},
        "augment": {},
        "model": {
            "backbone": backbone,
            "width": width,
            "head": head,
            "dim": DIM,
            "bn_group": 8,
        },
        "contrast": {"kind": "moco", "queue": 64, "momentum": 0.9, "temperature": 0.1},
        "optim": {"epochs": 1, "batch": 16, "lr": 0.06, "schedule": {"kind": "constant"}},
    }
    return Recipe.model_validate_json(json.dumps(said))


def undrawn(of: Recipe) -> Encoder:
    """Shapes alone."""
    with torch.device("meta"):
        return Encoder(of.model)


def encoder(of: Recipe) -> Encoder:
    """In eval mode; no tensor, running statistics included, is what a new network has."""
    generator = torch.Generator().manual_seed(7)
    made = undrawn(of).to_empty(device="cpu")
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if not tensor.is_floating_point():
                tensor.fill_(5)
            elif tensor.ndim > 1:
                tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
            elif name.endswith(("bias", "running_mean")):
                tensor.uniform_(-0.5, 0.5, generator=generator)
            else:
                tensor.uniform_(0.5, 1.5, generator=generator)
    return made.eval()


def exported(of: Recipe, made: Encoder, *, head: bool = False) -> Network:
    state = {f"query.{name}": tensor for name, tensor in made.state_dict().items()}
    return network(of, state, head=head, key=False)


def files(form: Format, of: Recipe, made: Encoder, *, head: bool = False) -> dict[str, bytes]:
    return dict(formats.files(form, exported(of, made, head=head), {"stage": "made"}))


def images(size: int = 64) -> Tensor:
    """(2, 3, size, size), float64."""
    drawn = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))
    return drawn.double()


def outputs(made: Encoder, x: Tensor, *, head: bool = False) -> Tensor:
    """What the encoder says in float64."""
    with torch.no_grad():
        double = made.double()
        said: Tensor = double(x) if head else double.backbone(x)
        made.float()
    return said


def same(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and bool((found - wanted).abs().max() <= 1e-6)
