"""Backbones and heads: sizes as the papers state them, initial weights a function of the seed."""

import pytest
import torch

from harness.model.encoder import build
from harness.recipe.schema import Model


def model(backbone: str, **more: object) -> Model:
    return Model.model_validate({"backbone": backbone, "bn_group": 2, **more})


@pytest.mark.parametrize(
    ("backbone", "width", "millions"),
    [("resnet50", 1, 24), ("resnet50", 2, 94), ("resnet50", 4, 375), ("resnext50_32x8d", 1, 46)],
)
def test_parameters_of_the_feature_extractor(backbone: str, width: int, millions: int) -> None:
    """v1 Table 1 prints 24, 94, 375 and 46 million."""
    with torch.device("meta"):
        encoder = build(model(backbone, width=width), 0)
    count = sum(p.numel() for p in encoder.backbone.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.03)


@pytest.mark.parametrize(
    ("backbone", "features"),
    [("miniature", 64), ("resnet18", 512), ("resnet18_cifar", 512), ("resnet50", 2048)],
)
def test_shapes(backbone: str, features: int) -> None:
    encoder = build(model(backbone), 0).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert encoder.backbone(x).shape == (2, features)
        assert encoder(x).shape == (2, 128)
    assert encoder.feature_dim == features


def test_the_cifar_stem_keeps_the_resolution() -> None:
    backbone = build(model("resnet18_cifar"), 0).backbone
    x = torch.randn(1, 3, 32, 32)
    conv1, maxpool = backbone.get_submodule("conv1"), backbone.get_submodule("maxpool")
    assert maxpool(conv1(x)).shape == (1, 64, 32, 32)
    assert conv1.kernel_size == (3, 3)


def test_the_cifar_stem_is_drawn_as_the_demo_draws_it() -> None:
    """nn.Conv2d's own uniform draw, |w| < 1 / sqrt(27); all others as ResNet draws them."""
    backbone = build(model("resnet18_cifar"), 0).requires_grad_(False).backbone
    stem = backbone.conv1.weight
    assert float(stem.abs().max()) <= 27**-0.5
    assert float(stem.std()) == pytest.approx((3 * 27) ** -0.5, rel=0.05)
    other = backbone.get_parameter("layer1.0.conv1.weight")
    assert float(other.std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    wide = build(model("resnet18", width=2), 0).requires_grad_(False).backbone.conv1.weight
    assert float(wide.std()) == pytest.approx((2 / (128 * 49)) ** 0.5, rel=0.05)


def test_the_mlp_head_has_one_hidden_layer_as_wide_as_the_features() -> None:
    """v2 Sec. 3: 2-layer MLP, hidden layer 2048-d for ResNet-50, with ReLU, without batch norm."""
    head = build(model("miniature", head="mlp"), 0).head
    shapes = [tuple(p.shape) for p in head.parameters()]
    assert shapes == [(64, 64), (64,), (128, 64), (128,)]
    assert isinstance(head.get_submodule("1"), torch.nn.ReLU)


def test_initial_weights_follow_the_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = build(model("miniature"), 7).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    again = build(model("miniature"), 7).state_dict()
    other = build(model("miniature"), 8).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("backbone", ["miniature", "resnet18_cifar"])
def test_the_memory_layout_changes_nothing(backbone: str, device: str) -> None:
    """Groups are split along the images in either layout."""
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double().to(device)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        encoder = build(model(backbone), 0).double().to(device).to(memory_format=layout)
        out = encoder(x.to(memory_format=layout))
        out.square().sum().backward()
        gradients = [p.grad.contiguous() for p in encoder.parameters() if p.grad is not None]
        found.append([out, *gradients, *encoder.buffers()])
    assert len(found[0]) > 10
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
