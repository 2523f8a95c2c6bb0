"""Read a file of weights from other authors: its tensors by name, or an error that says what it is.

torch's unpickler refuses what could run code, but its message is long, is written for programmers
and has escape codes; it also warns before it refuses. Here a user gets one line.
"""

from __future__ import annotations

import hashlib
import io
import pickletools
import re
import stat
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import DataError, cannot_be_read
from harness.model import safetensors
from harness.model.networks import flat
from harness.model.pickle_outline import how_to_convert
from harness.recipe.schema import Weights

BEGINNING = 1000
"""Bytes that suffice to recognise most kinds of files."""

_BEGINNINGS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file: run git lfs pull"),
    (b"\x89HDF", "an HDF5 file (Keras?): convert it to torch's format"),
    (b"\x1f\x8b", "compressed by gzip: unpack it"),
    (b"BZh", "compressed by bzip2: unpack it"),
    (b"\xfd7zXZ", "compressed by xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it"),
    (b"\x93NUMPY", "a NumPy array: convert it to torch's format"),
)

_NAME = re.compile(r"[A-Za-z_][\w.]*")
_PLAIN = re.compile(
    r"torch\.\w+|torch\.(_utils|_tensor|storage|serialization|nn\.parameter)\..*"
    r"|collections\.OrderedDict"
)
"""What files that hold only tensors consist of."""


def read(path: Path, weights: Weights, source: str) -> dict[str, Tensor]:
    """The file's tensors by their full names, e.g. "state_dict.module.conv1.weight", after a check
    that it is the recipe's file. No code of the file is run.

    Args:
        source: where users can get the file.

    Raises:
        DataError: it is missing, unreadable, another one, or no checkpoint of tensors.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            what = "a folder" if path.is_dir() else "not a regular file"
            raise DataError(f"{path}: {what}; model.weights.file must name a file of weights")
        with path.open("rb") as file:
            beginning = file.read(BEGINNING)
            for kind, said in (("sha256", weights.sha256), ("md5", weights.md5)):
                file.seek(0)
                found = hashlib.file_digest(file, kind).hexdigest() if said and beginning else ""
                if beginning and not found.startswith(said or ""):
                    raise DataError(
                        f"{path}: not the file of the recipe: its {kind} is {found[:16]}..., not "
                        f"{said}; download it from: {source}"
                    )
        what = _other(path, beginning)
        if what:
            raise DataError(f"{path}: not a checkpoint of tensors only: it is {what}")
        safe = _is_safetensors(path, beginning)
        state = safetensors.read(path) if safe else _unpickled(path)
    except FileNotFoundError:
        raise DataError(
            f"{path}: the recipe's weights are missing; put the file there, from: {source}"
        ) from None
    except OSError as error:
        raise DataError(cannot_be_read(error, path)) from error
    if tensors := flat(state):
        return tensors
    raise DataError(f"{path}: contains no ResNet: {_instead(state)}")


def _unpickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch's unpickler raises errors of any type
        raise DataError(f"{path}: not a checkpoint of tensors only: {_unloaded(path)}") from error


def _other(path: Path, begins: bytes) -> str:
    """What a file is whose form is no checkpoint's; "" if it may be one."""
    if not begins:
        return "empty: download it again"
    for beginning, what in _BEGINNINGS:
        if begins.startswith(beginning):
            return what
    if begins[257:262] == b"ustar":
        return "a tar archive: unpack it"
    if _is_safetensors(path, begins):
        return ""
    if begins.startswith(b"PK"):
        return _other_zip(path)
    if begins[:1] != b"\x80" and b"\0" not in begins:
        shown = ascii(begins[:40].decode("latin-1"))
        return f"text that starts with {shown}, perhaps an error page: download it again"
    return ""


def _is_safetensors(path: Path, begins: bytes) -> bool:
    return begins[8:9] == b"{" and int.from_bytes(begins[:8], "little") < path.stat().st_size


def _other_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "truncated or damaged: download it again"
    parts = {name.split("/", 1)[-1] for name in names}
    if "constants.pkl" in parts:
        return (
            "a TorchScript archive, which contains code: save only its tensors, with "
            "torch.save(torch.jit.load(old).state_dict(), new)"
        )
    if any(name.endswith(".npy") for name in names):
        return "NumPy arrays: convert them to torch's format"
    if "data.pkl" not in parts:
        inside = ", ".join(map(repr, names[:3])) or "nothing"
        return f"a zip archive with other files ({inside}): unpack it"
    return ""


def _unloaded(path: Path) -> str:
    """Why torch did not load it: the objects that it refuses, found without loading them."""
    try:
        objects = _objects(path)
    except Exception:  # a truncated or damaged pickle fails in many ways
        return "it is truncated, damaged, or not from torch.save; download it again"
    if not objects:
        return "it is damaged, truncated, or from another version of torch; download it again"
    more = f" and {len(objects) - 3} more" if len(objects) > 3 else ""
    how = how_to_convert(path)
    return (
        f"it holds {', '.join(objects[:3])}{more}, and loading such objects can run code. If you "
        f"trust its source, save only its tensors{f': {how}' if how else ', by name'}"
    )


def _objects(path: Path) -> list[str]:
    """Names of the classes and functions, other than torch's own, that a pickle would import.

    Raises:
        Exception: it is no complete pickle.
    """
    content = path.read_bytes()
    if content.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.split("/", 1)[-1] == "data.pkl")
            content = archive.read(name)
    file = io.BytesIO(content)
    found: dict[str, None] = {}
    while file.tell() < len(content):
        texts: list[str] = []
        first = file.tell()
        try:
            for code, argument, _ in pickletools.genops(file):
                if code.name == "GLOBAL":
                    found[str(argument).replace(" ", ".")] = None
                elif code.name == "STACK_GLOBAL":
                    found[".".join(texts[-2:])] = None
                elif isinstance(argument, str):
                    texts.append(argument)
        except Exception:
            if first == 0:
                raise
            break  # in the old format the storages follow the pickles
    return [name for name in found if _NAME.fullmatch(name) and not _PLAIN.fullmatch(name)]


def _instead(state: Any) -> str:
    """Describe a file that holds no tensors by name."""
    if not isinstance(state, dict):
        return f"it holds one {type(state).__name__}"
    return f"it holds {', '.join(map(repr, list(state)[:5])) or 'nothing'}"
