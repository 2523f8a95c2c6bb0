"""FCN-16s: the paper's network, against a plain construction from torchvision's ResNet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from harness.errors import DataError
from harness.model.encoder import build
from harness.model.fcn import FCN, build_fcn, load_backbone
from harness.recipe.schema import Model


def model(backbone: str, **more: object) -> Model:
    return Model.model_validate({"backbone": backbone, "bn_group": 2, **more})


def plain(name: str, classes: int) -> nn.Sequential:
    """The same network, each convolution of the last stage written out."""
    net = getattr(torchvision.models, name)(weights=None)
    for block in net.layer4:
        deep = hasattr(block, "conv3")
        width = block.conv2.out_channels
        inside = width if deep else block.conv1.in_channels
        if deep:
            block.conv2 = nn.Conv2d(inside, width, 3, 1, 2, dilation=2, bias=False)
        else:
            block.conv1 = nn.Conv2d(inside, width, 3, 1, 2, dilation=2, bias=False)
            block.conv2 = nn.Conv2d(width, width, 3, 1, 2, dilation=2, bias=False)
        if block.downsample is not None:
            old = block.downsample[0]
            block.downsample[0] = nn.Conv2d(old.in_channels, old.out_channels, 1, bias=False)
    features = net.fc.in_features
    trunk = nn.Sequential(
        *(net.conv1, net.bn1, net.relu, net.maxpool),
        *(net.layer1, net.layer2, net.layer3, net.layer4),
    )
    return nn.Sequential(
        trunk,
        nn.Conv2d(features, 256, 3, padding=6, dilation=6, bias=False),
        nn.BatchNorm2d(256),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=6, dilation=6, bias=False),
        nn.BatchNorm2d(256),
        nn.ReLU(),
        nn.Conv2d(256, classes, 1),
    )


def weights(net: nn.Module) -> Iterator[Tensor]:
    """In the order of definition, running statistics too."""
    return iter(net.state_dict().values())


def test_parameters_on_resnet50_with_the_classes_of_voc() -> None:
    with torch.device("meta"):
        network = FCN(model("resnet50"), 21, 16)
    assert sum(each.numel() for each in network.parameters()) == 28_822_869


@pytest.mark.parametrize(
    ("name", "training"),
    [("resnet18", False), ("resnet34", False), ("resnet50", False), ("resnet50", True)],
)
def test_scores_equal_those_of_a_plain_construction(name: str, training: bool) -> None:
    torch.manual_seed(0)
    other = plain(name, 5).double().train(training)
    network = FCN(model(name), 5, 2).double().train(training)
    for state in (each for each in weights(other) if each.dim() == 1 and each.is_floating_point()):
        state.uniform_(0.5, 1.5)  # norms and running statistics that matter
    own = network.state_dict()
    order = [n for n in own if n.startswith("backbone.")]
    # torchvision defines a block's downsample last, as the harness does: the orders agree.
    network.load_state_dict(
        dict(zip([*order, *(n for n in own if n not in order)], weights(other), strict=True))
    )
    x = torch.randn(2, 3, 65, 81, dtype=torch.float64)
    expected = F.interpolate(other(x), (65, 81), mode="bilinear", align_corners=True)
    found = network(x)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x8d"])
def test_every_block_of_the_last_stage_is_dilated(name: str) -> None:
    with torch.device("meta"):
        network = FCN(model(name), 2, 2)
    last = network.backbone.get_submodule("layer4")
    convolutions = [m for m in last.modules() if isinstance(m, nn.Conv2d)]
    assert {m.stride for m in convolutions} == {(1, 1)}
    wide = [m for m in convolutions if m.kernel_size == (3, 3)]
    assert {(m.dilation, m.padding) for m in wide} == {((2, 2), (2, 2))}
    assert len(wide) == (4 if name == "resnet18" else 3)


@pytest.mark.parametrize(
    ("name", "stride"), [("miniature", 4), ("resnet18", 16), ("resnet18_cifar", 4)]
)
def test_a_cell_of_the_map_lies_on_its_multiple_of_the_stride(name: str, stride: int) -> None:
    network = FCN(model(name), 3, 2).eval()
    assert network.stride == stride
    with torch.no_grad():
        x = torch.randn(1, 3, 4 * stride + 1, 2 * stride + 1)
        cells = network.head(network.backbone.feature_map(x))
        assert cells.shape == (1, 3, 5, 3)
        torch.testing.assert_close(network(x)[:, :, ::stride, ::stride], cells)


@pytest.mark.parametrize(("height", "width"), [(48, 48), (33, 50), (64, 49)])
def test_any_size_is_scored_as_if_padded_with_zeros(height: int, width: int) -> None:
    network = FCN(model("miniature"), 3, 2).eval()
    with torch.no_grad():
        x = torch.randn(1, 3, height, width)
        longer = torch.zeros(1, 3, 65, 53)
        longer[:, :, :height, :width] = x
        tall, wide = (4 * -(-(side - 1) // 4) + 1 for side in (height, width))
        expected = network(longer[:, :, :tall, :wide])[:, :, :height, :width]
        assert network(x).shape == (1, 3, height, width)
        torch.testing.assert_close(network(x), expected)


def test_initial_weights_are_a_function_of_the_stream() -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one, same, other = (
        build_fcn(model("miniature"), 11, 4, *stream).state_dict()
        for stream in ((0, "trial", 0), (0, "trial", 0), (0, "trial", 1))
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.0.weight"], other["head.0.weight"])
    assert float(one["head.6.weight"].std()) == pytest.approx(0.01, rel=0.2)
    assert float(one["head.6.bias"].abs().max()) == 0
    assert float(one["head.0.weight"].std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


def test_norms_take_the_group_of_the_batch_not_of_pre_training() -> None:
    network = FCN(model("miniature"), 3, 6)
    groups = {m.group for m in network.modules() if hasattr(m, "group")}
    assert groups == {6}


@pytest.mark.parametrize("name", ["miniature", "resnet18"])
def test_a_parents_backbone_is_loaded_whole(name: str) -> None:
    parent = build(model(name), 3).backbone.state_dict()
    network = build_fcn(model(name), 3, 2, 0)
    load_backbone(network, parent, "runs/parent")
    loaded = network.backbone.state_dict()
    assert all(torch.equal(loaded[each], parent[each]) for each in parent)


@pytest.mark.parametrize("spoilt", ["missing", "left over", "shape"])
def test_weights_that_do_not_match_are_refused_by_name(spoilt: str) -> None:
    parent = dict(build(model("miniature"), 3).backbone.state_dict())
    network = build_fcn(model("miniature"), 3, 2, 0)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    name = "blocks.1.conv2.weight"
    if spoilt == "missing":
        del parent[name]
    elif spoilt == "shape":
        parent[name] = parent[name][:3]
    else:
        parent[name := "layer9.weight"] = torch.zeros(1)
    with pytest.raises(DataError, match=f"runs/parent.*{name}"):
        load_backbone(network, parent, "runs/parent")
    assert all(torch.equal(each, before[n]) for n, each in network.state_dict().items())
