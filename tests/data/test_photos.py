"""Published sets of photos, in small trees of each set's layout: splits, labels, metric, errors."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.datasets as vision

from harness.data import photos
from harness.data.datasets import open_data
from harness.data.images import Files
from harness.data_check import check_data
from harness.errors import DataError, NoData
from harness.recipe.photos import PHOTOS
from harness.recipe.schema import Data

from .photo_trees import CLASSES, DRAWN, TEST, TRAIN, TREES, image, lines

DRAWN_TRAIN = {"caltech101": 30, "eurosat": 28}
"""Training images of a class of DRAWN images."""
PER_CLASS = {"pets", "aircraft", "flowers102", "caltech101"}

pytestmark = pytest.mark.usefixtures("fresh")


def of(name: str, **changes: Any) -> Data:
    return Data(name=name, size=16, **changes)  # type: ignore[arg-type]


def paths(images: object) -> list[str]:
    assert isinstance(images, Files)
    return [str(path) for path in images.paths]


def number(path: Path) -> int:
    """The number of the image in its class, which is in its width."""
    from PIL import Image

    return Image.open(path).width - 24


@pytest.mark.parametrize("name", PHOTOS)
def test_split_and_labels(tmp_path: Path, name: str) -> None:
    TREES[name](tmp_path)
    data = open_data(of(name), tmp_path)
    assert isinstance(data.train, Files)
    assert isinstance(data.test, Files)
    train = DRAWN_TRAIN.get(name, TRAIN)
    test = DRAWN - train if name in DRAWN_TRAIN else TEST
    for images, each in ((data.train, train), (data.test, test)):
        assert len(images) == 2 * each
        assert images.labels.bincount().tolist() == [each, each]
        pixels = images.load(torch.arange(len(images))).center(16)
        reds = (pixels[:, 0].mean((1, 2)) * 255).round()  # the class is in the colour
        assert torch.allclose(reds, images.labels * 120.0, atol=6)
    if name not in DRAWN_TRAIN:
        assert {number(path) for path in data.train.paths} == set(range(TRAIN))
        assert {number(path) for path in data.test.paths} == set(range(TRAIN, TRAIN + TEST))
    assert not set(data.train.paths) & set(data.test.paths)
    assert data.bank is data.train
    assert data.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("name", PHOTOS)
def test_metric_and_split_are_recorded(tmp_path: Path, name: str) -> None:
    TREES[name](tmp_path)
    data = open_data(of(name), tmp_path)
    assert of(name).metric == data.metric
    assert (data.metric == "mean_per_class") == (name in PER_CLASS)
    assert data.described.get("metric", "top1") == data.metric
    assert data.described["published_split"] == PHOTOS[name].split
    assert any("are published" in remark for remark in data.remarks)  # the tree is no whole set


def test_these_are_torchvisions_folders(tmp_path: Path) -> None:
    """torchvision itself finds the trees, and the same labels."""
    for name in ("pets", "dtd", "food101", "eurosat", "aircraft", "caltech101", "sun397"):
        TREES[name](tmp_path)
    made: dict[str, Any] = {
        "pets": vision.OxfordIIITPet(tmp_path, "trainval"),
        "dtd": vision.DTD(tmp_path, "test", partition=1),
        "food101": vision.Food101(tmp_path, "train"),
        "aircraft": vision.FGVCAircraft(tmp_path, "trainval"),
        "eurosat": vision.EuroSAT(tmp_path),
        "caltech101": vision.Caltech101(tmp_path),
        "sun397": vision.SUN397(tmp_path),
    }
    for name, theirs in made.items():
        data = open_data(of(name), tmp_path)
        ours = {"dtd": [data.test]}.get(name, [data.train])
        if name in ("eurosat", "caltech101", "sun397"):  # torchvision does not split them
            ours = [data.train, data.test]
        labels = sorted(int(label) for part in ours for label in part.labels)
        assert labels == sorted(theirs[i][1] for i in range(len(theirs))), name


def test_imagenettes_folder_is_torchvisions(tmp_path: Path) -> None:
    made = vision.Imagenette.__new__(vision.Imagenette)
    assert Path(made._ARCHIVES["full"][0]).stem == PHOTOS["imagenette"].folder
    image(tmp_path / "imagenette2/train/n01440764/0.JPEG")
    image(tmp_path / "imagenette2/val/n01440764/1.JPEG")
    assert len(vision.Imagenette(tmp_path, "val")) == 1


@pytest.mark.parametrize("name", ["caltech101", "eurosat"])
def test_a_drawn_split_depends_on_the_names_alone(tmp_path: Path, name: str) -> None:
    for root in ("a", "b"):
        TREES[name](tmp_path / root)
    image(next((tmp_path / "b").rglob(CLASSES[0])) / "zz.jpg")  # one more image of one class
    (a, b) = (open_data(of(name), tmp_path / root) for root in ("a", "b"))
    train, again = (
        [str(Path(p).relative_to(tmp_path / root)) for p in paths(data.train) if CLASSES[1] in p]
        for root, data in (("a", a), ("b", b))
    )
    assert train == again
    every = sorted(p for p in paths(a.train) + paths(a.test) if CLASSES[1] in p)
    assert train != [str(Path(p).relative_to(tmp_path / "a")) for p in every[: len(train)]]


def test_a_subset_of_the_training_images(tmp_path: Path) -> None:
    TREES["food101"](tmp_path)
    whole, cut = (open_data(of("food101", images=n), tmp_path) for n in (None, 4))
    assert (len(cut.train), len(cut.test)) == (4, 2 * TEST)
    assert cut.fingerprint != whole.fingerprint
    assert "remove the set's folder" in cut.train.mend  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "path", "line"),
    [
        ("pets", "oxford-iiit-pet/annotations/test.txt", "Cat_1 99 1 1"),
        ("pets", "oxford-iiit-pet/annotations/test.txt", "Cat_1"),
        ("dtd", "dtd/dtd/labels/val1.txt", "../../secret/x.jpg"),
        ("aircraft", "fgvc-aircraft-2013b/data/images_variant_test.txt", "0001 Concorde"),
        ("food101", "food-101/meta/test.json", "[1"),
        ("food101", "food-101/meta/test.json", "{}"),
        ("food101", "food-101/meta/train.json", '{"first": ["/etc/passwd"], "second": []}'),
        ("sun397", "SUN397/Testing_01.txt", "/z/zoo/sun_1.jpg"),
        ("flowers102", "flowers-102/setid.mat", "no MATLAB file"),
    ],
)
def test_a_list_that_says_something_else(tmp_path: Path, name: str, path: str, line: str) -> None:
    TREES[name](tmp_path)
    lines(tmp_path / path, [line])
    with pytest.raises(NoData) as error:
        open_data(of(name), tmp_path)
    assert Path(path).name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(set(PHOTOS) - {"imagenette", "caltech101", "eurosat"}))
def test_an_image_of_the_list_that_is_not_there(tmp_path: Path, name: str) -> None:
    TREES[name](tmp_path)
    gone = Path(paths(open_data(of(name), tmp_path).test)[-1])
    open_data.cache_clear()
    gone.unlink()
    with pytest.raises(NoData) as error:
        open_data(of(name), tmp_path)
    assert str(gone) in str(error.value)


def test_a_broken_image_is_named_with_the_mend(tmp_path: Path) -> None:
    TREES["dtd"](tmp_path)
    data = open_data(of("dtd"), tmp_path)
    Path(paths(data.train)[0]).write_bytes(b"no image")
    with pytest.raises(DataError, match="archive") as error:
        data.train.load(torch.tensor([0]))
    assert paths(data.train)[0] in str(error.value)


def test_a_download_goes_to_the_first_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.data_roots import joined

    monkeypatch.setitem(photos._FETCH, "pets", TREES["pets"])
    roots = joined([tmp_path / "a", tmp_path / "b"])
    data = open_data(of("pets"), roots)
    assert paths(data.train)[0].startswith(str(tmp_path / "a"))
    assert not (tmp_path / "b").exists()


def test_a_download_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: Path) -> None:
        raise RuntimeError(f"no network to {root}")

    monkeypatch.setitem(photos._FETCH, "dtd", fail)
    with pytest.raises(NoData, match="no network") as error:
        open_data(of("dtd"), tmp_path)
    assert "--data" in str(error.value)


def test_sun397_is_fetched_by_hand(tmp_path: Path) -> None:
    TREES["sun397"](tmp_path)
    (tmp_path / "SUN397/Testing_01.txt").unlink()
    with pytest.raises(NoData, match=r"Testing_01\.txt") as error:
        open_data(of("sun397"), tmp_path)
    assert "Partitions.zip" in str(error.value)


def test_flowers_without_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["flowers102"](tmp_path)
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NoData, match=r"moco-harness\[flowers102\]"):
        open_data(of("flowers102"), tmp_path)


def test_every_set_is_known_everywhere() -> None:
    from harness.launch.slurm.staging import needed

    assert set(TREES) == set(PHOTOS) == set(photos._LISTS)
    assert set(photos._FETCH) == {name for name, each in PHOTOS.items() if each.archive}
    for name, each in PHOTOS.items():
        assert set(each.lists) <= set(each.needs)
        assert needed({"data": {"name": name}, "model": {}}) == [each.folder]
    assert check_data([], Path()) == []
