"""Files that a command writes where the user says: never over something that is not its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import RecipeError, StoreError
from harness.store import atomic


def refuse_others(path: Path, what: str, ours: Callable[[bytes], bool]) -> None:
    """Let `path` be written, before hours of work are done for it.

    Args:
        what: the command writes, in words.
        ours: whether a file's content is such; an empty file is nobody's.

    Raises:
        RecipeError: there is a file of another kind.
        StoreError: there cannot be a file.
    """
    try:
        if path.is_dir():
            raise StoreError(f"{path}: a folder; name a file in it")
        if not path.parent.is_dir():
            raise StoreError(f"{path}: there is no folder {path.parent}; make it, or name another")
        if not path.exists():
            return
        if path.is_file() and ((content := path.read_bytes()) == b"" or ours(content)):
            return
    except OSError as error:
        raise atomic.unread(error, path) from error
    raise RecipeError(f"{path}: exists and is not {what}; name another file, or move it away")
