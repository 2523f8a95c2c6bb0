"""Pack an image folder: once, resumable, and verified by reading all of it again.

An image counts once its index entry is written, which happens after the image is on disk. After a
kill, packing resumes behind the last entry.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.transforms.functional as vision
from torchvision.transforms import InterpolationMode

from harness.data.broken import Tell, look_through
from harness.data.datasets import files_of, omitted, without
from harness.data.images import Files
from harness.data.packed import (
    BEGUN,
    COLUMNS,
    CRC,
    FORMAT,
    LABEL,
    LENGTH,
    MANIFEST,
    OFFSET,
    check,
    names_of,
    read_manifest,
    table,
)
from harness.data.pictures import content_of, decode_bytes
from harness.errors import DataError
from harness.imagefolder import SPLITS, shown, some, splits
from harness.store import atomic

QUALITY = 95
"""JPEG quality, with full colour resolution, of images that are made smaller."""
LONGEST = 65_500
"""The longest side of a JPEG image that Pillow writes, in pixels."""
GROUP = 512
"""Images that are written to disk together."""
LEFT = "left_out"
MEND = "repair them, or pack with --skip-broken, which leaves them out and records their names"


class _Broken(DataError):
    """An image that cannot be packed; there may be others."""


@dataclass(frozen=True)
class Summary:
    """What a pack holds."""

    images: int
    bytes: int
    again: bool
    """It was complete already, and was only verified."""
    remarks: tuple[str, ...] = ()
    """Files of the source that are not in it, in sentences."""


def pack(
    source: Path,
    folder: Path,
    *,
    side: int | None,
    tell: Tell,
    skip_broken: bool = False,
    workers: int = 8,
) -> Summary:
    """Pack SOURCE/{train,val}/<class>/<image> into `folder`.

    Args:
        side: images whose short side is longer are made smaller, to this many pixels; None: every
            file is kept as it is.
        skip_broken: leave out broken images, and record their names; every image is decoded once
            more for that.

    Raises:
        DataError: the source is no image folder or holds a file that is no image, `folder` holds
            something else, or the packed data differs when it is read again.
        StoreError: the disk is full, or cannot be written.
    """
    folders = splits(source)
    inside = folders[0].classes
    files = dict(zip(SPLITS, map(files_of, folders), strict=True))
    name = shown(source)
    left = omitted(name, folders)
    plan = {
        "format": FORMAT,
        "side": side,
        "quality": QUALITY,
        "classes": list(inside),
        "source": _digest(files),
        **({LEFT: list(left[LEFT])} if left[LEFT] else {}),
    }
    if skip_broken:
        _forget(folder, plan)
        files, broken = _sound(source, folder, files, tell)
        left[LEFT] = tuple(sorted({*left[LEFT], *broken}))
        left["remarks"] += without(name, broken)
        plan |= {"source": _digest(files)} | ({LEFT: list(left[LEFT])} if left[LEFT] else {})
    again = _begin(folder, plan)
    try:
        made = {}
        for split in SPLITS:
            if not again:
                _write(folder / split, files[split], side, tell, workers)
            made[split] = _verify(folder / split, files[split], len(inside), tell)
    except _Broken as first:
        checked = look_through(source, files, tell)
        raise DataError(
            replace(checked, mend=MEND).message if checked.broken else str(first)
        ) from first
    except OSError as error:
        raise atomic.write_error(error, folder) from error
    if again and made != read_manifest(folder)["splits"]:
        raise DataError(f"{folder}: changed since it was packed; remove it and pack again")
    if not again:
        over = {"passed_over": left["passed_over"]} if left["passed_over"] else {}
        atomic.write_json(folder / MANIFEST, plan | over | {"splits": made})
        (folder / BEGUN).unlink(missing_ok=True)
    total = {what: sum(split[what] for split in made.values()) for what in ("images", "bytes")}
    return Summary(total["images"], total["bytes"], again, left["remarks"])


def _forget(folder: Path, plan: dict[str, Any]) -> None:
    """Remove what an attempt without --skip-broken started, and could not finish."""
    if atomic.read_json(folder / BEGUN) == plan:
        try:
            for split in SPLITS:
                shutil.rmtree(folder / split, ignore_errors=True)
            (folder / BEGUN).unlink()
        except OSError as error:
            raise atomic.write_error(error, folder) from error


def _sound(
    source: Path, folder: Path, files: dict[str, Files], tell: Tell
) -> tuple[dict[str, Files], list[str]]:
    """The files without the broken ones, and the names of the broken ones.

    A pack that was started has these names already.
    """
    said: Any = atomic.read_json(folder / MANIFEST) or atomic.read_json(folder / BEGUN)
    known = said.get(LEFT) if isinstance(said, dict) else None
    broken = known if isinstance(known, list) else list(look_through(source, files, tell).broken)
    gone = set(broken)
    names = {
        split: [str(path.relative_to(source)) for path in of.paths] for split, of in files.items()
    }
    kept = {
        split: torch.tensor([i for i, name in enumerate(of) if name not in gone]).long()
        for split, of in names.items()
    }
    for split, of in files.items():
        lost = set(of.labels.tolist()) - set(of.labels[kept[split]].tolist())
        if lost:
            where = some(sorted({names[split][of.labels.tolist().index(n)] for n in lost}))
            raise DataError(
                f"{shown(source)}: without its broken images {split} loses {len(lost):,} classes "
                f"(those of {where}); repair some of them"
            )
    return {split: of.subset(kept[split]) for split, of in files.items()}, broken


def _digest(files: dict[str, Files]) -> str:
    """Digest of the source's names and sizes, to detect a changed source."""
    total = hashlib.sha256()
    for part in files.values():
        for path, size in zip(part.paths, part.bytes, strict=True):
            whole = os.path.abspath(path)  # noqa: PTH100 - links stay as the user has them
            total.update(os.fsencode(f"{whole}:{size}\0"))
    return total.hexdigest()


def _begin(folder: Path, plan: dict[str, Any]) -> bool:
    """Make `folder`, or resume the pack there; true if it is complete already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise atomic.write_error(error, folder) from error
    whole = MANIFEST in there
    if whole or BEGUN in there:
        said = read_manifest(folder) if whole else atomic.read_json(folder / BEGUN)
        if {key: said.get(key) for key in plan} != plan:
            raise DataError(
                f"{folder}: contains images of another or a changed source, or of another size; "
                "name another folder, or remove this one"
            )
        return whole
    if there:
        raise DataError(f"{folder}: not empty ({there[0]}); name a new folder")
    atomic.write_json(folder / BEGUN, plan)
    return False


def _write(folder: Path, files: Files, side: int | None, tell: Tell, workers: int) -> None:
    """Append the images that the split's files lack."""
    folder.mkdir(exist_ok=True)
    names = names_of([_name(path) for path in files.paths])
    atomic.write(folder / "names.txt", lambda file: file.write(names))
    with (
        (folder / "images.bin").open("ab") as images,
        (folder / "index.bin").open("ab") as index,
        ThreadPoolExecutor(workers, thread_name_prefix="pack") as pool,
    ):
        done, end = _reached(folder)
        images.truncate(end)
        index.truncate(done * COLUMNS * 8)
        for first in range(done, len(files), GROUP):
            tell(f"packing {folder.name}", first, len(files))
            group = range(first, min(first + GROUP, len(files)))
            paths = [files.paths[i] for i in group]
            rows = []
            for i, content in zip(
                group, pool.map(_content, paths, itertools.repeat(side)), strict=True
            ):
                images.write(content)
                rows.append((end, len(content), int(files.labels[i]), zlib.crc32(content)))
                end += len(content)
            _sync(images)
            index.write(np.array(rows, dtype="<i8").tobytes())
            _sync(index)
        tell(f"packing {folder.name}", len(files), len(files))


def _reached(folder: Path) -> tuple[int, int]:
    """(images, bytes) that are complete in the split's files."""
    content = (folder / "index.bin").read_bytes()
    rows = table(content[: len(content) // (COLUMNS * 8) * COLUMNS * 8])
    ends = rows[:, OFFSET] + rows[:, LENGTH]
    done = int((ends <= (folder / "images.bin").stat().st_size).sum())
    return done, int(ends[done - 1]) if done else 0


def _content(path: Path, side: int | None) -> bytes:
    """The file, or the image made smaller as a JPEG file if one can hold it; _Broken if it is no
    image."""
    try:
        content = content_of(path)
        image = decode_bytes(content, shown(path))
    except DataError as error:
        raise _Broken(str(error)) from error
    if side is None or min(image.size) <= side:
        return content
    smaller = vision.resize(image, side, InterpolationMode.BILINEAR)
    made = io.BytesIO()
    if max(smaller.size) > LONGEST:
        return content
    smaller.save(made, "JPEG", quality=QUALITY, subsampling=0)
    return made.getvalue()


def _verify(folder: Path, files: Files, classes: int, tell: Tell) -> dict[str, Any]:
    """The split's entry of the manifest, made by reading the pack again."""
    content = (folder / "index.bin").read_bytes()
    size = (folder / "images.bin").stat().st_size
    if len(content) % (COLUMNS * 8):
        raise DataError(f"{folder / 'index.bin'}: truncated; remove {folder.parent} and pack again")
    rows = table(content)
    check(rows, size, classes, folder / "index.bin")
    total = hashlib.sha256()
    wanted = rows[:, CRC].tolist()
    good = len(rows) == len(files) and rows[:, LABEL].equal(files.labels)
    for i, part in enumerate(_parts(folder / "images.bin", rows[:, LENGTH].tolist())):
        if i % GROUP == 0:
            tell(f"verifying {folder.name}", i, len(rows))
        good = good and zlib.crc32(part) == wanted[i]
        total.update(part)
    tell(f"verifying {folder.name}", len(rows), len(rows))
    if not good or int(rows[:, LENGTH].sum()) != size:
        raise DataError(f"{folder}: differs when read back; remove it and pack again")
    index = hashlib.sha256(content).hexdigest()
    return {"images": len(rows), "bytes": size, "index": index, "sha256": total.hexdigest()}


def _parts(path: Path, lengths: Sequence[int]) -> Iterator[bytes]:
    with path.open("rb") as file:
        for length in lengths:
            yield file.read(length)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _name(path: Path) -> str:
    """The image's name as in the fingerprint of an image folder."""
    return f"{path.parent.name}/{path.name}"
