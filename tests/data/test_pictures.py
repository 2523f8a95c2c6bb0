"""The reader of pictures: each mode is scaled by its range or refused, and limits are named."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.images import Files
from harness.data.pictures import content_of, decode, decode_bytes
from harness.errors import DataError

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def saved(image: Image.Image, kind: str, **more: Any) -> bytes:
    made = io.BytesIO()
    image.save(made, kind, **more)
    return made.getvalue()


def red(content: bytes) -> list[int]:
    image = decode_bytes(content, "x")
    assert image.mode == "RGB"
    return np.asarray(image)[..., 0].ravel().tolist()


def coloured(mode: str) -> Image.Image:
    pixels = np.random.default_rng(0).integers(256, size=(9, 7, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("L" if mode in ("1", "LA") else "RGB")
    if mode in ("LA", "RGBA", "PA"):
        image = image.convert("P") if mode == "PA" else image
        image = image.convert(mode)
        image.putalpha(Image.fromarray(pixels[..., 0]))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGB", "PNG"), ("RGBA", "PNG"),
        ("PA", "TIFF"), ("LAB", "TIFF"), ("YCbCr", "TIFF"), ("CMYK", "TIFF"), ("CMYK", "JPEG"),
        ("L", "JPEG"), ("RGB", "JPEG"), ("RGBA", "WEBP"), ("RGB", "BMP"), ("RGB", "PPM"),
    ],
)  # fmt: skip
def test_eight_bits_become_what_torchvisions_loader_makes_of_them(mode: str, kind: str) -> None:
    content = saved(coloured(mode), kind)
    ours = decode_bytes(content, "x")
    with Image.open(io.BytesIO(content)) as image:
        assert image.mode == mode
        theirs = image.convert("RGB")
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("transparency", [3, b"\x00\x80\xff"])
def test_a_palette_with_transparency_gives_its_colours_without_a_warning(
    transparency: int | bytes,
) -> None:
    content = saved(coloured("P"), "PNG", transparency=transparency)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = decode_bytes(content, "x")
    assert np.array_equal(np.asarray(ours), np.asarray(coloured("P").convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled(kind: str) -> None:
    deep = Image.fromarray(RAMP.astype(np.uint16) * 256 + 17)
    assert red(saved(deep, kind)) == RAMP.ravel().tolist()


def test_sixteen_bits_of_the_other_byte_order_are_scaled() -> None:
    values = (RAMP.astype(np.uint16) * 256 + 17).astype(">u2")
    deep = Image.frombytes("I;16B", (16, 16), values.tobytes())
    assert red(saved(deep, "TIFF")) == RAMP.ravel().tolist()


def test_sixteen_bits_of_colour_and_of_grey_are_scaled_alike() -> None:
    grey = struct.pack(">4H", 0, 255, 0x80FF, 65535)
    colour = b"".join(grey[n : n + 2] * 3 for n in range(0, 8, 2))
    assert red(png(16, 2, colour)) == red(png(16, 0, grey)) == [0, 0, 128, 255]


def png(bits: int, colour: int, row: bytes, width: int = 4, *more: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">2I5B", width, 1, bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def tiff(bits: int, kind: int, row: bytes, *, white: int = 1, width: int = 4) -> bytes:
    """One row of grey; kind 1: unsigned, 2: signed, 3: floating point; white 0: zero is white."""
    tags = {
        256: width, 257: 1, 258: bits, 259: 1, 262: white, 273: 8 + 2 + 12 * 10 + 4, 277: 1, 278: 1,
        279: len(row), 339: kind,
    }  # fmt: skip
    entries = b"".join(struct.pack("<HHLHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    return b"II" + struct.pack("<HLH", 42, 8, len(tags)) + entries + bytes(4) + row


def test_a_tiffs_own_range_counts() -> None:
    values = struct.pack("<4H", 0, 255, 0x80FF, 65535)
    assert red(tiff(16, 1, values)) == [0, 0, 128, 255]
    assert red(tiff(8, 1, bytes([0, 1, 128, 255]))) == [0, 1, 128, 255]
    assert red(tiff(16, 1, values, white=0)) == [255, 255, 127, 0]
    assert red(tiff(12, 1, bytes.fromhex("000 0ff fff 800".replace(" ", "")))) == [0, 15, 255, 128]


def test_a_greymaps_own_maximum_counts() -> None:
    values = struct.pack(">4H", 0, 500, 999, 1000)
    assert red(b"P5 4 1 1000\n" + values) == [0, 128, 255, 255]


@pytest.mark.parametrize(
    ("mode", "content"),
    [
        ("F", tiff(32, 3, struct.pack("<4f", 0, 0.5, 1, 2))),
        ("I", tiff(32, 1, struct.pack("<4L", 0, 1, 2, 2**32 - 1))),
        ("I", tiff(32, 2, struct.pack("<4l", 0, 1, 2, -1))),
        ("I", tiff(16, 2, struct.pack("<4h", 0, 1, 2, -1))),
        ("L", tiff(8, 2, struct.pack("<4b", 0, 1, 2, -1))),
        ("F", b"Pf\n4 1\n-1.0\n" + struct.pack("<4f", 0, 0.5, 1, 2)),
    ],
)
def test_what_declares_no_range_is_refused_by_name_and_mode(mode: str, content: bytes) -> None:
    with pytest.raises(DataError, match=rf"^cat/1\.tif: .* mode {mode} \("):
        decode_bytes(content, "cat/1.tif")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_of_several_pictures_the_first_counts(kind: str) -> None:
    first, second = (Image.new("RGB", (8, 8), (value, 0, 0)) for value in (200, 20))
    content = saved(first, kind, save_all=True, append_images=[second])
    with Image.open(io.BytesIO(content)) as image:
        assert getattr(image, "n_frames", 1) == 2
    assert abs(red(content)[0] - 200) < 8


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no image", "not a format that Pillow knows"),
        (saved(coloured("RGB"), "PNG")[:90], "truncated|not a readable"),
        (saved(coloured("RGB"), "JPEG")[:300], "truncated|not a readable"),
        (b"BM" + bytes(60), "not a readable"),
    ],
)
def test_a_broken_file_is_told_by_name_and_reason(content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as told:
        decode_bytes(content, "cat/1.jpg")
    assert str(told.value).startswith("cat/1.jpg: ")
    assert "BytesIO" not in str(told.value)


def test_a_picture_over_pillows_limit_is_told_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"2,000 .*make the image smaller") as told:
        decode_bytes(saved(Image.new("L", (50, 50)), "PNG"), "huge.png")
    assert "restore" not in str(told.value)


def test_a_part_over_pillows_limit_is_told_the_limit() -> None:
    text = b"k\0\0" + zlib.compress(bytes(3 << 20))
    with pytest.raises(DataError, match="too large for Pillow") as told:
        decode_bytes(png(8, 0, bytes(4), 4, (b"zTXt", text)), "text.png")
    assert "restore" not in str(told.value)


def test_no_pipe_is_read_though_it_came_after_the_walk(tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    os.mkfifo(path)
    files = Files([path], torch.tensor([0]), [1])
    said: list[str] = []

    def load() -> None:
        with pytest.raises(DataError) as told:
            files.load(torch.tensor([0]))
        said.append(str(told.value))

    reader = threading.Thread(target=load, daemon=True)
    reader.start()
    reader.join(20)
    assert not reader.is_alive()
    assert f"{path}: " in said[0]


@pytest.mark.parametrize("target", ["/dev/zero", "."])
def test_no_device_or_folder_is_read(tmp_path: Path, target: str) -> None:
    (tmp_path / "cat.jpg").symlink_to(target)
    with pytest.raises(DataError, match=r"cat\.jpg: "):
        content_of(tmp_path / "cat.jpg")


def test_odd_names_are_read_and_shown_escaped(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.png"))
    path.write_bytes(saved(coloured("RGB"), "PNG"))
    assert decode(path).size == (7, 9)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"/\\xff\\n\.png: not a readable image"):
        decode(path)
