"""Pictures of a stage: kept, read back, and refused if they are anything else."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.store.pictures import (
    FOLDER,
    KEY,
    LARGEST,
    PANELS,
    SIDE,
    Panel,
    Pictures,
    files,
    keep,
    read,
    why_not_png,
)

START = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int = 1, height: int = 1, shade: int = 0, more: bytes = b"") -> bytes:
    """A grey PNG file; `more` stands before its end."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes([shade]) * width) * height)
    return START + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + more + chunk(b"IEND")


def made() -> Pictures:
    samples = {
        number: {name: Panel(png(shade=number + n), name) for n, name in enumerate(PANELS)}
        for number in (3, 70)
    }
    return Pictures(samples, (("disc", "#0072b2"), ("<b>", "#ffffff")))


@pytest.fixture
def kept(tmp_path: Path) -> dict[str, Any]:
    """The result of a stage in tmp_path that kept `made()`."""
    return json.loads(json.dumps({KEY: keep(tmp_path, made())}))  # type: ignore[no-any-return]


def test_what_is_kept_is_read(tmp_path: Path, kept: dict[str, Any]) -> None:
    assert read(tmp_path, kept) == made()
    assert read(tmp_path, {}) is None
    there = {f"{FOLDER}/{path.name}": path.read_bytes() for path in (tmp_path / FOLDER).iterdir()}
    assert there == files(made())
    assert keep(tmp_path, made()) == kept[KEY]


def test_a_png_file_is_one() -> None:
    assert why_not_png(png(7, 5)) == ""
    assert why_not_png(png(SIDE, 1)) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg onload='x'/>",
        START,
        png()[:-1],
        png() + b"<script>",
        png(more=chunk(b"tEXt", b"hidden")),
        png().replace(b"IEND", b"IENX"),
        png(SIDE + 1, 1),
        START + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 1, 8, 0, 0, 0, 0)) + chunk(b"IEND"),
        START + chunk(b"IDAT") + chunk(b"IEND"),
        png(more=chunk(b"IDAT", bytes(LARGEST))),
        START + struct.pack(">I", 2**32 - 1) + b"IHDR" + bytes(40),
    ],
)
def test_nothing_else_is_one(content: bytes) -> None:
    assert why_not_png(content)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"GIF89a"),
        lambda path: path.write_bytes(png(shade=99)),
        lambda path: path.write_bytes(bytes(LARGEST + 1)),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_file_that_is_not_the_stages_is_refused(
    tmp_path: Path, kept: dict[str, Any], spoil: Callable[[Path], object]
) -> None:
    spoil(tmp_path / FOLDER / "70-predicted.png")
    with pytest.raises(StoreError, match=r"70-predicted\.png"):
        read(tmp_path, kept)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: said.update(samples=[]),
        lambda said: said["samples"].update({"../../etc": said["samples"]["3"]}),
        lambda said: said["samples"]["3"].pop("true"),
        lambda said: said["samples"]["3"]["true"].update(says=7),
        lambda said: said["samples"]["3"].update(true=None),
        lambda said: said.update(legend=[["disc", "red;background:url(x)"]]),
        lambda said: said.update(legend=[["disc"]]),
        lambda said: said.pop("legend"),
        lambda said: said.update(samples={str(n): said["samples"]["3"] for n in range(99)}),
    ],
)
def test_a_wrong_description_is_refused(
    tmp_path: Path, kept: dict[str, Any], spoil: Callable[[dict[str, Any]], object]
) -> None:
    spoil(kept[KEY])
    with pytest.raises(StoreError):
        read(tmp_path, kept)
    with pytest.raises(StoreError):
        read(tmp_path, {KEY: "pictures"})


def test_texts_are_cut(tmp_path: Path, kept: dict[str, Any]) -> None:
    kept[KEY]["samples"]["3"]["true"]["says"] = "x" * 5000
    found = read(tmp_path, kept)
    assert found is not None
    assert len(found.samples[3]["true"].says) == 300
