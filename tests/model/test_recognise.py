"""Which of the recipe's networks a file holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.errors import DataError
from harness.model.encoder import Encoder
from harness.model.recognise import BACKBONES, Recognised, recognise
from harness.recipe.schema import Model

State = dict[str, Tensor]


def state(backbone: str, *, width: int = 1, head: str = "fc", dim: int = 8) -> State:
    """Tensors of these shapes, each of a single number in memory and in a file."""
    said = {"backbone": backbone, "width": width, "bn_group": 2, "head": head, "dim": dim}
    with torch.device("meta"):
        made = Encoder(Model.model_validate(said)).state_dict()
    return {
        name.replace("backbone.", "").replace("head.", "fc."): torch.ones((), dtype=t.dtype).expand(
            t.shape
        )
        for name, t in made.items()
    }


def saved(place: Path, tensors: State, before: str = "") -> Path:
    torch.save({before + name: each for name, each in tensors.items()}, place / "w.pth")
    return place / "w.pth"


@pytest.mark.parametrize("backbone", BACKBONES)
def test_each_backbone(tmp_path: Path, backbone: str) -> None:
    found = recognise(saved(tmp_path, state(backbone, head="mlp")))
    assert found == Recognised(backbone, 1, "mlp", 8, "", ())


@pytest.mark.parametrize(("backbone", "width"), [("miniature", 4), ("resnet50", 2)])
def test_a_wider_one(tmp_path: Path, backbone: str, width: int) -> None:
    found = recognise(saved(tmp_path, state(backbone, width=width)))
    assert (found.backbone, found.width, found.head, found.dim) == (backbone, width, "fc", 8)


def test_without_a_head_and_with_one_of_another_form(tmp_path: Path) -> None:
    tensors = state("resnet18")
    headless = {name: each for name, each in tensors.items() if not name.startswith("fc.")}
    assert recognise(saved(tmp_path, headless)).head is None
    odd = headless | {"fc.0.weight": torch.ones(3, 512), "fc.4.weight": torch.ones(2, 3)}
    assert recognise(saved(tmp_path, odd)).head is None


def test_the_network_that_the_source_evaluates(tmp_path: Path) -> None:
    own = {f"module.encoder_q.{name}": each for name, each in state("resnet18").items()}
    keys = {f"module.encoder_k.{name}": each for name, each in state("resnet18").items()}
    path = saved(tmp_path, own | keys)
    found = recognise(path)
    assert (found.prefix, found.others) == ("module.encoder_q.", ("module.encoder_k.",))
    assert recognise(path, "encoder_k").prefix == "module.encoder_k."


def _deeper() -> State:
    tensors = state("resnet18")
    block = {n.replace("layer3.1", "layer3.2"): t for n, t in tensors.items() if "layer3.1" in n}
    return tensors | block


@pytest.mark.parametrize(
    ("tensors", "named"),
    [
        (_deeper(), "layer3.2.conv1.weight"),
        (
            state("resnet18") | {"layer1.0.conv1.weight": torch.ones(128, 64, 3, 3)},
            "layer1.0.conv1",
        ),
        (state("resnet18") | {"conv1.weight": torch.ones(65, 3, 7, 7)}, "65 channels"),
        ({**state("resnet18"), "layer4.1.bn2.bias": torch.full((512,), torch.nan)}, "layer4.1.bn2"),
        ({"conv1.weight": torch.ones(3)}, "no recipe builds"),
    ],
    ids=["deeper", "wider inside", "a wider stem", "not finite", "no convolution"],
)
def test_another_network_is_refused_by_name(tmp_path: Path, tensors: State, named: str) -> None:
    path = saved(tmp_path, tensors)
    with pytest.raises(DataError, match=named) as refused:
        recognise(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
