"""Batches are a function of the step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import torchvision.transforms.functional as vision
from data.test_parameters import assert_uncorrelated, columns

from harness.data import loader as module
from harness.data.datasets import _NORMAL, DataSet, open_data
from harness.data.images import Files, Stack
from harness.data.loader import Loader, normalise
from harness.data.parameters import Parameters, draw
from harness.data.reference import reference
from harness.errors import DataError
from harness.recipe.schema import Augment, Data
from harness.runtime import keyed

VIEW = Augment().at(16)


@pytest.fixture
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    recipe = Data(name="embedded", images=50, size=16)
    return open_data(recipe, tmp_path_factory.mktemp("data"))


def loader(data: DataSet, seed: int = 0, **more: Any) -> Loader:
    settings: dict[str, Any] = {
        "stream": (seed, "pretrain"),
        "batch": 16,
        "views": 2 * [VIEW],
        **more,
    }
    return Loader(data, data.train, device=torch.device("cpu"), **settings)


def test_a_step_yields_the_same_batch_wherever_one_begins(data: DataSet) -> None:
    whole = list(loader(data).batches(0, 7))
    for first in (1, 3, 5):
        resumed = list(loader(data).batches(first, 7))
        for one, other in zip(whole[first:], resumed, strict=True):
            assert torch.equal(one.index, other.index)
            assert all(torch.equal(a, b) for a, b in zip(one.views, other.views, strict=True))


def test_steps_whose_views_are_made_at_once_do_not_depend_on_where_one_begins_or_ends(
    data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2 * (2 * 10 * 3 * 16**2))  # two steps; five an epoch
    made = loader(data, batch=10)
    assert [made.block(step) for step in (3, 4, 5)] == [range(2, 4), range(4, 5), range(5, 7)]
    whole = list(made.batches(0, 12))
    for first in range(8):
        for last in range(first + 1, first + 5):
            part = loader(data, batch=10).batches(first, last)
            for one, other in zip(whole[first:last], part, strict=True):
                assert torch.equal(one.index, other.index)
                assert all(torch.equal(a, b) for a, b in zip(one.views, other.views, strict=True))


def test_the_bytes_of_files_become_the_views_that_their_floats_did(
    data: DataSet, tmp_path: Path
) -> None:
    draw = torch.Generator().manual_seed(0)
    pictures = [
        vision.to_pil_image(torch.randint(256, (3, 30 + n, 40), generator=draw, dtype=torch.uint8))
        for n in range(8)
    ]
    for n, picture in enumerate(pictures):
        picture.save(tmp_path / f"{n}.png")
    files = Files(
        [tmp_path / f"{n}.png" for n in range(8)], torch.zeros(8, dtype=torch.int64), [0] * 8
    )
    made = loader(replace(data, train=files), batch=4)
    index = made.indices(0)
    cut = made.cut([made.share_of(0)], files.load(index))
    (crops,), (drawn,) = cut.crops, cut.drawn
    assert crops.dtype == torch.uint8
    boxes = zip(index.tolist() * 2, drawn.crop.tolist(), strict=True)
    floats = [
        vision.to_tensor(vision.resized_crop(pictures[n], *box, [16, 16])) for n, box in boxes
    ]
    (before,) = made.views_of(replace(cut, crops=(torch.stack(floats),)))
    batch = next(made.batches(0, 1))
    assert all(torch.equal(a, b) for a, b in zip(batch.views, before.views, strict=True))


def test_an_epoch_sees_each_image_at_most_once_and_drops_the_rest(data: DataSet) -> None:
    made = loader(data)
    assert made.steps_per_epoch == 3
    for epoch in range(3):
        seen = torch.cat([made.indices(3 * epoch + s) for s in range(3)])
        assert len(set(seen.tolist())) == 48
    orders = [made.indices(3 * epoch).tolist() for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]


def test_without_dropping_the_last_batch_is_smaller(data: DataSet) -> None:
    made = loader(data, drop_last=False, views=[VIEW])
    batches = list(made.batches(0, 4))
    assert [len(batch.index) for batch in batches] == [16, 16, 16, 2]
    assert sorted(torch.cat([b.index for b in batches]).tolist()) == list(range(50))
    assert len(batches[0].views) == 1


def test_the_views_differ_and_so_do_seeds_and_epochs(data: DataSet) -> None:
    first = next(loader(data).batches(0, 1))
    assert first.views[0].shape == (16, 3, 16, 16)
    assert first.views[0].dtype == torch.float32
    assert not torch.equal(*first.views)
    other = next(loader(data, seed=1).batches(0, 1))
    assert first.index.tolist() != other.index.tolist()


SMALL = Augment(crop_scale=(0.05, 0.2), blur_p=0.5, flip_p=1).at(8)
LARGE = VIEW


def of_files(data: DataSet, tmp_path: Path) -> DataSet:
    """The data set as files, larger than its views."""
    draw = torch.Generator().manual_seed(0)
    paths = [tmp_path / f"{n}.png" for n in range(12)]
    for n, path in enumerate(paths):
        pixels = torch.randint(256, (3, 30 + n, 40), generator=draw, dtype=torch.uint8)
        vision.to_pil_image(pixels).save(path)
    return replace(data, train=Files(paths, torch.zeros(12, dtype=torch.int64), [0] * 12))


@pytest.mark.parametrize("files", [False, True])
def test_views_of_several_kinds_are_each_as_if_there_were_no_others(
    data: DataSet, tmp_path: Path, files: bool
) -> None:
    """A view is told by its place alone: the others' sizes and policies change no pixel of it."""
    if files:
        data = of_files(data, tmp_path)
    kinds = [LARGE, SMALL, LARGE, SMALL, SMALL]
    mixed = loader(data, batch=5, views=kinds)
    whole = list(mixed.batches(0, 4))
    for kind in (LARGE, SMALL):
        alone = loader(data, batch=5, views=[kind] * 5).batches(0, 4)
        for one, other in zip(whole, alone, strict=True):
            assert torch.equal(one.index, other.index)
            for place, each in enumerate(kinds):
                assert one.views[place].shape == (5, 3, each.size, each.size)
                if each == kind:
                    torch.testing.assert_close(one.views[place], other.views[place])
    for first in (1, 3):
        again = loader(data, batch=5, views=kinds).batches(first, 4)
        for one, other in zip(whole[first:], again, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one.views, other.views, strict=True))


def test_each_kind_of_view_is_what_the_plain_reference_makes(data: DataSet) -> None:
    kinds = [LARGE, SMALL, LARGE]
    made = loader(data, batch=5, views=kinds)
    index = made.indices(0)
    batch = next(made.batches(0, 1))
    assert isinstance(data.train, Stack)
    for place, kind in enumerate(kinds):
        drawn = draw(kind, keyed.key(0, "pretrain", "augment", 0, place), index, (16, 16))
        for n, image in enumerate(data.train.stack[index]):
            view = reference(image, drawn, n, kind, kind.size, exact=True)
            expected = normalise(view.unsqueeze(0), data)[0]
            torch.testing.assert_close(batch.views[place][n], expected, atol=2e-4, rtol=1e-3)


def test_more_images_per_step_than_there_are_is_refused(data: DataSet) -> None:
    with pytest.raises(DataError, match=r"optim\.batch: 64 images per step, but .* has 50"):
        loader(data, batch=64)


def test_views_are_normalised_channel_by_channel() -> None:
    """By ImageNet's numbers, as torchvision's weights have them, and the demo's for CIFAR-10."""
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.transforms()
    folder = _NORMAL["imagefolder"]
    assert [list(values) for values in folder] == [weights.mean, weights.std]
    assert _NORMAL["cifar10"] == ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    data = replace(coloured_noise(), mean=folder[0], std=folder[1])
    pixels = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    wanted = torch.stack([vision.normalize(each, *map(list, folder)) for each in pixels])
    torch.testing.assert_close(normalise(pixels, data), wanted)


# ---- what is drawn for one view says nothing of what is drawn for another

CHOICES: dict[str, dict[str, object]] = {
    "flip": {"flip_p": 0.5},
    "gray": {"grayscale_p": 0.5},
    "blur": {"blur_p": 0.5, "blur_sigma": (1.0, 2.0)},
    "jitter": {"jitter": (0.4, 0.4, 0.4, 0.1), "jitter_p": 0.5},
}
OFF: dict[str, object] = {"jitter": (0, 0, 0, 0), "grayscale_p": 0, "blur_p": 0, "flip_p": 0}
PAIRS = {
    "views": ((0, 0), (0, 1)),
    "epochs": ((0, 0), (1, 0)),
    "a view and the other of the next epoch": ((0, 1), (1, 0)),
}
"""(epoch, view) of the two."""


@pytest.fixture(scope="module")
def noise() -> DataSet:
    return coloured_noise()


def coloured_noise() -> DataSet:
    """400 coloured images, no two of them alike."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (400, 3, 12, 12), generator=draw, dtype=torch.uint8)
    images = Stack(pixels, torch.arange(400) % 2)
    half = (0.5, 0.5, 0.5)
    return DataSet("noise", images, images, images, 2, half, half, "")


def of_epoch(data: DataSet, epoch: int, **policy: object) -> tuple[Parameters, torch.Tensor]:
    """The draws of both views of all images, the images in their own order, and the views."""
    augment = Augment.model_validate(policy)
    made = Loader(
        data,
        data.train,
        2 * [augment.at(12)],
        stream=(0, "x"),
        batch=400,
        device=torch.device("cpu"),
    )
    share = made.share_of(epoch)
    cut = made.cut([share], data.train.load(share.index))
    (batch,) = made.views_of(cut)
    order = share.index.argsort()
    views = torch.stack([view[order] for view in batch.views])
    return cut.drawn[0][torch.cat([order, order + 400])], views


@pytest.mark.parametrize("pair", PAIRS)
def test_every_draw_is_independent_of_the_other_views_and_epochs(noise: DataSet, pair: str) -> None:
    one, two = (
        columns(of_epoch(noise, epoch, blur_p=0.5)[0][400 * view : 400 * (view + 1)])
        for epoch, view in PAIRS[pair]
    )
    assert len(one) == 17
    for name in set(one) - {"jitter"}:  # v1's jitter is always applied
        assert_uncorrelated(one[name], two[name])


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_done_to_one_view_says_nothing_of_another(
    noise: DataSet, choice: str, pair: str
) -> None:
    """As above, but seen in the pixels: each choice alone, against views without it."""
    done = []
    for epoch, view in PAIRS[pair]:
        plain, changed = (of_epoch(noise, epoch, **OFF | more)[1] for more in ({}, CHOICES[choice]))
        done.append((plain[view] != changed[view]).flatten(1).any(1))
    assert all(150 < int(of.sum()) < 250 for of in done)
    assert_uncorrelated(*done)
