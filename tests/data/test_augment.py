"""The batched views equal torchvision's operators tightly and the PIL pipeline to its rounding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torchvision.transforms.functional as vision
from PIL import Image, ImageFilter
from torch import Tensor

from harness.data import augment as module
from harness.data.augment import augment, crop_resize, finish
from harness.data.parameters import Parameters, draw
from harness.data.reference import crop_resize_pil, reference
from harness.recipe.schema import Augment
from harness.runtime import keyed

V1 = Augment()
V2 = Augment(jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grayscale_first=False, blur_p=0.5)
POLICIES = {
    "v1": V1,
    "v2": V2,
    "demo": V2.model_copy(update={"blur_p": 0.0, "crop_scale": (0.08, 1.0)}),
    "wild": Augment(jitter=(1, 1, 1, 0.5), grayscale_first=False, blur_p=1, blur_sigma=(0.1, 9)),
    "gray first, half jittered": Augment(jitter_p=0.5, grayscale_p=0.5),
    "no hue": Augment(jitter=(0.4, 0.4, 0.4, 0)),
    "no saturation": Augment(jitter=(0.4, 0.4, 0, 0.4)),
    "only hue": Augment(jitter=(0, 0, 0, 0.5)),
    "only contrast": Augment(jitter=(0, 0.9, 0, 0)),
    "no colour": Augment(jitter=(0, 0, 0, 0), grayscale_p=0.0),
    "crop only": Augment(jitter_p=0, grayscale_p=0, flip_p=0),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors, many calls: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(policy: Augment, n: int, size: tuple[int, int]) -> Parameters:
    return draw(policy, keyed.key(0, "augment", 0, 0), torch.arange(n), size)


def pictures(n: int, height: int, width: int) -> Tensor:
    """uint8 (n, 3, H, W): smooth, noisy, saturated, gray and constant images in turn."""
    made = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 3, 5, 5, generator=made)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    x = (smooth * 255).clamp(0, 255)
    x[1::5] = torch.rand(x[1::5].shape, generator=made) * 255
    x[2::5] = (x[2::5] > 127) * 255
    x[3::5] = x[3::5, :1]
    x[4::5] = x[4::5, :, :1, :1]
    return x.to(torch.uint8)


def references(x: Tensor, p: Parameters, policy: Augment, size: int, exact: bool) -> Tensor:
    return torch.stack([reference(x[i], p, i, policy, size, exact) for i in range(len(x))])


@pytest.mark.parametrize("name", POLICIES)
def test_equals_torchvision_on_floats(name: str) -> None:
    policy = POLICIES[name]
    x = pictures(100, 32, 32)
    p = parameters(policy, 100, (32, 32))
    ours = augment(x, p, policy, 32)
    assert ours.shape == (100, 3, 32, 32)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, references(x, p, policy, 32, True), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width", "size"), [(70, 41, 24), (17, 33, 40), (9, 64, 8)])
def test_equals_torchvision_at_other_sizes(height: int, width: int, size: int) -> None:
    x = pictures(30, height, width)
    p = parameters(V2, 30, (height, width))
    expected = references(x, p, V2, size, True)
    torch.testing.assert_close(augment(x, p, V2, size), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", POLICIES)
def test_equals_the_papers_pipeline_but_for_its_rounding(name: str) -> None:
    policy = POLICIES[name]
    x = pictures(100, 32, 32)
    p = parameters(policy, 100, (32, 32))
    difference = augment(x, p, policy, 32) - references(x, p, policy, 32, False)
    assert difference.abs().mean() < 2 / 255


@pytest.mark.parametrize(("height", "width", "size"), [(64, 48, 32), (20, 30, 32), (32, 32, 32)])
def test_crops_equal_pillows(height: int, width: int, size: int) -> None:
    x = pictures(20, height, width)
    boxes = parameters(V1, 20, (height, width)).crop
    for image, box, ours in zip(x, boxes.tolist(), crop_resize(x, boxes, size), strict=True):
        theirs = crop_resize_pil(vision.to_pil_image(image), tuple(box), size)
        assert theirs.dtype == torch.uint8
        assert (ours * 255 - theirs).abs().max() <= 1.01  # two roundings, of half each


def test_a_crop_of_the_whole_image_is_the_image() -> None:
    x = pictures(10, 32, 32)
    whole = torch.tensor([0, 0, 32, 32]).expand(10, 4)
    torch.testing.assert_close(crop_resize(x, whole, 32), x / 255, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.7, 2.0, 5.0, 20.0])
def test_a_blur_in_bands_leaves_nothing_out(sigma: float) -> None:
    x = torch.rand(3, 3, 70, 70)
    kernel = module._gaussian(torch.full((2,), sigma), 70).unsqueeze(1)
    expected = x.clone()
    expected[[0, 2]] = kernel @ x[[0, 2]] @ kernel.mT
    module._blur(x, torch.tensor([0, 2]), torch.full((3,), sigma))
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [4, 32])
@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.7, 2.0, 5.0])
def test_blur_is_pillows(sigma: float, size: int) -> None:
    image = pictures(2, size, size)[1]
    kernel = module._gaussian(torch.tensor([sigma]), size)
    ours = kernel @ image.float() @ kernel.mT
    theirs = vision.to_pil_image(image).filter(ImageFilter.GaussianBlur(sigma))
    assert isinstance(theirs, Image.Image)
    difference = (ours - vision.pil_to_tensor(theirs)).abs()
    assert difference.max() <= 3  # Pillow rounds six times, by half at most
    assert difference.mean() < 1.5  # worst for the smallest sigma, on noise
    torch.testing.assert_close(kernel.sum(-1), torch.ones(1, size))


@pytest.mark.parametrize("policy", [V1, V2], ids=["v1", "v2"])
def test_a_view_does_not_depend_on_its_neighbours(policy: Augment) -> None:
    x = pictures(90, 32, 32)
    p = parameters(policy, 90, (32, 32))
    together = augment(x, p, policy, 32)
    for i in range(0, 90, 7):
        alone = augment(x[i : i + 1], p[i : i + 1], policy, 32)
        torch.testing.assert_close(alone, together[i : i + 1], rtol=0, atol=2e-6)
    backwards = torch.arange(89, -1, -1)
    again = augment(x[backwards], p[backwards], policy, 32)[backwards]
    torch.testing.assert_close(again, together, rtol=0, atol=2e-6)


@pytest.mark.parametrize("policy", [V1, V2], ids=["v1", "v2"])
def test_chunks_join_up(policy: Augment, monkeypatch: pytest.MonkeyPatch) -> None:
    x = pictures(90, 32, 32)
    p = parameters(policy, 90, (32, 32))
    whole = augment(x, p, policy, 32)
    monkeypatch.setattr(module, "CHUNK", 7 * x[0].numel())
    torch.testing.assert_close(augment(x, p, policy, 32), whole, rtol=0, atol=2e-6)


@pytest.mark.parametrize("policy", [V1, V2], ids=["v1", "v2"])
def test_repeats_to_the_bit_and_leaves_its_input(policy: Augment) -> None:
    x = pictures(150, 32, 32)
    p = parameters(policy, 150, (32, 32))
    crops = crop_resize(x, p.crop, 32)
    before = crops.clone()
    first = finish(crops, p, policy)
    assert torch.equal(crops, before)
    assert torch.equal(finish(crops, p, policy), first)
    assert torch.equal(augment(x, p, policy, 32), first)
    assert first.min() >= -1e-6
    assert first.max() <= 1 + 1e-6


def test_what_is_switched_off_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    for operator in ("_hue", "_blend", "_gaussian"):
        monkeypatch.delattr(module, operator)
    policy = Augment(jitter=(0, 0, 0, 0), blur_p=0)
    x = pictures(10, 32, 32)
    augment(x, parameters(policy, 10, (32, 32)), policy, 32)
    half = Augment(jitter_p=0, blur_p=0)
    augment(x, parameters(half, 10, (32, 32)), half, 32)


def test_no_images() -> None:
    assert augment(pictures(0, 32, 32), parameters(V2, 0, (32, 32)), V2, 24).shape == (0, 3, 24, 24)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("moved", [False, True], ids=["parameters here", "parameters there"])
@pytest.mark.parametrize("policy", [V1, V2], ids=["v1", "v2"])
def test_a_gpu_makes_the_same_views(policy: Augment, moved: bool) -> None:
    x = pictures(100, 48, 40)
    p = parameters(policy, 100, (48, 40))
    expected = augment(x, p, policy, 32)
    ours = augment(x.cuda(), p.to("cuda") if moved else p, policy, 32)
    torch.testing.assert_close(ours.cpu(), expected, rtol=0, atol=1e-5)
