"""Atomic file writes: a file is complete or absent, even after a power cut or on a full disk."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import DiskError, StoreError, Unreadable, cannot_be_read
from harness.output import escaped_json


def write_error(error: OSError, path: Path, option: str = "") -> DiskError:
    """The error for a failed write: what went wrong, and what the user can do.

    Args:
        option: the option of the present command that names the folder, if known.
    """
    another = f"choose another folder{option and f' with {option}'}"
    goes_on = "and run the same command again to resume"
    if error.errno == errno.ENOSPC and _has_room(path):
        what = f"the disk has no space for more files (inodes); delete some {goes_on}"
    elif error.errno == errno.ENOSPC:
        what = f"the disk is full; free some space {goes_on}"
    elif error.errno == errno.EDQUOT:
        what = f"your disk quota is used up; free some space {goes_on}"
    elif error.errno == errno.EROFS:
        what = (
            f"read-only file system; {another}, or ask your administrators, as an error may have "
            "made it read-only"
        )
    elif error.errno in (errno.EIO, errno.ESTALE, errno.EREMOTEIO):
        what = (
            f"the disk or its server fails ({error.strerror}); report it to your administrators, "
            f"{goes_on}"
        )
    elif error.errno in (errno.EACCES, errno.EPERM):
        what = f"it cannot be written; {another}, or make it writable"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        what = "a file, but a folder is needed here; name another path, or move it away"
    elif error.errno == errno.ENOENT:
        what = "no such folder, and it cannot be created; name another path"
    else:
        what = error.strerror or str(error)
    return DiskError(f"{path}: {what}")


def _has_room(path: Path) -> bool:
    """Whether the disk has free bytes; if so, it has run out of file names (inodes)."""
    place = next((p for p in (path, *path.parents) if p.exists()), Path("/"))
    with contextlib.suppress(OSError):
        disk = os.statvfs(place)
        return disk.f_bavail > 0 and disk.f_favail == 0 < disk.f_files
    return False


def unread(error: OSError, path: Path) -> StoreError:
    """The error for a failed read: Unreadable, unless the path is of the wrong kind (a folder where
    a file belongs, for example)."""
    wrong_kind = error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EBADF)
    return (StoreError if wrong_kind else Unreadable)(cannot_be_read(error, path))


def opened(path: Path | str) -> BufferedReader:
    """Open a regular file for reading.

    Raises:
        OSError: it cannot be opened, or is not a regular file: reading a pipe might never end.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    mode = os.fstat(file).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(file, "rb")
    os.close(file)
    code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EBADF
    why = os.strerror(code) if code == errno.EISDIR else "not a regular file"
    raise OSError(code, why, os.fspath(path))


def content(path: Path | str) -> bytes:
    """All bytes of a file; raises OSError as `opened` does."""
    with opened(path) as file:
        return file.read()


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some network file systems refuse to sync a folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Replace the content of `path` with what `fill` writes; the old file stays until then.

    Raises:
        StoreError: the disk is full, or the folder cannot be written. No partial file is left.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with draft.open("xb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(error, path) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write(path, lambda file: file.write(encoded(dump(value))))


def encoded(text: str) -> bytes:
    """JSON text as UTF-8; unpaired surrogates (from odd file names) are written as JSON escapes."""
    return text.encode(errors="backslashreplace")


def dump(value: Any) -> str:
    """`value` as indented JSON text that ends with a newline and is safe to print."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return escaped_json(text) + "\n"


def json_object(text: bytes | None) -> dict[str, Any]:
    """The JSON object in a file's content; {} if there is none."""
    try:
        found = json.loads(text or b"")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_json(path: Path) -> Any:
    """The JSON value in `path`; None if there is no such file.

    Raises:
        Unreadable: the file cannot be read.
        StoreError: the file is not JSON.
    """
    try:
        return json.loads(content(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unread(error, path) from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not JSON ({error}); move it away and run again") from error
