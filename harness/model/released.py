"""Weights that others released, for evaluating them as a control of our own evaluation.

Key names by the official code (facebookresearch/moco at 7397dfe): `module.encoder_q.` before
torchvision's names, the head under `fc` (v1: one layer; v2: fc.0 and fc.2). Released files hold no
key encoder and no optimiser, so training cannot go on from them.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import torch
from torch import Tensor

from harness.errors import DataError
from harness.model.encoder import Encoder

PREFIXES = ("module.encoder_q.", "encoder_q.", "module.", "")


def load_released(encoder: Encoder, path: Path, sha256: str, *, head: bool) -> None:
    """Load the backbone, and the head where the file has one of the same shape.

    Args:
        sha256: hexadecimal beginning of the file's digest.
        head: whether the head will be used, so that a file without one is refused.

    Raises:
        DataError: the file is missing, another one, not readable without running code, or lacks
            a tensor that is needed.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(sha256):
            raise DataError(f"{path}: its SHA-256 is {found[:16]}..., the recipe says {sha256}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put it there") from error
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not a checkpoint that holds tensors only ({first})") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    prefix = next((p for p in PREFIXES if f"{p}conv1.weight" in state), None)
    if prefix is None:
        raise DataError(f"{path}: no residual network in it (no conv1.weight under a known prefix)")
    named = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    _load(encoder, named, path, head)


def _load(encoder: Encoder, named: dict[str, Tensor], path: Path, head: bool) -> None:
    own = encoder.state_dict()
    wanted = {}
    for name, tensor in own.items():
        part, _, rest = name.partition(".")
        source = rest if part == "backbone" else f"fc.{rest}"
        given = named.get(source)
        if given is not None and given.shape == tensor.shape:
            wanted[name] = given
        elif part == "backbone" or head:
            what = "is missing" if given is None else f"has the shape {tuple(given.shape)}"
            raise DataError(f"{path}: {source} {what}; the recipe needs {tuple(tensor.shape)}")
    encoder.load_state_dict(own | wanted)
