"""Pictures that a stage keeps: what it predicts for a few test images, beside what is true.

RUNS/<stage id>/pictures/<sample>-<panel>.png; result.json has their digests, texts and legend.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import StoreError
from harness.store import atomic

FOLDER = "pictures"
KEY = "pictures"
"""In result.json."""

PANELS = ("image", "true", "predicted")
"""The image as it is tested, with what is true, and with what the network predicts."""

MOST = 24
"""Samples of a stage."""
LARGEST = 1 << 20
"""Bytes of a file."""
SIDE = 2048
"""Pixels of a side."""
LENGTH = 300
"""Characters of a text alternative, or of a name in a legend."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_COLOUR = re.compile("#[0-9a-f]{6}")


@dataclass(frozen=True)
class Panel:
    """One picture."""

    png: bytes
    says: str
    """What it shows, for readers who do not see it."""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.png).hexdigest()


@dataclass(frozen=True)
class Pictures:
    """The pictures of a stage."""

    samples: Mapping[int, Mapping[str, Panel]]
    """By the number of the test image: a panel for each of PANELS."""
    legend: tuple[tuple[str, str], ...]
    """(name, colour as "#rrggbb") of what is marked in them."""


def keep(stage: Path, made: Pictures) -> dict[str, Any]:
    """Write the pictures into the stage's folder; returns what result.json says of them.

    Raises:
        StoreError: the folder cannot be written.
    """
    folder = stage / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise atomic.write_error(error, folder) from error
    samples = {}
    for number, panels in made.samples.items():
        for name, panel in panels.items():
            atomic.write(folder / _file(number, name), partial(_fill, panel.png))
        samples[str(number)] = {
            name: {"sha256": panel.digest, "says": panel.says} for name, panel in panels.items()
        }
    return {"samples": samples, "legend": [list(each) for each in made.legend]}


def read(stage: Path, result: Mapping[str, Any]) -> Pictures | None:
    """The stage's pictures, each checked; None if its result names none.

    Raises:
        StoreError: result.json does not describe pictures, or a file is missing, too large, not a
            PNG file, or not the one that the stage wrote.
    """
    said = result.get(KEY)
    if said is None:
        return None
    try:
        legend = tuple((_text(name), _colour(colour)) for name, colour in said["legend"])
        samples = {
            _number(number): {name: _panel(stage, number, name, panels[name]) for name in PANELS}
            for number, panels in list(said["samples"].items())[: MOST + 1]
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{stage / 'result.json'}: not a description of pictures") from error
    if len(samples) > MOST:
        raise StoreError(f"{stage / 'result.json'}: describes more than {MOST} samples")
    return Pictures(samples, legend)


def files(pictures: Pictures | None) -> dict[str, bytes]:
    """Path in the stage's folder -> content of each picture."""
    if pictures is None:
        return {}
    return {
        f"{FOLDER}/{_file(number, name)}": panel.png
        for number, panels in pictures.samples.items()
        for name, panel in panels.items()
    }


def why_not_png(content: bytes) -> str:
    """Why `content` is not one small, whole PNG file of an image and nothing else; "" if it is."""
    if len(content) > LARGEST:
        return f"larger than {LARGEST} bytes"
    if not content.startswith(_SIGNATURE):
        return "not a PNG file"
    at = len(_SIGNATURE)
    kinds: list[bytes] = []
    while at + 12 <= len(content) and kinds[-1:] != [b"IEND"]:
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        body, end = content[at + 4 : at + 8 + length], at + 12 + length
        if end > len(content) or content[end - 4 : end] != struct.pack(">I", zlib.crc32(body)):
            return "a damaged PNG file"
        kinds.append(kind)
        if kind == b"IHDR" and (length != 13 or not _fits(*struct.unpack(">II", body[4:12]))):
            return f"a PNG file with a side that is not 1 to {SIDE} pixels"
        at = end
    if kinds[:1] != [b"IHDR"] or kinds[-1:] != [b"IEND"] or b"IDAT" not in kinds:
        return "a damaged PNG file"
    if at != len(content) or not set(kinds) <= set(_CHUNKS) or kinds.count(b"IHDR") > 1:
        return "a PNG file with more than an image in it"
    return ""


def _fits(width: int, height: int) -> bool:
    return 1 <= width <= SIDE and 1 <= height <= SIDE


def _panel(stage: Path, number: str, name: str, said: Mapping[str, Any]) -> Panel:
    path = stage / FOLDER / _file(_number(number), name)
    try:
        with atomic.opened(path) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise atomic.unread(error, path) from error
    if why := why_not_png(content):
        raise StoreError(f"{path}: {why}")
    found = Panel(content, _text(said["says"]))
    if found.digest != said["sha256"]:
        raise StoreError(f"{path}: not the picture that the stage wrote")
    return found


def _file(number: int, name: str) -> str:
    return f"{number}-{name}.png"


def _number(said: object) -> int:
    if not isinstance(said, str) or not re.fullmatch("[0-9]{1,9}", said):
        raise ValueError("not the number of an image")
    return int(said)


def _text(said: object) -> str:
    if not isinstance(said, str):
        raise TypeError("not a text")
    return said[:LENGTH]


def _colour(said: object) -> str:
    if not isinstance(said, str) or not _COLOUR.fullmatch(said):
        raise ValueError("not a colour")
    return said


def _fill(content: bytes, file: BinaryIO) -> None:
    file.write(content)
