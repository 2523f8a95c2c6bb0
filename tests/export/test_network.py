from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.made import encoder, recipe
from harness.errors import RecipeError
from harness.export.network import network

KEPT = ("running_mean", "running_var", "num_batches_tracked")


def state(*, key: bool, own: bool = True) -> dict[str, Tensor]:
    """A mechanism's tensors; those of the key encoder are the query encoder's plus one."""
    query = encoder(recipe("resnet18")).state_dict()
    found = {f"query.{name}": tensor for name, tensor in query.items()}
    for name, tensor in query.items() if key else ():
        if own or not name.endswith(KEPT):
            found[f"key.{name}"] = tensor + 1
    return found


def test_a_key_encoder_with_statistics_of_its_own() -> None:
    given = state(key=True)
    made = network(recipe("resnet18"), given, head=True, key=True)
    assert not made.lent
    assert "key encoder's own" in made.statistics
    for name, tensor in made.backbone.items():
        assert torch.equal(tensor, given[f"query.backbone.{name}"] + 1)
    assert torch.equal(made.head["fc.weight"], given["query.head.weight"] + 1)


def test_a_key_encoder_without() -> None:
    given = state(key=True, own=False)
    made = network(recipe("resnet18"), given, head=False, key=True)
    assert made.lent
    assert not made.head
    for name, tensor in made.backbone.items():
        more = 0 if name.endswith(KEPT) else 1
        assert torch.equal(tensor, given[f"query.backbone.{name}"] + more)


def test_no_key_encoder() -> None:
    with pytest.raises(RecipeError, match="--key"):
        network(recipe("resnet18"), state(key=False), head=False, key=True)


@pytest.mark.parametrize("key", [False, True])
def test_another_networks_tensors(key: bool) -> None:
    given = state(key=True)
    del given[f"{'key' if key else 'query'}.backbone.layer1.0.conv1.weight"]
    with pytest.raises(ValueError, match="conv1"):
        network(recipe("resnet18"), given, head=False, key=key)
    with pytest.raises(ValueError, match="layer1"):
        network(recipe("resnet50"), state(key=True), head=False, key=key)


def test_the_networks_form() -> None:
    made = network(recipe("resnet18"), state(key=False), head=False, key=False)
    assert (made.features, made.blocks, made.is_bottleneck) == (512, [2, 2, 2, 2], False)
