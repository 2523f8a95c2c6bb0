"""Decode image files: a file of any supported kind becomes 8 bits of red, green and blue.

Like torchvision's loader, except where that is silently wrong: 16 bits are scaled by their range,
and an image that declares no range is refused. A file with several images gives its first. Alpha is
dropped, and a camera's orientation tag is not applied.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from harness.errors import DataError
from harness.imagefolder import shown, unread

_EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2
"""Values of TIFF header tags."""
_NO_RANGE = {"I": "32-bit or signed numbers", "F": "floating-point numbers"}


def decode(path: Path) -> Image.Image:
    """The image in `path`, as RGB.

    Raises:
        DataError: it is missing, truncated, no image, or of a mode without a range.
    """
    return decode_bytes(content_of(path), shown(path))


def content_of(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        DataError: it cannot be read, or is no regular file: reading a pipe might never end.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with open(file, "rb") as opened:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise DataError(f"{shown(path)}: not a regular file; remove it")
            return opened.read()
    except FileNotFoundError:
        raise DataError(
            f"{shown(path)}: the image has been deleted since the run started"
        ) from None
    except OSError as error:
        raise unread(error, path) from error


def decode_bytes(content: bytes, name: str) -> Image.Image:
    """The image encoded in `content`, as RGB.

    Raises:
        DataError: it is no image, truncated, too large or of a mode without a range; names `name`.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return _rgb(image, name)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{name}: too many pixels; the limit is {2 * (Image.MAX_IMAGE_PIXELS or 0):,} "
            f"({error}); make the image smaller, or leave it out"
        ) from error
    except MemoryError as error:
        raise DataError(f"{name}: too large for this machine's memory") from error
    except Exception as error:  # Pillow's plugins raise errors of any type on damaged files
        if "MAX_" in str(error) or "too large" in str(error):
            raise DataError(
                f"{name}: contains a block that is too large for Pillow ({error}); save the image "
                "again without it, or leave the image out"
            ) from error
        raise DataError(f"{name}: not a readable image ({_reason(content, error)})") from error


def _reason(content: bytes, error: Exception) -> str:
    if not content:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "not a format that Pillow knows"
    return str(error) or type(error).__name__


def _rgb(image: Image.Image, name: str) -> Image.Image:
    # Pillow reads signed 8-bit numbers as unsigned
    signed = image.format == "TIFF" and _tag(image, _SAMPLE_FORMAT) == _SIGNED
    if image.mode in _EIGHT_BITS and not signed:
        image.load()
        image.info.pop("transparency", None)  # Pillow would warn about it
        return image.convert("RGB")
    bits = None if signed else _declared_bits(image)
    if bits is None:
        what = _NO_RANGE.get(image.mode, "signed numbers" if signed else "unknown to this harness")
        raise DataError(
            f"{name}: its pixels are of mode {image.mode} ({what}), whose range of values is "
            "unknown; save the image with 8 bits per channel, or with 16 bits unsigned"
        )
    # The upper eight bits, as Pillow reads colour images of 16 bits.
    pixels = np.asarray(image).astype(np.int64).clip(0, 2**bits - 1) >> (bits - 8)
    if image.format == "TIFF" and _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        pixels = 255 - pixels
    return Image.fromarray(pixels.astype(np.uint8)).convert("RGB")


def _declared_bits(image: Image.Image) -> int | None:
    """Number of bits that a grey image declares for white; None if it declares none."""
    if image.mode.startswith("I;16"):
        bits = _tag(image, _BITS_PER_SAMPLE) if image.format == "TIFF" else 16
        return bits if isinstance(bits, int) and 8 <= bits <= 16 else None
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        return 16  # PNG in older versions of Pillow; PPM is scaled to them by its own maximum
    return None


def _tag(image: Image.Image, number: int) -> object:
    found = getattr(image, "tag_v2", {}).get(number)
    return found[0] if isinstance(found, tuple) else found
