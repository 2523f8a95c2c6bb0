"""MSRA's layout against the network written out with functions, on images as MSRA's are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.model.backbones import Residual, backbone, dilate
from harness.model.detection.build import detector
from harness.model.detection.msra_layout import MEAN, STD, lay_out
from harness.model.detection.pad_groups import PadGroupNorm, run, stages, stem
from harness.recipe.schema import Model

BGR_MEAN = (103.53, 116.28, 123.675)
"""detectron2's PIXEL_MEAN; its PIXEL_STD is 1."""
BLOCKS = (3, 4, 6, 3)


def built(layout: str, *, dilated: bool = False) -> Residual:
    """A backbone in float64 whose weights and statistics differ in every channel."""
    model = Model.model_validate({"backbone": "resnet50", "bn_group": 2})
    torch.manual_seed(5)
    made = backbone(model, PadGroupNorm)
    assert isinstance(made, Residual)
    if layout == "msra":
        lay_out(made)
    if dilated:
        dilate(made)
    generator = torch.Generator().manual_seed(4)
    for name, tensor in made.state_dict().items():
        if name.endswith("running_mean"):
            tensor.uniform_(-0.2, 0.2, generator=generator)
        elif name.endswith(("running_var", "weight")) and tensor.dim() == 1:
            tensor.uniform_(0.5, 1.0, generator=generator)
    made.state_dict()["conv1.weight"].div_(60)
    return made.eval().double()


def normal(rgb: Tensor) -> Tensor:
    """As a detector's images are normalised, (1, 3, H, W)."""
    mean, std = (torch.tensor(x).double().view(3, 1, 1) for x in (MEAN, STD))
    return ((rgb.double() / 255 - mean) / std)[None]


def features(made: Residual, rgb: Tensor) -> list[Tensor]:
    """Each stage's map, by the parts that a detector uses."""
    found = []
    groups = stem(made, [normal(rgb)])
    for stage in stages(made):
        groups = run(stage, groups)
        found.append(groups[0])
    return found


def by_hand(weights: dict[str, Tensor], image: Tensor, last_stride: int = 2) -> list[Tensor]:
    """The same of MSRA's network: BGR minus the mean, strides in the first 1x1 convolutions."""

    def layer(x: Tensor, convolution: str, norm: str, stride: int, dilation: int = 1) -> Tensor:
        weight = weights[f"{convolution}.weight"]
        padding = dilation * (weight.shape[-1] // 2)
        x = F.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation)
        mean, var = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        return F.batch_norm(x, mean, var, weights[f"{norm}.weight"], weights[f"{norm}.bias"])

    bgr = image[[2, 1, 0]].double() - torch.tensor(BGR_MEAN).double().view(3, 1, 1)
    x = F.max_pool2d(F.relu(layer(bgr[None], "conv1", "bn1", 2)), 3, 2, 1)
    found = []
    for number, blocks in enumerate(BLOCKS, start=1):
        wide = 2 if number == 4 and last_stride == 1 else 1
        for block in range(blocks):
            at = f"layer{number}.{block}"
            stride = {1: 1, 4: last_stride}.get(number, 2) if block == 0 else 1
            y = F.relu(layer(x, f"{at}.conv1", f"{at}.bn1", stride))
            y = F.relu(layer(y, f"{at}.conv2", f"{at}.bn2", 1, wide))
            y = layer(y, f"{at}.conv3", f"{at}.bn3", 1)
            beside = x
            if block == 0:
                beside = layer(x, f"{at}.downsample.0", f"{at}.downsample.1", stride)
            x = F.relu(y + beside)
        found.append(x)
    return found


def image() -> Tensor:
    """RGB, of another content in each channel."""
    drawn = torch.randint(0, 256, (3, 70, 61), generator=torch.Generator().manual_seed(1))
    return (drawn // torch.tensor([1, 2, 4]).view(3, 1, 1)).to(torch.uint8)


def close(found: list[Tensor], wanted: list[Tensor]) -> bool:
    return all(
        a.shape == b.shape and bool((a - b).abs().max() <= 1e-6 * b.abs().max())
        for a, b in zip(found, wanted, strict=True)
    )


def test_features_are_msras() -> None:
    made = built("msra")
    weights = made.state_dict()
    with torch.no_grad():
        wanted = by_hand(weights, image())
        assert close(features(made, image()), wanted)
        swapped = image().flip(0)
        assert not close(features(made, swapped), wanted)
        assert close(features(made, swapped), by_hand(weights, swapped))
        plain = built("torchvision")
        plain.load_state_dict(weights)
        assert not close(features(plain, image()), wanted)


def test_dilated_res5_has_no_stride() -> None:
    made = built("msra", dilated=True)
    with torch.no_grad():
        assert close(features(made, image()), by_hand(made.state_dict(), image(), last_stride=1))


def test_the_stem_learns_at_msras_scale() -> None:
    """Its weights see the pixels, not normalised values: their gradients are as large as there."""
    own = built("msra").conv1
    own(normal(image())).square().sum().backward()
    weight = own.weight.detach().clone().requires_grad_()
    bgr = image()[[2, 1, 0]].double() - torch.tensor(BGR_MEAN).double().view(3, 1, 1)
    F.conv2d(bgr[None], weight, stride=2, padding=3).square().sum().backward()
    assert own.weight.grad is not None
    assert weight.grad is not None
    assert (own.weight.grad - weight.grad).abs().max() <= 1e-5 * weight.grad.abs().max()


def test_a_recipes_layout_is_built() -> None:
    said = {"backbone": "resnet50", "bn_group": 2}
    with torch.device("meta"):
        msra, plain = (
            detector("c4", Model.model_validate(said | more), 3, 1)
            for more in ({"layout": "msra"}, {})
        )
    assert msra.state_dict().keys() == plain.state_dict().keys()
    for made, strides in ((msra, [2, 1]), (plain, [1, 2])):
        assert isinstance(made.backbone, Residual)
        block = made.backbone.layer3[0]
        assert [block.conv1.stride[0], block.conv2.stride[0]] == strides
