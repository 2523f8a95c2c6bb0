"""Weights that others released, for evaluating them as a control of our own evaluation.

Key names by the official code (facebookresearch/moco at 7397dfe): `module.encoder_q.` before
torchvision's names, the head under `fc` (v1: one layer; v2: fc.0 and fc.2). Released files hold no
key encoder and no optimiser, so training cannot go on from them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from harness.errors import DataError
from harness.model.encoder import Encoder
from harness.recipe.schema import Weights

PREFIXES = ("module.encoder_q.", "encoder_q.", "module.", "")


def load_released(
    encoder: Encoder, weights: Weights, root: Path, *, head: bool, source: str
) -> None:
    """Load the backbone, and the head where the file has one of the same shape.

    Args:
        root: the data root, to which the file's name is relative.
        head: whether the head will be used, so that a file without one is refused.
        source: where the file is had, for whoever lacks it.

    Raises:
        DataError: the file is missing, another one, not readable without running code, or lacks
            a tensor that is needed or holds one that is no weight.
    """
    path = root / weights.file
    state = _read(path, weights, source)
    prefix = next((p for p in PREFIXES if f"{p}conv1.weight" in state), None)
    if prefix is None:
        raise DataError(f"{path}: no residual network in it (no conv1.weight under a known prefix)")
    own = encoder.state_dict()
    wanted = {}
    for name, tensor in own.items():
        part, _, rest = name.partition(".")
        key = rest if part == "backbone" else f"fc.{rest}"
        given = state.get(prefix + key)
        wrong = _unfit(given, tensor)
        if not wrong and given is not None:
            wanted[name] = given
        elif (part == "backbone" or head) and not name.endswith("num_batches_tracked"):
            raise DataError(f"{path}: {key} {wrong}; the recipe needs {tuple(tensor.shape)}")
    encoder.load_state_dict(own | wanted)


def _read(path: Path, weights: Weights, source: str) -> dict[str, Tensor]:
    """The file's tensors by name, once it has proved to be the one that the recipe means."""
    try:
        with path.open("rb") as file:
            for kind, said in (("sha256", weights.sha256), ("md5", weights.md5)):
                found = hashlib.file_digest(file, kind).hexdigest() if said else ""
                if not found.startswith(said or ""):
                    raise DataError(
                        f"{path}: another file than the recipe means: its {kind} is "
                        f"{found[:16]}..., not {said}; get it from: {source}"
                    )
                file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(
            f"{path}: the recipe's weights are not there; put the file there, from: {source}"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # torch's unpickler raises whatever it stumbles over
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"{path}: not a checkpoint that holds tensors only ({first})") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    items = state.items() if isinstance(state, dict) else ()
    return {k: v for k, v in items if isinstance(k, str) and isinstance(v, Tensor)}


def _unfit(given: Tensor | None, own: Tensor) -> str:
    """Why `given` cannot take the place of `own`; "" if it can."""
    if given is None:
        return "is missing"
    if given.shape != own.shape:
        return f"has the shape {tuple(given.shape)}"
    plain = given.layout == torch.strided and given.device.type == "cpu"
    if not plain or given.is_floating_point() != own.is_floating_point():
        return f"is of another kind ({given.dtype}, {given.layout}, {given.device})"
    if not bool(torch.isfinite(given).all()):
        return "holds values that are not finite"
    return ""
