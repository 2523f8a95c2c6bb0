"""An image folder packed into one file per split: as fast as memory once it was read.

FOLDER/pack.json            manifest: format, classes, each split's size and digests
FOLDER/<split>/images.bin   the images' files, one after the other
FOLDER/<split>/index.bin    little-endian int64 (n, 4): offset, length, label, CRC-32 of each
FOLDER/<split>/names.txt    <folder>/<file> of each, one per line; see names_in
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness.data.images import Encoded
from harness.data.pictures import decode_bytes
from harness.errors import DataError, cannot_be_read
from harness.imagefolder import SPLITS, names_in, shown, some, unread

FORMAT = 1
MANIFEST = "pack.json"
BEGUN = "packing.json"
"""Exists until the pack is complete."""
COLUMNS = 4
OFFSET, LENGTH, LABEL, CRC = range(COLUMNS)


class Packed(Encoded):
    """Images of a split, read from its file.

    They are read by position. The read waits for the disk outside the interpreter's lock. If the
    file was truncated it raises an error, where a memory map would end the process.
    """

    mend = "pack the images again"

    def __init__(self, file: Path, rows: Tensor, names: list[str], workers: int = 8) -> None:
        super().__init__(workers)
        self.file, self.rows, self.names = file, rows, names
        self.labels = rows[:, LABEL].clone()
        self._fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)

    def picture(self, i: int) -> Image.Image:
        return decode_bytes(self.content(i), f"{shown(self.file)}: {shown(self.names[i])}")

    def content(self, i: int) -> bytes:
        """The file of image `i`, as it is in the pack.

        Raises:
            DataError: the pack was truncated, or cannot be read.
        """
        offset, length = self.rows[i, :LABEL].tolist()
        try:
            content = os.pread(self._fd, length, offset)
        except OSError as error:
            raise DataError(cannot_be_read(error, self.file)) from error
        if len(content) != length:
            raise DataError(f"{self.file}: truncated since it was opened; pack the images again")
        return content

    def to(self, device: torch.device) -> Packed:  # noqa: ARG002
        return self

    def subset(self, index: Tensor) -> Packed:
        names = [self.names[i] for i in index.tolist()]
        return Packed(self.file, self.rows[index], names, self._workers)


def is_packed(folder: Path) -> bool:
    """Whether there is a pack in `folder`.

    Raises:
        DataError: it was started, but is not complete; or the folder cannot be read.
    """
    try:
        whole, begun = ((folder / name).is_file() for name in (MANIFEST, BEGUN))
    except OSError as error:
        raise unread(error, folder) from error
    if whole:
        return True
    if begun:
        raise DataError(f"{folder}: packing has not finished; start it again to resume")
    return False


class Pack(NamedTuple):
    """A complete pack."""

    train: Packed
    val: Packed
    classes: list[str]
    packing: str
    """How packing changed the pixels; "" if not at all."""
    passed_over: dict[str, dict[str, int]]
    """As in DataSet, of the folder that was packed."""
    left_out: tuple[str, ...]


def open_packed(folder: Path) -> Pack:
    """The pack in `folder`.

    Raises:
        DataError: it is incomplete, its index points beyond its file, or a split lacks a class.
    """
    said = read_manifest(folder)
    classes = said["classes"]
    train, val = (_split(folder / name, said["splits"][name], classes) for name in SPLITS)
    packing = changed(said["side"], said["quality"])
    left_out = tuple(said.get("left_out", ()))
    return Pack(train, val, classes, packing, said.get("passed_over", {}), left_out)


def changed(side: int | None, quality: int) -> str:
    """How packing changed the pixels, for fingerprints and reports; "" if not at all."""
    if side is None:
        return ""
    return f"packed with a short side of {side} at most, JPEG quality {quality}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """pack.json, its types checked.

    Raises:
        DataError: it cannot be read, or is no manifest of this version.
    """
    path = folder / MANIFEST
    try:
        said = json.loads(path.read_bytes())
        if said["format"] != FORMAT:
            raise ValueError(f"format {said['format']}, not {FORMAT}")
        counts = [said["splits"][name][what] for name in SPLITS for what in ("images", "bytes")]
        texts = [said["splits"][name][what] for name in SPLITS for what in ("index", "sha256")]
        side = said["side"]
        whole = all(type(n) is int and n > 0 for n in (*counts, said["quality"]))
        whole &= side is None or (type(side) is int and side > 0)
        whole &= all(isinstance(text, str) for text in (*texts, said["source"], *said["classes"]))
        whole &= isinstance(said["classes"], list)
        out = said.get("left_out", [])
        whole &= isinstance(out, list) and all(isinstance(name, str) for name in out)
        for kinds in said.get("passed_over", {}).values():
            whole &= all(type(n) is int for n in kinds.values())
        if not whole:
            raise ValueError("a value of another type")
    except OSError as error:
        raise unread(error, path) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path}: not a description of packed images ({error}); pack them again"
        ) from error
    found: dict[str, Any] = said
    return found


def _split(folder: Path, said: dict[str, Any], classes: list[str]) -> Packed:
    file, index = folder / "images.bin", folder / "index.bin"
    try:
        content = index.read_bytes()
        names = names_in((folder / "names.txt").read_bytes())
        size = file.stat().st_size
        n = said["images"]
        if len(content) != n * COLUMNS * 8 or hashlib.sha256(content).hexdigest() != said["index"]:
            raise DataError(f"{index}: differs from {MANIFEST}; pack the images again")
        rows = table(content)
        if size != said["bytes"] or len(names) != n:
            raise DataError(f"{folder}: {MANIFEST} lists other files; pack the images again")
        check(rows, size, len(classes), index)
        there = set(rows[:, LABEL].tolist())
        if lacking := [name for n, name in enumerate(classes) if n not in there]:
            raise DataError(f"{folder}: no images of {some(lacking)}; pack the images again")
        return Packed(file, rows, names)
    except OSError as error:
        path = Path(error.filename or folder)
        raise DataError(cannot_be_read(error, path, "pack the images again")) from error


def names_of(names: Sequence[str]) -> bytes:
    """The content of names.txt, for any file names."""
    end = "\0" if any("\n" in name for name in names) else "\n"
    return os.fsencode("".join(name + end for name in names))


def table(content: bytes) -> Tensor:
    """The rows of an index, int64 (n, 4)."""
    return torch.from_numpy(np.frombuffer(content, "<i8").astype(np.int64).reshape(-1, COLUMNS))


def check(rows: Tensor, size: int, classes: int, index: Path) -> None:
    """Raise a DataError unless all rows lie within `size` bytes and name one of the classes."""
    offset, length, label = rows[:, OFFSET], rows[:, LENGTH], rows[:, LABEL]
    inside = (offset >= 0) & (offset <= size) & (length > 0) & (length <= size - offset)
    bad = (~inside | (label < 0) | (label >= classes)).nonzero()
    if len(bad):
        raise DataError(
            f"{index}: entry {int(bad[0])} points outside its file or to an unknown class; pack "
            "the images again"
        )
