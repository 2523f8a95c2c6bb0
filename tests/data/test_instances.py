"""Annotated images: masks as run lengths, orientation, sizes, and what a fingerprint covers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from harness.data.instances import (
    AnnotatedImage,
    InstanceImages,
    RunLengths,
    instances,
    upright,
)
from harness.errors import DataError, NoData

ONE = instances([(1.5, 2, 3, 4)], [0])


def annotated(source: Path | Image.Image, size: tuple[int, int], found: Any = ONE) -> Any:
    return AnnotatedImage("7", size, source, Path("notes.json"), found)


def test_run_lengths_fill_columns() -> None:
    mask = RunLengths((3, 4), np.array([4, 2, 6])).mask()
    assert mask.astype(int).tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    whole = RunLengths((2, 2), np.array([0, 4])).mask()
    assert whole.all()


def test_boxes_are_the_extents_corners() -> None:
    assert ONE.boxes.tolist() == [[1.5, 2, 4.5, 6]]
    assert ONE.areas.tolist() == [12]
    assert instances([], []).boxes.shape == (0, 4)
    assert instances([(5, 5, -2, -3)], [0]).areas.tolist() == [0]


@pytest.mark.parametrize("tag", range(1, 9))
def test_an_image_is_turned_as_its_camera_says(tmp_path: Path, tag: int) -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(pixels).save(tmp_path / "one.png", exif=exif)
    with Image.open(tmp_path / "one.png") as stored:
        shown = ImageOps.exif_transpose(stored)
    size = shown.size[::-1]
    made = InstanceImages([annotated(tmp_path / "one.png", size)]).picture(0)
    assert np.array_equal(np.asarray(made), np.asarray(shown))
    assert (size == (4, 5)) == (tag < 5)


def test_a_damaged_tag_is_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("RGB", (2, 3))

    def damaged() -> None:
        raise SyntaxError("not a TIFF file")

    monkeypatch.setattr(image, "getexif", damaged)
    assert upright(image) is image


def test_an_image_of_another_size_names_both_files(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "one.png")
    images = InstanceImages([annotated(tmp_path / "one.png", (5, 4))])
    with pytest.raises(DataError, match=r"one\.png: 5 x 4 pixels, but 4 x 5 by notes\.json"):
        images.picture(0)
    with pytest.raises(NoData):
        images.load(torch.tensor([0]), lambda _, i: images.picture(i))


def test_a_detector_trains_on_images_with_more_than_crowds() -> None:
    image = Image.new("RGB", (8, 8))
    crowd, mixed = (
        instances([(0, 0, 1, 1)] * 2, [0, 0], crowd=which) for which in ([True] * 2, [True, False])
    )
    every = [annotated(image, (8, 8), found) for found in (instances([], []), crowd, mixed, ONE)]
    kept = InstanceImages(every).learnable()
    assert [one.instances for one in kept.images] == [mixed, ONE]


def changes() -> dict[str, Any]:
    image = Image.new("RGB", (8, 8))
    other = Image.new("RGB", (8, 8), "white")
    square, rest = (
        np.array(part, dtype=float) for part in ([0, 0, 4, 0, 4, 4], [1, 1, 2, 1, 2, 2])
    )
    base = annotated(image, (8, 8))
    with_outline = [
        instances([(1.5, 2, 3, 4)], [0], outlines=[outline])
        for outline in ((square,), (square, rest), RunLengths((8, 8), np.array([3, 61])))
    ]
    return {
        "pixels": replace(base, source=other),
        "id": replace(base, id="8"),
        "size": replace(base, size=(8, 9)),
        "box": annotated(image, (8, 8), instances([(1.5, 2, 3, 5)], [0])),
        "label": annotated(image, (8, 8), instances([(1.5, 2, 3, 4)], [1])),
        "crowd": annotated(image, (8, 8), instances([(1.5, 2, 3, 4)], [0], crowd=[True])),
        "difficult": annotated(image, (8, 8), instances([(1.5, 2, 3, 4)], [0], difficult=[True])),
        "area": annotated(image, (8, 8), instances([(1.5, 2, 3, 4)], [0], areas=[11])),
        **{f"outline {n}": annotated(image, (8, 8), one) for n, one in enumerate(with_outline)},
        "nothing": base,
    }


def test_a_fingerprint_covers_all_that_decides_a_result(tmp_path: Path) -> None:
    digests = {name: InstanceImages([one]).digest() for name, one in changes().items()}
    assert len(set(digests.values())) == len(digests)
    assert digests["nothing"] == InstanceImages([changes()["nothing"]]).digest()
    path = tmp_path / "one.png"
    Image.new("RGB", (8, 8)).save(path)
    images = InstanceImages([annotated(path, (8, 8))])
    before = images.digest()
    path.write_bytes(path.read_bytes() + b"\0")
    assert images.digest() != before


def test_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone.jpg"
    with pytest.raises(DataError, match=r"gone\.jpg"):
        InstanceImages([annotated(gone, (8, 8))]).digest()
