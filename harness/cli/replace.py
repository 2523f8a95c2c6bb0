"""Protect files at a path that the user names: a command only replaces files of its own kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import RecipeError, StoreError
from harness.store import atomic


def refuse_others(path: Path, what: str, ours: Callable[[bytes], bool]) -> None:
    """Check, before hours of work, that `path` may be written.

    Args:
        what: the file that the command writes, as text.
        ours: whether a file's content is of this kind; an empty file is of no kind.

    Raises:
        RecipeError: there is a file of another kind.
        StoreError: a file cannot be written there.
    """
    try:
        if path.is_dir():
            raise StoreError(f"{path}: a folder; name a file in it")
        if not path.parent.is_dir():
            raise StoreError(f"{path}: no folder {path.parent}; create it, or name another")
        if not path.exists():
            return
        if path.is_file() and ((content := path.read_bytes()) == b"" or ours(content)):
            return
    except OSError as error:
        raise atomic.unread(error, path) from error
    raise RecipeError(f"{path}: exists and is not {what}; name another file, or move it away")
