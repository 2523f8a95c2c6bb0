"""torchvision loads what is exported for it, by the code in the card, and says the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.resnet import ResNet

from export.made import encoder, exported, files, images, outputs, recipe, same
from harness.export import formats
from harness.export.formats import Format


def loaded(usage: str) -> ResNet:
    """What the card's code makes."""
    code = usage.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(code, names)
    model = names["model"]
    assert isinstance(model, ResNet)
    assert not model.training
    return model.double()


@pytest.mark.parametrize(
    ("backbone", "head", "with_head"),
    [
        ("resnet18", "fc", False),
        ("resnet18_cifar", "fc", False),
        ("resnet18", "fc", True),
        ("resnet50", "mlp", True),
        ("resnext50_32x8d", "mlp", False),
    ],
)
def test_it_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str, head: str, with_head: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    of = recipe(backbone, head=head)
    made, x = encoder(of), images(32)
    for name, content in files(Format.torchvision, of, made, head=with_head).items():
        Path(name).write_bytes(content)
    model = loaded(formats.usage(Format.torchvision, exported(of, made, head=with_head)))
    with torch.no_grad():
        assert same(model(x), outputs(made, x, head=with_head))
        nn.init.zeros_(model.bn1.running_mean)  # the comparison would see a tensor that is off
        assert not same(model(x), outputs(made, x, head=with_head))


def test_the_same_network_is_the_same_file() -> None:
    of = recipe("resnet18")
    for form in Format:
        assert files(form, of, encoder(of)) == files(form, of, encoder(of))


def test_tensors_in_another_layout() -> None:
    of = recipe("resnet18")
    made = encoder(of)
    plain = files(Format.timm, of, made)
    assert files(Format.timm, of, made.to(memory_format=torch.channels_last)) == plain
