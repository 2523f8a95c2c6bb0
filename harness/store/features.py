"""Files of features, RUNS/.features/<digest of the key>.f32: a cache that may be deleted at any
time.

A file is one line of JSON, {"key", "shape", "sha256", "about"}, then the numbers, float32,
little-endian, row by row.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import DiskError, StoreError
from harness.store import atomic
from harness.store.layout import refuse_link

FOLDER = ".features"
ENDING = ".f32"
MOST = 32 << 30
"""Bytes that all files may have together; those that were not read for the longest time go."""
HEADER = 1 << 16
"""Most bytes of the first line."""
AT_ONCE = 1 << 24
"""Bytes that are read and checked at a time, while they are in the processor's cache."""


class Damaged(StoreError):
    """A file of features that cannot be used: cut short, changed, or of something else."""


def read(
    runs: Path, key: str, rows: int, memory: Callable[[int, int], memoryview]
) -> tuple[int, int] | None:
    """Read the features of `key` into memory; returns their shape, None if there are none.

    Args:
        key: hexadecimal digits that identify the features.
        rows: number of images.
        memory: called with the shape (rows, width); returns the bytes to fill.

    Raises:
        Damaged: the file is not whole, or of another key. It is to be replaced.
    """
    path = _path(runs, key)
    try:
        with atomic.opened(path) as file:
            said = _header(file.readline(HEADER), path)
            shape = _shape(said, rows)
            if said.get("key") != key or shape is None:
                raise Damaged(f"{path}: holds other features than its name says")
            if os.fstat(file.fileno()).st_size - file.tell() != 4 * shape[0] * shape[1]:
                raise Damaged(f"{path}: is cut short, or longer than it says")
            space = memory(*shape)
            total, at = hashlib.sha256(), 0
            while at < len(space):
                got = file.readinto(space[at : at + AT_ONCE])
                if not got:
                    raise Damaged(f"{path}: is cut short")
                total.update(space[at : at + got])
                at += got
            if total.hexdigest() != said.get("sha256"):
                raise Damaged(f"{path}: its numbers have changed")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(str(atomic.unread(error, path))) from error
    with contextlib.suppress(OSError):  # read-only, or removed meanwhile
        os.utime(path)
    return shape


def write(
    runs: Path, key: str, shape: tuple[int, int], numbers: memoryview, about: Mapping[str, Any]
) -> None:
    """Write the features of `key`; files that were not read for long make room.

    Args:
        numbers: the bytes, float32 in this machine's order.
        about: what they are, for people.

    Raises:
        StoreError: the disk is nearly full, they are larger than MOST, or the folder cannot be
            written.
    """
    path = _path(runs, key)
    folder = path.parent
    refuse_link(folder)
    if sys.byteorder != "little":
        raise StoreError(f"{folder}: features are kept on little-endian machines only")
    size = len(numbers)
    try:
        folder.mkdir(exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise atomic.write_error(error, folder) from error
    if size > MOST:
        raise StoreError(f"{folder}: {size / 1e9:.1f} GB are more than features may take there")
    if 2 * size > free:
        raise DiskError(f"{folder}: {size / 1e9:.1f} GB would fill most of the disk")
    digest = hashlib.sha256(numbers).hexdigest()
    said = {"key": key, "shape": list(shape), "sha256": digest, "about": dict(about)}
    first = json.dumps(said, separators=(",", ":")).encode() + b"\n"
    if len(first) > HEADER:
        raise StoreError(f"{path}: its first line would be too long")
    _make_room(folder, MOST - size - len(first), path)

    def fill(file: Any) -> None:
        file.write(first)
        file.write(numbers)

    atomic.write(path, fill)


def files(runs: Path) -> list[Path]:
    """The files of features under a run root; none if their folder is a symbolic link."""
    folder = runs / FOLDER
    try:
        if folder.is_symlink():
            return []
        return sorted(path for path in folder.iterdir() if path.suffix == ENDING)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise atomic.unread(error, folder) from error


def _path(runs: Path, key: str) -> Path:
    return runs / FOLDER / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}{ENDING}"


def _header(line: bytes, path: Path) -> dict[str, Any]:
    if not line.endswith(b"\n") or not (said := atomic.json_object(line)):
        raise Damaged(f"{path}: is no file of features")
    return said


def _shape(said: Mapping[str, Any], rows: int) -> tuple[int, int] | None:
    """The shape that a first line says; None if it is none of `rows` images."""
    shape = said.get("shape")
    if not isinstance(shape, list) or len(shape) != 2 or shape[0] != rows:
        return None
    width = shape[1]
    return (rows, width) if type(width) is int and width > 0 else None


def _make_room(folder: Path, most: int, but: Path) -> None:
    """Delete the files that were not read for the longest time until the others have at most
    `most` bytes."""
    dated = []
    for path in files(folder.parent):
        with contextlib.suppress(OSError):  # deleted meanwhile
            if path != but:
                about = path.lstat()
                dated.append((about.st_mtime_ns, about.st_size, path))
    total = sum(size for _, size, _ in dated)
    for _, size, path in sorted(dated):
        if total <= most:
            return
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            total -= size
