"""An image folder packed into one file a split: as quick to read as memory, once it was read.

FOLDER/pack.json            what it is: format, classes, each split's size and digests
FOLDER/<split>/images.bin   the images' files, one after the other
FOLDER/<split>/index.bin    little-endian int64 (n, 4): offset, length, label, CRC-32 of each
FOLDER/<split>/names.txt    <folder>/<file> of each, a line each
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.images import LoadedFiles, decode_bytes
from harness.errors import DataError
from harness.runtime.cores import helpers

FORMAT = 1
MANIFEST = "pack.json"
BEGUN = "packing.json"
"""Stands there until the pack is whole."""
SPLITS = ("train", "val")
COLUMNS = 4
OFFSET, LENGTH, LABEL, CRC = range(COLUMNS)


class Packed:
    """Images of a split, read from its file and decoded by threads.

    They are read by position, which waits for the disk outside the interpreter's lock, and fails
    with an error where a memory map of a file that was cut would end the process.
    """

    def __init__(self, file: Path, rows: Tensor, names: list[str], workers: int = 8) -> None:
        self.file, self.rows, self.names = file, rows, names
        self.labels = rows[:, LABEL].clone()
        self._workers = workers
        self._pool = helpers(workers, "decode")
        self._fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, index: Tensor) -> LoadedFiles:
        return LoadedFiles(list(self._pool.map(self._one, index.tolist())), self._pool)

    def _one(self, i: int) -> Any:
        return decode_bytes(self.content(i), f"{self.file}: {self.names[i]}")

    def content(self, i: int) -> bytes:
        """The file of image `i`, as it is in the pack.

        Raises:
            DataError: the pack was cut, or cannot be read.
        """
        offset, length = self.rows[i, :LABEL].tolist()
        try:
            content = os.pread(self._fd, length, offset)
        except OSError as error:
            raise DataError(f"{self.file}: cannot be read ({error.strerror})") from error
        if len(content) != length:
            raise DataError(f"{self.file}: was cut since it was opened; pack the images again")
        return content

    def to(self, device: torch.device) -> Packed:  # noqa: ARG002
        return self

    def subset(self, index: Tensor) -> Packed:
        names = [self.names[i] for i in index.tolist()]
        return Packed(self.file, self.rows[index], names, self._workers)


def is_packed(folder: Path) -> bool:
    """Whether there is a pack in `folder`.

    Raises:
        DataError: it was begun, and is not whole yet.
    """
    if (folder / MANIFEST).is_file():
        return True
    if (folder / BEGUN).is_file():
        raise DataError(f"{folder}: packing has not come to its end; begin it again, it goes on")
    return False


def open_packed(folder: Path) -> tuple[Packed, Packed, str]:
    """(train, val, how the pixels were changed or "").

    Raises:
        DataError: the pack is not whole, or its index points beyond its file.
    """
    manifest = read_manifest(folder)
    train, val = (
        _split(folder / name, manifest["splits"][name], len(manifest["classes"])) for name in SPLITS
    )
    return train, val, changed(manifest["side"], manifest["quality"])


def changed(side: int | None, quality: int) -> str:
    """What packing did to the pixels, for fingerprints and reports; "" if nothing."""
    if side is None:
        return ""
    return f"packed with a short side of {side} at most, JPEG quality {quality}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """pack.json, its types checked.

    Raises:
        DataError: it is no manifest of this version.
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
        if not whole or not isinstance(said["classes"], list):
            raise ValueError("a value of another type")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: no description of packed images ({error}); pack them again"
        ) from error
    found: dict[str, Any] = said
    return found


def _split(folder: Path, said: dict[str, Any], classes: int) -> Packed:
    file, index = folder / "images.bin", folder / "index.bin"
    try:
        content = index.read_bytes()
        names = (folder / "names.txt").read_text(encoding="utf-8").split("\n")[:-1]
        size = file.stat().st_size
        n = said["images"]
        if len(content) != n * COLUMNS * 8 or hashlib.sha256(content).hexdigest() != said["index"]:
            raise DataError(f"{index}: not what {MANIFEST} says; pack the images again")
        rows = table(content)
        if size != said["bytes"] or len(names) != n:
            raise DataError(f"{folder}: {MANIFEST} tells of other files; pack the images again")
        check(rows, size, classes, index)
        return Packed(file, rows, names)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{folder}: cannot be read ({error}); pack the images again") from error


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
            f"{index}: entry {int(bad[0])} points beyond its file or to no class; do not use this "
            "pack, and pack the images again"
        )
