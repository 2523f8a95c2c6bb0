"""The embedded data set is a pure function, and its classes are not to be had from raw pixels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.embedded import CLASSES, VERSION, generate

SIZE = 24


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def train() -> tuple[Tensor, Tensor]:
    return generate("train", 2000, SIZE)


@pytest.fixture(scope="module")
def test() -> tuple[Tensor, Tensor]:
    return generate("test", 500, SIZE)


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    return (predicted == labels).float().mean().item()


def nearest(distances: Tensor, labels: Tensor, k: int) -> Tensor:
    """The commonest class, int64 (n,), among the k smallest of each row of `distances`."""
    found = labels[distances.topk(k, 1, largest=False).indices]
    return F.one_hot(found, len(CLASSES)).sum(1).argmax(1)


@pytest.mark.parametrize("size", [16, 32, 40])
def test_shapes_types_and_balance(size: int) -> None:
    images, labels = generate("train", 50, size)
    assert images.shape == (50, 3, size, size)
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    assert labels.dtype == torch.int64
    assert torch.bincount(labels).tolist() == [5] * len(CLASSES)
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])


def test_ten_classes_with_different_names() -> None:
    assert len(set(CLASSES)) == len(CLASSES) == 10


@pytest.mark.parametrize("n", [0, 1, 237, 700])
def test_a_smaller_call_is_the_beginning_of_a_larger_one(n: int) -> None:
    images, labels = generate("train", 800, SIZE)
    fewer_images, fewer_labels = generate("train", n, SIZE)
    assert torch.equal(fewer_images, images[:n])
    assert torch.equal(fewer_labels, labels[:n])


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("n", "size"), [(200, 24), (10, 200)])
def test_the_number_of_threads_changes_nothing(n: int, size: int) -> None:
    torch.set_num_threads(1)
    alone, _ = generate("test", n, size)
    torch.set_num_threads(2)
    shared, _ = generate("test", n, size)
    assert torch.equal(alone, shared)


def test_torchs_own_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    first, _ = generate("train", 20, SIZE)
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), after)
    torch.manual_seed(2)
    assert torch.equal(generate("train", 20, SIZE)[0], first)


def test_no_image_appears_twice_within_or_across_splits(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> None:
    flat = torch.cat([train[0], test[0]])[:, 0].flatten(1)
    assert len(torch.unique(flat, dim=0)) == len(flat)


def test_the_splits_have_the_same_distribution(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> None:
    for label in range(len(CLASSES)):
        a, b = (images[labels == label].float() for images, labels in (train, test))
        assert abs(a.mean() - b.mean()) < 30
        assert abs(a.std((1, 2, 3)).mean() - b.std((1, 2, 3)).mean()) < 12


def test_brightness_and_contrast_do_not_tell_the_class(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> None:
    a, b = (
        torch.stack([x.float().mean((1, 2, 3)), x.float().std((1, 2, 3))], 1)
        for x in (train[0], test[0])
    )
    assert accuracy(nearest(torch.cdist(b, a), train[1], 50), test[1]) < 0.25


def test_raw_pixels_do_not_give_the_class_away(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> None:
    (x, y), (probe, truth) = train, test
    a, b = x[:, 0].flatten(1).float(), probe[:, 0].flatten(1).float()
    means = torch.stack([a[y == label].mean(0) for label in range(len(CLASSES))])
    assert accuracy(torch.cdist(b, means).argmin(1), truth) < 0.30
    assert accuracy(nearest(torch.cdist(b, a), y, 20), truth) < 0.40
    assert accuracy(nearest(torch.cdist(b, a), y, 200), truth) < 0.30


def test_the_pixels_are_those_of_this_version() -> None:
    """New numbers need a new VERSION. Coarse: machines differ in the last bit of a sine."""
    assert VERSION == 1
    grey = generate("train", 320, 32)[0][:, 0].float()
    mean = [119.49, 136.16, 130.53, 130.45, 123.81, 130.52, 135.68, 137.07, 116.37, 127.63]
    step = [12.21, 12.96, 12.02, 13.10, 29.33, 19.66, 18.36, 28.12, 17.91, 21.41]
    centre = [138, 244, 125, 187, 28, 221, 166, 61, 69, 108]
    for label in range(len(CLASSES)):
        images = grey[label :: len(CLASSES)]
        assert images.mean().item() == pytest.approx(mean[label], abs=0.2)
        assert images.diff(dim=2).abs().mean().item() == pytest.approx(step[label], abs=0.1)
        assert images[0, 16, 16].item() == pytest.approx(centre[label], abs=2)
