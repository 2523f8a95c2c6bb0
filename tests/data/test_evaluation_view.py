"""The evaluation view is torchvision's Resize and CenterCrop, wherever the images are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from harness.data.datasets import open_data
from harness.data.images import Loaded, Stack
from harness.data.pack import pack
from harness.recipe.schema import Data

SIZES = ((60, 40), (41, 67), (33, 33))
"""(width, height) of the images: wide, tall, square."""


def theirs(size: int) -> transforms.Compose:
    """As the papers' code evaluates at 224 pixels: main_lincls.py."""
    resized = {224: 256, 24: 27, 16: 18}[size]
    return transforms.Compose([transforms.Resize(resized), transforms.CenterCrop(size)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return drawn(tmp_path)


def drawn(tmp_path: Path) -> Path:
    """A data root with an image folder: one image of each size in each split."""
    draw = torch.Generator().manual_seed(0)
    for part in ("train", "val"):
        for n, (width, height) in enumerate(SIZES):
            inside = tmp_path / "folders" / "tiny" / part / str(n)
            inside.mkdir(parents=True)
            pixels = torch.randint(256, (height, width, 3), generator=draw, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(inside / "1.png")
    return tmp_path / "folders"


def opened(root: Path, size: int) -> Loaded:
    open_data.cache_clear()
    data = open_data(Data(name="imagefolder", folder="tiny", size=size), root)
    return data.test.load(torch.arange(3))


def expected(root: Path, size: int) -> Tensor:
    to_tensor = transforms.ToTensor()
    paths = [root / "tiny" / "val" / str(n) / "1.png" for n in range(3)]
    return torch.stack([to_tensor(theirs(size)(Image.open(path))) for path in paths])


@pytest.mark.parametrize("size", [24, 16, 224])
def test_of_files_and_packs(root: Path, tmp_path: Path, size: int) -> None:
    wanted = expected(root, size)
    assert torch.equal(opened(root, size).center(size), wanted)
    tell = lambda *_: None  # noqa: E731
    pack(root / "tiny", tmp_path / "packs" / "tiny", side=None, tell=tell)
    assert torch.equal(opened(tmp_path / "packs", size).center(size), wanted)


@pytest.mark.parametrize("size", [24, 16, 224])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_of_stacks(size: int, width: int, height: int) -> None:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (2, 3, height, width), generator=draw, dtype=torch.uint8)
    ours = Stack(pixels, torch.zeros(2)).load(torch.arange(2)).center(size)
    torch.testing.assert_close(ours, theirs(size)(pixels.float() / 255), rtol=0, atol=1e-6)
    pictures = [transforms.functional.to_pil_image(each) for each in pixels]
    rounded = torch.stack([transforms.functional.to_tensor(theirs(size)(p)) for p in pictures])
    assert float((ours - rounded).abs().max()) < 1.6 / 255  # Pillow rounds after each direction


def test_of_a_stack_that_has_the_views_size() -> None:
    """CIFAR's 32 pixels are seen whole, as the demo's code does it."""
    pixels = torch.arange(3 * 16 * 16).view(1, 3, 16, 16).to(torch.uint8)
    ours = Stack(pixels, torch.zeros(1)).load(torch.arange(1)).center(16)
    assert torch.equal(ours, pixels.float() / 255)
