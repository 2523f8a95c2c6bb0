"""Protect files at a path that the user names: a command only replaces files of its own kind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
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
        if not os.access(path.parent, os.W_OK | os.X_OK):
            denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            raise atomic.write_error(denied, path)
        if not path.exists():
            return
        if path.is_file() and ((content := path.read_bytes()) == b"" or ours(content)):
            return
    except OSError as error:
        raise atomic.unread(error, path) from error
    raise RecipeError(f"{path}: exists and is not {what}; name another file, or move it away")


def refuse_others_in(
    folder: Path, names: Iterable[str], mark: str, ours: Callable[[bytes], bool]
) -> None:
    """Check that files of these names may be written into `folder`, which need not exist.

    Args:
        mark: the file in the folder that tells whether the command has written the others.
        ours: whether the mark's content is what the command writes.

    Raises:
        RecipeError: a file of these names is there, and the mark is not, or is something else.
        StoreError: the mark cannot be read.
    """
    there = [name for name in names if os.path.lexists(folder / name)]
    if not there:
        return
    try:
        if ours(atomic.content(folder / mark)):
            return
    except FileNotFoundError:
        pass
    except OSError as error:
        raise atomic.unread(error, folder / mark) from error
    more = f" and {len(there) - 1} more" if len(there) > 1 else ""
    raise RecipeError(
        f"{folder}: {there[0]}{more} would be replaced, and this command has not written them; "
        "name another folder, or move them away"
    )
