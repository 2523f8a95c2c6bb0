"""Convert weights that a recipe cannot read as they are: MSRA's ResNet-50."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from harness.app.public import public
from harness.errors import DataError, StoreError
from harness.store import atomic

_AUTHOR = "Caffe2"
"""What detectron2 says of MSRA's network where it says anything."""


@dataclass(frozen=True)
class Converted:
    """The file that a recipe can begin with."""

    file: Path
    sha256: str
    written: bool
    """False: the same file was there already."""


@public
def convert(weights: Path | str, to: Path | str) -> Converted:
    """Write detectron2's MSRA/R-50.pkl as a file that `model.weights` can name.

    No code of the file is run: it is read as arrays in plain containers, and as nothing else.

    Args:
        weights: the pickle.
        to: the safetensors file to make; nothing is overwritten.

    Raises:
        DataError: it is no such file, lacks a weight or has one more, or names another author.
        StoreError: `to` holds something else, or cannot be written.
    """
    from harness.model.msra import converted

    content, file = converted(Path(weights)), Path(os.path.realpath(to))
    _refuse_other_author(Path(weights))
    sha256 = hashlib.sha256(content).hexdigest()
    if file.exists():
        if not file.is_file() or atomic.content(file) != content:
            raise StoreError(f"{file}: exists already and was not overwritten; name another file")
        return Converted(file, sha256, written=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(file, lambda stream: stream.write(content))
    except OSError as error:
        raise atomic.write_error(error, file, "--to") from error
    return Converted(file, sha256, written=True)


def _refuse_other_author(weights: Path) -> None:
    """Refuse torchvision's ResNet-50 in detectron2's names, and all other networks that say whose
    they are: MSRA's file says nothing, or Caffe2."""
    from harness.model.array_pickle import read

    found = read(weights.read_bytes())
    author = found.get("__author__", _AUTHOR) if isinstance(found, dict) else _AUTHOR
    if author != _AUTHOR:
        raise DataError(
            f"{weights}: not MSRA's ResNet-50: its __author__ is {ascii(author)[:40]}, and its "
            "strides and images may be others"
        )
