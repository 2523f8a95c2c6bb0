"""Checkpoints: written atomically, verified when read, pruned, and free of code.

The name holds the step and a digest of the content, step-00000390-1f2e3d4c5b6a.pt. So a truncated
or changed file is recognised, and the checkpoint before it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from harness.errors import StoreError
from harness.store import atomic

_ESCAPE = re.compile(r"\x1b\[[\d;]*m")
_NAME = re.compile(r"step-(\d{8,})-([0-9a-f]{12})\.pt")


def listed(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of the checkpoints in `folder`, newest first.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        there = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise atomic.unread(error, folder) from error
    found = [(match, path) for path in there if (match := _NAME.fullmatch(path.name))]
    return sorted(((int(match[1]), path) for match, path in found), reverse=True)


def newest_digest(folder: Path) -> str | None:
    """The digest in the newest checkpoint's name; None if there is none. It names the weights."""
    names = [_NAME.fullmatch(path.name) for _, path in listed(folder)[:1]]
    return names[0][2] if names and names[0] else None


def save(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write `state` as the checkpoint of `step`; keep the `keep` newest up to it, remove others.

    Checkpoints of later steps were skipped as damaged. They are removed too: else they would count
    among the newest.

    Raises:
        StoreError: the disk is full or the folder cannot be written; older ones are untouched.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    path = folder / f"step-{step:08d}-{hashlib.sha256(content).hexdigest()[:12]}.pt"
    atomic.write(path, lambda file: file.write(content))
    others = [(at, other) for at, other in listed(folder) if other != path]
    kept = [other for at, other in others if at <= step][: keep - 1]
    for _, old in others:
        if old not in kept:
            with contextlib.suppress(OSError):  # failing to remove one must not stop training
                old.unlink()
    for draft in folder.glob(".step-*.tmp"):  # of an attempt that was killed while writing
        with contextlib.suppress(OSError):
            draft.unlink()
    return path


def newest(folder: Path, say: Callable[[str], None]) -> tuple[int, dict[str, Any]] | None:
    """(step, state) of the newest valid checkpoint, on the CPU; None if there is none.

    A damaged one is skipped, and reported to `say`.

    Raises:
        StoreError: one cannot be read, or is valid but cannot be loaded here: see `read`.
    """
    return next(whole(folder, say), None)


def whole(folder: Path, say: Callable[[str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(step, state) of each valid checkpoint, newest first; otherwise as `newest`."""
    for step, path in listed(folder):
        state = read(path)
        if state is not None:
            yield step, state
        else:
            say(f"{path}: damaged; resuming from the checkpoint before it, or from the start")


def at(folder: Path, step: int) -> tuple[int, dict[str, Any]] | None:
    """(step, state) of that step's valid checkpoint, on the CPU; None if there is none."""
    states = (read(path) for found, path in listed(folder) if found == step)
    return next(((step, state) for state in states if state is not None), None)


def read(path: Path) -> dict[str, Any] | None:
    """The state in `path`; None if its content does not match its name's digest, or it is missing.

    Raises:
        StoreError: it cannot be read now, or this torch cannot load it without running code. It
            may be valid: skipping it would silently lose its steps.
    """
    match = _NAME.fullmatch(path.name)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise atomic.unread(error, path) from error
    if match is None or hashlib.sha256(content).hexdigest()[:12] != match[2]:
        return None
    try:
        with warnings.catch_warnings():  # torch warns before it refuses a file
            warnings.simplefilter("ignore")
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises errors of any type
        first = next(iter(_ESCAPE.sub("", str(error)).splitlines()), type(error).__name__)
        raise StoreError(
            f"{path}: complete, but torch {torch.__version__} cannot load it ({first}); use the "
            "version that wrote it, or move the file away to resume from the one before it"
        ) from error
    if not isinstance(state, dict):
        raise StoreError(f"{path}: not a checkpoint of moco-harness; move it away")
    return state
