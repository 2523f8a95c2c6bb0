"""Write a folder: atomically if it is new, into it if it is empty, and never over other files."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.errors import StoreError
from harness.store import atomic


def write(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Make the folder with these files, or fill an empty one; False if it exists with the same
    files.

    Raises:
        StoreError: it exists with other files, or cannot be written. Nothing is left behind.
    """
    folder = Path(os.path.realpath(folder))  # a loop of links is an OSError below
    try:
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        if there or (folder.exists() and not folder.is_dir()):
            _refuse_other(folder, there, files)
            return False
    except OSError as error:
        raise atomic.unread(error, folder) from error
    if folder.is_dir():  # with permissions of its own, or somebody's working folder
        _fill(folder, files)
        return True
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        draft.mkdir(parents=True)
        _fill(draft, files)
        draft.rename(folder)
        atomic.sync_folder(folder.parent)
    except OSError as error:
        raise atomic.write_error(error, folder, "--to") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files into the empty folder; on an error, none is left."""
    written: list[Path] = []
    try:
        for name, content in files.items():
            atomic.write(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
            written.append(folder / name)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _refuse_other(folder: Path, there: list[str], files: Mapping[str, bytes]) -> None:
    """Raise a StoreError unless the folder holds exactly these files."""
    if there == sorted(files) and all(
        (folder / name).is_file() and atomic.content(folder / name) == content
        for name, content in files.items()
    ):
        return
    other = next((name for name in there if name not in files), None)
    what = f"it contains {other}" if other else "its files differ from this export"
    raise StoreError(
        f"{folder}: {what if there else 'a file'}; nothing was overwritten; name another folder "
        "with --to, or move it away"
    )
