"""VOC's image-level labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.data.embedded import CLASSES as FIGURES
from harness.data.scene_files import write_voc
from harness.data.scenes import scene
from harness.data.voc_boxes import CLASSES
from harness.data.voc_labels import ABSENT, DIFFICULT, PRESENT, voc_labels
from harness.errors import DataError

from .voc_layout import annotation, voc2007


def test_the_labels_are_those_of_the_scenes_figures(tmp_path: Path) -> None:
    write_voc(tmp_path / "VOCdevkit", "train", 12, 32)
    paths, labels = voc_labels(tmp_path, 2007, "trainval", FIGURES)
    assert [path.name for path in paths] == [f"{n:06d}.jpg" for n in range(1, 13)]
    assert labels.shape == (12, len(FIGURES))
    for index, row in enumerate(labels):
        shown = set(scene("train", index, 32).labels.tolist())
        assert {n for n, each in enumerate(row.tolist()) if each == PRESENT} == shown
        assert set(row.tolist()) <= {PRESENT, ABSENT}


def test_an_image_whose_objects_are_all_difficult_is_neither(tmp_path: Path) -> None:
    folder = voc2007(tmp_path, 2, 1)
    annotation(folder, "000001", ("cat", 1), ("dog", 1), ("dog", 0), ("cow", 0), ("cow", 1))
    annotation(folder, "000002")
    _, labels = voc_labels(tmp_path, 2007, "trainval")
    said = dict(zip(CLASSES, labels[0].tolist(), strict=True))
    assert (said["cat"], said["dog"], said["cow"]) == (DIFFICULT, PRESENT, PRESENT)
    assert sum(each != ABSENT for each in said.values()) == 3
    assert torch.equal(labels[1], torch.full((20,), ABSENT, dtype=torch.int8))


def test_the_classes_are_vocs_twenty() -> None:
    assert len(CLASSES) == 20
    assert tuple(sorted(CLASSES)) == CLASSES


def _no_image(folder: Path) -> str:
    (folder / "JPEGImages" / "000002.jpg").unlink()
    return r"trainval\.txt: 1 of its 3 images have no image file: .*000002\.jpg"


def _no_annotation(folder: Path) -> str:
    (folder / "Annotations" / "000003.xml").unlink()
    return r"trainval\.txt: 1 of its 3 images have no annotation file: .*000003\.xml"


def _cut(folder: Path) -> str:
    (folder / "Annotations" / "000001.xml").write_text("<annotation>\n<object>")
    return r"000001\.xml: not an XML file .*line 2"


def _other_class(folder: Path) -> str:
    annotation(folder, "000001", ("zebra", 0))
    return r"000001\.xml: object 1 is a zebra"


def _odd_flag(folder: Path) -> str:
    annotation(folder, "000001", ("cat", 2))
    return r"000001\.xml: difficult of object 1 is '2'"


def _no_list(folder: Path) -> str:
    (folder / "ImageSets" / "Main" / "trainval.txt").unlink()
    return r"trainval\.txt: missing"


def _empty_list(folder: Path) -> str:
    (folder / "ImageSets" / "Main" / "trainval.txt").write_text("")
    return r"trainval\.txt: names no image"


def _no_folder(folder: Path) -> str:
    (folder / "Annotations").rename(folder / "annotations")
    return "lacks Annotations"


@pytest.mark.parametrize(
    "spoil",
    [
        *(_no_image, _no_annotation, _cut, _other_class),
        *(_odd_flag, _no_list, _empty_list, _no_folder),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    said = spoil(voc2007(tmp_path, 3, 1))
    with pytest.raises(DataError, match=said):
        voc_labels(tmp_path, 2007, "trainval")
