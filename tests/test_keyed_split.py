"""A keyed split: stratified, independent of the listing's order, and hardly moved by new images."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import DataError
from harness.imagefolder import Found
from harness.keyed_split import class_folders, held_out, number_held_out


def found(count: int, of: str = "cat") -> list[Found]:
    return [Found(f"{of}/{n}.jpg", 1) for n in range(count)]


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("images", "share", "tested"), [(100, 0.1, 10), (3, 0.1, 1), (2, 0.9, 1), (10, 0.99, 9)]
)
def test_a_class_has_test_images_and_training_images(
    images: int, share: float, tested: int
) -> None:
    assert number_held_out(images, share) == len(held_out(found(images), share)) == tested


def test_the_names_alone_decide() -> None:
    images = found(100)
    assert held_out(images[::-1], 0.1) == held_out(images, 0.1)
    sizes = [Found(name, 7) for name, _ in images]
    assert held_out(sizes, 0.1) == held_out(images, 0.1)
    dogs = {name.replace("dog", "cat") for name in held_out(found(100, "dog"), 0.1)}
    assert dogs != held_out(images, 0.1)


def test_a_new_image_moves_one_at_most() -> None:
    for n in range(90, 110):
        before, after = held_out(found(n), 0.1), held_out(found(n + 1), 0.1)
        assert len(before - after) <= 1


def test_what_is_no_folder_of_classes_is_refused(tmp_path: Path) -> None:
    whole = put(tmp_path / "whole", "cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg", "x.txt")
    assert list(class_folders(whole).classes) == ["cat", "dog"]
    (whole / "broken.txt").write_text("dog/2.jpg\n")
    with pytest.raises(DataError, match=r"dog"):
        class_folders(whole)
    apart = put(tmp_path / "apart", "train/cat/1.jpg", "val/cat/1.jpg")
    with pytest.raises(DataError, match=r"data\.split"):
        class_folders(apart)
