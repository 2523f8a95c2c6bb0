"""Pictures without labels, and class folders that a key splits, as data sets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from harness.data.broken import check, leave_out
from harness.data.datasets import DataSet, open_data
from harness.errors import NoData
from harness.recipe.schema import Data


@pytest.fixture
def photos(source: Path) -> Path:
    """14 images at three depths, with what is no image beside them."""
    folder = source.parent / "photos"
    shutil.copytree(source / "train", folder / "2020" / "summer")
    for n in range(3):
        (folder / "2020" / "summer" / "cat" / f"{n}.{'png' if n == 1 else 'jpg'}").rename(
            folder / (f"{n}.png" if n == 1 else f"{n}.jpg")
        )
    (folder / "notes.txt").touch()
    (folder / ".cache").mkdir()
    shutil.copy(folder / "0.jpg", folder / ".cache" / "0.jpg")
    (folder / "again").symlink_to("2020")
    return folder


def opened(root: Path, **more: object) -> DataSet:
    open_data.cache_clear()
    return open_data(Data.model_validate({"name": "pictures", "size": 16, **more}), root)


@pytest.mark.usefixtures("fresh")
def test_pictures_of_any_depth_have_no_labels(photos: Path) -> None:
    found = opened(photos.parent, folder="photos")
    assert (len(found.train), len(found.bank), len(found.test), found.classes) == (14, 0, 0, 0)
    assert set(found.train.labels.tolist()) == {-1}
    assert found.described["passed_over"]["all"] == {
        "hidden": 1,
        "without an image suffix": 1,
        "linked twice": 1,
    }
    assert found.train.load(torch.arange(14)).center(16).shape == (14, 3, 16, 16)
    assert len(opened(photos.parent, folder="photos", images=5).train) == 5


@pytest.mark.usefixtures("fresh")
def test_the_fingerprint_follows_whole_names_and_sizes(photos: Path) -> None:
    seen = [opened(photos.parent, folder="photos").fingerprint]
    shutil.move(photos.parent / "photos", photos.parent / "elsewhere")
    assert opened(photos.parent, folder="elsewhere").fingerprint == seen[0]
    (photos.parent / "elsewhere" / "2020" / "summer").rename(
        photos.parent / "elsewhere" / "2020" / "winter"
    )
    seen.append(opened(photos.parent, folder="elsewhere").fingerprint)
    with (photos.parent / "elsewhere" / "0.jpg").open("ab") as file:
        file.write(b"more")
    seen.append(opened(photos.parent, folder="elsewhere").fingerprint)
    assert len(set(seen)) == 3


@pytest.mark.usefixtures("fresh")
def test_broken_pictures_are_found_and_left_out(photos: Path) -> None:
    broken = photos / "2020" / "summer" / "dog" / "0.jpg"
    broken.write_bytes(b"no image")
    checked = check(photos, lambda *_: None)
    assert list(checked.broken) == ["2020/summer/dog/0.jpg"]
    shared = photos.parent / "shared.txt"
    shared.write_text("")
    (photos / "broken.txt").symlink_to(shared)
    leave_out(checked)
    assert shared.read_text() == "2020/summer/dog/0.jpg\n", "a link stays one"
    found = opened(photos.parent, folder="photos")
    assert len(found.train) == 13
    assert found.left_out == ("2020/summer/dog/0.jpg",)
    assert found.described["passed_over"]["all"]["without an image suffix"] == 1


@pytest.mark.usefixtures("fresh")
def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for folder in ("none", "absent"):
        with pytest.raises(NoData):
            opened(tmp_path, folder=folder)


@pytest.mark.usefixtures("fresh")
def test_class_folders_are_split(source: Path) -> None:
    folder = {"name": "imagefolder", "folder": "tiny/train"}
    found = opened(source.parent, **folder, split=0.3)
    assert (len(found.train), len(found.test), found.classes) == (10, 4, 2)
    assert found.bank is found.train
    for part, each in ((found.train, 5), (found.test, 2)):
        assert torch.bincount(part.labels).tolist() == [each, each]
    paths = [set(part.paths) for part in (found.train, found.test)]  # type: ignore[attr-defined]
    assert not paths[0] & paths[1]
    assert found.described["split"] == 0.3
    other = opened(source.parent, **folder, split=0.4)
    assert other.fingerprint != found.fingerprint
    with pytest.raises(NoData, match=r"data\.split"):
        opened(source.parent, name="imagefolder", folder="tiny", split=0.3)
