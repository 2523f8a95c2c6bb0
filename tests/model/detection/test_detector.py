"""Detectors as a whole: their sizes, how they begin, what they learn from and what they find."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from harness.data.scenes import scene
from harness.errors import RecipeError
from harness.model.backbones import Residual
from harness.model.detection.boxes import Target
from harness.model.detection.build import Kind, build_detector, detector
from harness.recipe.schema import Model

MINIATURE = Model.model_validate({"backbone": "miniature", "bn_group": 2})
RESNET18 = Model.model_validate({"backbone": "resnet18", "bn_group": 2})
RESNET50 = Model.model_validate({"backbone": "resnet50", "bn_group": 2})


def parameters(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


@pytest.mark.parametrize(
    ("kind", "classes", "count"),
    [
        ("c4", 20, 33_234_160),
        ("dc5_detectron2", 20, 165_327_088),
        ("dc5", 20, 62_188_784),
        ("fpn", 20, 41_447_604),
        ("mask_fpn", 80, 44_398_384),
        ("mask_c4", 80, 35_966_828),
    ],
)
def test_parameters_are_as_many_as_detectron2s(kind: Kind, classes: int, count: int) -> None:
    with torch.device("meta"):
        network = detector(kind, RESNET50, classes, 2)
    assert parameters(network) == count


def test_a_mask_for_the_background_would_be_257_parameters_more() -> None:
    """torchvision's count: a channel of the last convolution, 256 weights and a bias."""
    with torch.device("meta"):
        one, more = (detector("mask_fpn", RESNET50, n, 2).mask for n in (80, 81))
    assert one is not None
    assert more is not None
    assert parameters(more) - parameters(one) == 257


def test_every_block_of_dilated_c5_is_dilated() -> None:
    with torch.device("meta"):
        network = detector("dc5", RESNET50, 20, 2)
    assert isinstance(network.backbone, Residual)
    wide = [m for m in network.backbone.layer4.modules() if isinstance(m, nn.Conv2d)]
    assert {m.stride for m in wide} == {(1, 1)}
    assert [m.dilation for m in wide if m.kernel_size == (3, 3)] == [(2, 2)] * 3


def test_initial_weights_are_a_function_of_the_stream() -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one, same, other = (
        build_detector("mask_fpn", RESNET18, 5, 2, *stream).state_dict()
        for stream in ((0, "trial", 0), (0, "trial", 0), (0, "trial", 1))
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["rpn.conv.weight"], other["rpn.conv.weight"])
    deviations = {
        "rpn.conv.weight": 0.01,
        "box.score.weight": 0.01,
        "box.box.weight": 0.001,
        "mask.10.weight": 0.001,
        "mask.0.weight": (2 / (256 * 9)) ** 0.5,
        "mask.8.weight": (2 / (256 * 4)) ** 0.5,
        "neck.lateral.0.0.weight": (1 / 64) ** 0.5,
        "head.layers.1.weight": (1 / (256 * 49)) ** 0.5,
    }
    for name, deviation in deviations.items():
        assert float(one[name].std()) == pytest.approx(deviation, rel=0.1), name
    biases = [n for n in one if n.endswith("bias")]
    assert all(float(one[name].abs().max()) == 0 for name in biases)


def test_the_miniature_has_too_few_stages_for_the_papers_detectors() -> None:
    with pytest.raises(RecipeError, match="miniature"):
        build_detector("c4", MINIATURE, 20, 2, 0)


def images_and_targets(first: int, count: int, size: int) -> tuple[list[Tensor], list[Target]]:
    made = [scene("train", n, size) for n in range(first, first + count)]
    images = [each.image.float() / 127.5 - 1 for each in made]
    return images, [Target(each.boxes, each.labels, each.masks) for each in made]


@pytest.mark.parametrize("kind", ["c4", "mask_c4", "dc5", "fpn", "mask_fpn", "small"])
def test_a_backward_pass_reaches_every_parameter(kind: Kind) -> None:
    network = build_detector(kind, RESNET18, 10, 2, 0)
    box = network.box.settings
    network.box.settings = type(box)(sample=8)
    images, targets = images_and_targets(0, 2, 64)
    losses = network(images, targets, [1, 2])
    assert ("mask" in losses) == (kind in ("mask_c4", "mask_fpn"))
    torch.stack(list(losses.values())).sum().backward()
    for name, each in network.named_parameters():
        assert each.grad is not None, name
        assert bool(each.grad.isfinite().all()), name
    assert set(network.state_dict()) >= {
        f"backbone.{name}" for name in network.backbone.state_dict()
    }


def test_images_without_targets_teach_that_there_is_nothing() -> None:
    network = build_detector("mask_fpn", RESNET18, 10, 2, 0)
    images, targets = images_and_targets(0, 1, 64)
    nothing = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), [])
    both = network(images * 2, [targets[0], nothing], [1, 2])
    none = network(images * 2, [nothing, nothing], [1, 2])
    assert all(bool(each.isfinite()) for each in [*both.values(), *none.values()])
    assert float(none["box"].detach()) == float(none["mask"].detach()) == 0
    torch.stack(list(none.values())).sum().backward()


def test_losses_that_are_not_finite_are_told_and_not_hidden() -> None:
    network = build_detector("small", MINIATURE, 10, 2, 0)
    images, targets = images_and_targets(0, 2, 48)
    with torch.no_grad():
        network.get_parameter("rpn.deltas.bias")[0] = float("inf")
    losses = network(images, targets, [1, 2])
    assert not bool(torch.stack(list(losses.values())).sum().isfinite())


def test_detections_do_not_depend_on_what_is_detected_beside() -> None:
    network = build_detector("small", MINIATURE, 10, 2, 0).eval().double()
    network.box.settings = type(network.box.settings)(score=0.0)
    images = [image.double() for size in (48, 40) for image in images_and_targets(0, 2, size)[0]]
    together = network.detect([images[0], images[2], images[1], images[3]])
    alone = [network.detect([images[n]])[0] for n in (0, 2, 1, 3)]
    for a, b in zip(together, alone, strict=True):
        assert len(a.boxes) > 10
        torch.testing.assert_close(a.boxes, b.boxes)
        torch.testing.assert_close(a.scores, b.scores)
    assert network.detect([]) == []


@pytest.mark.slow
def test_the_small_detector_learns_to_find_figures() -> None:
    network = build_detector("small", MINIATURE, 10, 2, 0)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    for step in range(150):
        images, targets = images_and_targets(8 * (step % 12), 8, 48)
        losses = network(images, targets, [1000 * step + n for n in range(8)])
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    network.eval()
    hits, (images, targets) = 0, images_and_targets(0, 24, 48)
    for found, target in zip(network.detect(images), targets, strict=True):
        if len(found.boxes):
            overlaps = box_iou(target.boxes, found.boxes[:3])
            hits += int((overlaps.max(1).values > 0.5).sum())
    assert hits > 0.6 * sum(len(each.labels) for each in targets)
