"""What a stage shows: kept, read back, and refused if it is anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store.test_pictures import png

from harness.errors import StoreError
from harness.store.look import (
    BYTES,
    FILE,
    FOLDER,
    MOST,
    Album,
    Confusion,
    Histogram,
    Look,
    Plane,
    Thumbnail,
    files,
    keep,
    read,
)

RESULT = {"attempt": 2, "weights": "0a1b2c", "values": {"knn/top1": 40.0}}


def made() -> Look:
    row = (Thumbnail(png(shade=1), "a cat", "cat"), Thumbnail(png(shade=2), "a <b>", "✗ dog"))
    points = ((0.5, -1.0, 0), (0.0, 1.0, 1))
    shares = (("a", (0.25, 0.75)),)
    return Look(
        (
            Album("neighbours", "Neighbours", "Drawn once.", ("image", "nearest"), (("7", row),)),
            Plane("plane", "Plane", "", ("x", "y"), ("cat", "dog"), points),
            Confusion("confusion", "Confusion", "", ("cat", "dog"), ((3, 1), (0, 4))),
            Histogram("similar", "Similar", "", "cosine", (-1.0, 0.0, 1.0), shares),
        )
    )


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    keep(tmp_path, made(), RESULT)
    return tmp_path


def test_what_is_kept_is_read(kept: Path) -> None:
    assert read(kept, RESULT) == made()
    on_disk = {
        str(path.relative_to(kept)): path.read_bytes() for path in kept.rglob("*") if path.is_file()
    }
    assert files(made(), RESULT) == on_disk
    assert set(on_disk) == {FILE, f"{FOLDER}/neighbours-1-1.png", f"{FOLDER}/neighbours-1-2.png"}


def test_a_stage_may_show_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, RESULT) is None
    assert read(tmp_path / "absent", RESULT) is None


def test_a_link_in_its_folder_is_replaced(kept: Path, tmp_path: Path) -> None:
    (precious := tmp_path / "precious").write_text("mine")
    path = kept / FOLDER / "neighbours-1-1.png"
    path.unlink()
    path.symlink_to(precious)
    keep(kept, made(), RESULT)
    assert precious.read_text() == "mine"
    assert read(kept, RESULT) == made()


@pytest.mark.parametrize("key", ["attempt", "weights"])
def test_nothing_is_shown_of_another_result(kept: Path, key: str) -> None:
    assert read(kept, RESULT | {key: "another"}) is None


def test_without_images_only_numbers_are_left() -> None:
    assert [each.name for each in made().without_images().shapes] == [
        "plane",
        "confusion",
        "similar",
    ]
    assert set(files(made().without_images(), RESULT)) == {FILE}


def test_another_picture_is_refused(kept: Path) -> None:
    path = kept / FOLDER / "neighbours-1-2.png"
    path.write_bytes(png(shade=9))
    with pytest.raises(StoreError, match="neighbours-1-2"):
        read(kept, RESULT)
    path.write_bytes(b"<svg>")
    with pytest.raises(StoreError, match="PNG"):
        read(kept, RESULT)
    path.unlink()
    with pytest.raises(StoreError):
        read(kept, RESULT)


def away(said: dict[str, Any]) -> None:
    said["albums"][0]["name"] = "../../x"


def too_many(said: dict[str, Any]) -> None:
    said["planes"][0]["points"] *= MOST


def no_group(said: dict[str, Any]) -> None:
    said["planes"][0]["points"][0][2] = 2


def not_finite(said: dict[str, Any]) -> None:
    said["histograms"][0]["edges"][0] = float("inf")


def not_drawable(said: dict[str, Any]) -> None:
    said["planes"][0]["points"][0][0] = 1e308


def not_a_float(said: dict[str, Any]) -> None:
    said["planes"][0]["points"][0][0] = 10**400


def no_groups(said: dict[str, Any]) -> None:
    said["planes"][0] |= {"groups": [], "points": []}


def no_series(said: dict[str, Any]) -> None:
    said["histograms"][0]["series"] = []


def no_order(said: dict[str, Any]) -> None:
    said["histograms"][0]["edges"].reverse()


def not_square(said: dict[str, Any]) -> None:
    said["confusions"][0]["counts"].pop()


def too_few_bins(said: dict[str, Any]) -> None:
    said["histograms"][0]["series"][0][1].pop()


def no_column(said: dict[str, Any]) -> None:
    said["albums"][0]["columns"].pop()


def no_list(said: dict[str, Any]) -> None:
    said["albums"] = 3


def no_digest(said: dict[str, Any]) -> None:
    del said["albums"][0]["rows"][0]["pictures"][0]["sha256"]


@pytest.mark.parametrize(
    "spoil",
    [
        *(away, too_many, no_group, not_finite, not_square),
        *(not_drawable, not_a_float, no_groups, no_series, no_order),
        *(too_few_bins, no_column, no_list, no_digest),
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_another_description_is_refused(
    kept: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    said = json.loads((kept / FILE).read_text())
    spoil(said)
    (kept / FILE).write_text(json.dumps(said))
    with pytest.raises(StoreError, match=FILE):
        read(kept, RESULT)


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, b"\xff", b"null", b" " * (BYTES + 1)])
def test_any_other_file_is_refused(kept: Path, text: bytes) -> None:
    (kept / FILE).write_bytes(text)
    with pytest.raises(StoreError, match=FILE):
        read(kept, RESULT)
