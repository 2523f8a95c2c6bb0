"""Encoders with ordinary batch norms, for the oracles, which group by themselves."""

from __future__ import annotations

import torch
from torch import nn

from harness.model.encoder import Encoder, build
from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.recipe.schema import Model


def plain(model: Model, seed: int) -> Encoder:
    """The recipe's encoder at its initial weights, its grouped norms replaced by plain ones."""
    whole = build(model, seed)
    for name, module in list(whole.named_modules()):
        if isinstance(module, GroupedBatchNorm2d):
            ordinary = nn.BatchNorm2d(module.num_features)
            ordinary.load_state_dict(module.state_dict())
            parent, _, leaf = name.rpartition(".")
            setattr(whole.get_submodule(parent), leaf, ordinary)
    return whole


def same(ours: nn.Module, theirs: nn.Module, *, statistics: bool = True) -> None:
    """Assert equal parameters and running statistics, by name; without `statistics` ours has none,
    and those of theirs do not count."""
    expected = theirs.state_dict() if statistics else dict(theirs.named_parameters())
    assert expected.keys() == {k for k in ours.state_dict() if "extra_state" not in k}
    for name, tensor in expected.items():
        torch.testing.assert_close(
            ours.state_dict()[name], tensor.detach(), rtol=0, atol=1e-9, msg=name
        )
