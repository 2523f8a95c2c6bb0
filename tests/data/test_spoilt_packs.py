"""Packs that somebody else made, or that were damaged, are refused."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.packs import TINY, packed

from harness.data.datasets import open_data
from harness.errors import DataError

pytestmark = pytest.mark.usefixtures("fresh")


def rows(into: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    content = (into / "train" / "index.bin").read_bytes()
    return np.frombuffer(content, "<i8").reshape(-1, 4).copy()


def put(into: Path, index: bytes) -> None:
    """Another index, with a manifest that agrees."""
    (into / "train" / "index.bin").write_bytes(index)
    manifest = json.loads((into / "pack.json").read_text())
    manifest["splits"]["train"]["index"] = hashlib.sha256(index).hexdigest()
    (into / "pack.json").write_text(json.dumps(manifest))


LARGE = 2**63 - 1


@pytest.mark.parametrize(
    ("column", "value"),
    [(0, -1), (0, LARGE), (1, 0), (1, -5), (1, LARGE), (2, -1), (2, 2), (2, LARGE), (0, 10**6)],
)
def test_an_index_that_points_elsewhere_is_refused(
    source: Path, into: Path, column: int, value: int
) -> None:
    packed(source, into)
    made = rows(into)
    made[3, column] = value
    put(into, made.tobytes())
    with pytest.raises(DataError, match="entry 3 points outside"):
        open_data(TINY, into.parent)


def test_a_row_of_which_offset_and_length_overflow(source: Path, into: Path) -> None:
    packed(source, into)
    made = rows(into)
    made[0, :2] = 10, LARGE
    put(into, made.tobytes())
    with pytest.raises(DataError, match="entry 0 points"):
        open_data(TINY, into.parent)


def spoil_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def spoil(into: Path) -> None:
        manifest = json.loads((into / "pack.json").read_text())
        change(manifest)
        (into / "pack.json").write_text(json.dumps(manifest))

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda into: (into / "pack.json").write_text("{"),
        lambda into: (into / "pack.json").write_text("[]"),
        lambda into: (into / "pack.json").write_text("[" * 100_000),
        lambda into: (into / "pack.json").write_bytes(b"\xff"),
        spoil_manifest(lambda m: m.update(format=2)),
        spoil_manifest(lambda m: m.update(classes=None)),
        spoil_manifest(lambda m: m.update(classes="ab")),
        spoil_manifest(lambda m: m.update(classes=[])),
        spoil_manifest(lambda m: m.update(side="big")),
        spoil_manifest(lambda m: m["splits"].pop("val")),
        spoil_manifest(lambda m: m.update(left_out=[3])),
        spoil_manifest(lambda m: m.update(left_out="train/cat/0.jpg")),
        spoil_manifest(lambda m: m.update(passed_over=[3])),
        spoil_manifest(lambda m: m.update(passed_over={"train": {"hidden": "x"}})),
        spoil_manifest(lambda m: m["classes"].append("cow")),
        spoil_manifest(lambda m: m["splits"]["val"].update(images=True)),
        spoil_manifest(lambda m: m["splits"]["val"].update(images=10**12)),
        spoil_manifest(lambda m: m["splits"]["val"].update(images=-1)),
        spoil_manifest(lambda m: m["splits"]["val"].update(bytes=7)),
        lambda into: (into / "train" / "index.bin").write_bytes(b""),
        lambda into: (into / "train" / "index.bin").unlink(),
        lambda into: (into / "train" / "names.txt").write_bytes(b"\xff\n"),
        lambda into: (into / "train" / "names.txt").write_text("one\n"),
        lambda into: (into / "train" / "images.bin").write_bytes(b"short"),
        lambda into: (into / "train" / "images.bin").unlink(),
    ],
)
def test_a_spoilt_pack_is_refused_without_a_traceback(
    source: Path, into: Path, spoil: Callable[[Path], object]
) -> None:
    packed(source, into)
    spoil(into)
    with pytest.raises(DataError, match="pack"):
        open_data(TINY, into.parent)


def test_a_pack_that_is_cut_while_it_is_read(source: Path, into: Path) -> None:
    packed(source, into)
    data = open_data(TINY, into.parent)
    with (into / "train" / "images.bin").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(DataError, match="truncated since it was opened"):
        data.train.load(torch.tensor([5]))


def test_bytes_that_are_no_image_are_named(source: Path, into: Path) -> None:
    packed(source, into)
    blob = into / "train" / "images.bin"
    blob.write_bytes(io.BytesIO(b"\0" * blob.stat().st_size).read())
    with pytest.raises(DataError, match=r"images.bin: cat/2.jpg: not a readable image"):
        open_data(TINY, into.parent).train.load(torch.tensor([2]))
