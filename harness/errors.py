"""Errors that the command line prints without a traceback: user mistakes and machine limits.

A message says what is wrong, where (file:line where there is one) and what to do about it.
"""

from __future__ import annotations

import errno
import itertools
import os
import pwd
import re
import stat
from pathlib import Path

_LIMITS = (
    errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EMFILE, errno.ENFILE,
)  # fmt: skip
"""Errors caused by permissions, the disk or this process's limits, not by a defect of the
harness."""


class HarnessError(Exception):
    """An error that its message explains; `exit_code` is for scripts."""

    exit_code = 1


class RecipeError(HarnessError):
    """A recipe, ablation or site file that cannot be accepted.

    Attributes:
        instead: wrong `--set` option -> its correct form.
    """

    exit_code = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.instead: dict[str, str] = {}


class DataError(HarnessError):
    """A data set that is absent, incomplete, corrupt, or not the one that the run started with."""

    exit_code = 3


class NoData(DataError):
    """The data set itself is absent or broken: no run on it can continue."""


class StoreError(HarnessError):
    """A run folder that cannot be written or read correctly."""

    exit_code = 4


class WrittenByNewer(StoreError):
    """A record of a newer version of the harness, which this version cannot interpret."""


class Unreadable(StoreError):
    """A file or folder of a run that cannot be read. It need not be damaged."""


class DiskError(StoreError):
    """The disk is full or cannot be written: no stage can continue."""


class Busy(StoreError):
    """Another process is running this stage."""


class AlreadyDone(StoreError):
    """Another process has finished this stage in the meantime."""


class Superseded(HarnessError):
    """A newer attempt owns this run now: this attempt must stop writing."""

    exit_code = 5


class TargetMissed(HarnessError):
    """`check` found a result that is not as required, or a required result is missing."""

    exit_code = 6


class NotYet(HarnessError):
    """`check` found no failure, but some results are not there yet."""

    exit_code = 7


def clause(message: str) -> str:
    """The first clause of a message, for limited space."""
    first = message.strip().partition("\n")[0]
    return re.split(r"; | \(", first, maxsplit=1)[0].rstrip(":.")


def cannot_be_read(
    error: OSError, path: Path, otherwise: str = "name another path, or make it readable"
) -> str:
    """Message that a file or folder cannot be read: its path, the reason, its owner, what to do.
    One line.

    Content of the wrong kind gets only that message: "cannot be read" is for files that may be
    intact.

    Args:
        error: the system's error.
        path: the path to read; `error` may be about one of its parent folders.
        otherwise: what to do if the system's reason does not imply it, e.g. for a missing file.
    """
    why = error.strerror or str(error)
    match error.errno:
        case errno.EACCES | errno.EPERM:
            closed = _closed(path)
            shut = "it" if closed == path else str(closed)
            says = f"{shut} belongs to {_owner(closed)}; ask for the right to read it"
        case errno.ENOTDIR:
            return (
                f"{path}: a file, but a folder is needed here; move it away, or name another path"
            )
        case errno.EISDIR:
            return f"{path}: a folder, but a file is needed here; move it away"
        case errno.EBADF:
            return f"{path}: a pipe or device, but a file is needed here; remove it"
        case errno.ELOOP:
            return f"{path}: symbolic links form a loop; replace them by the file or folder"
        case errno.ENAMETOOLONG:
            says = "the name is too long for a file system; name another path"
        case errno.EIO | errno.ESTALE | errno.ETIMEDOUT | errno.EREMOTEIO:
            says = (
                "the disk or its file server fails; try again, and report it to your administrators"
            )
        case errno.EMFILE | errno.ENFILE:
            says = "too many open files; raise the limit with ulimit -n"
        case _:
            says = otherwise
    return f"{path}: cannot be read: {why[:1].lower()}{why[1:]}, {says}"


def unreadable(error: OSError) -> Unreadable | None:
    """The error as a message, if a limit of the machine caused it and it names a path."""
    if not isinstance(error.filename, str | bytes) or error.errno not in _LIMITS:
        return None
    return Unreadable(cannot_be_read(error, Path(os.fsdecode(error.filename))))


def _closed(path: Path) -> Path:
    """The first folder on the way to `path` that denies access, else `path`; if possible, written
    as a part of `path`."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
    way = [*reversed(whole.parents), whole]
    found = next((a for a, b in itertools.pairwise(way) if not _seen(b)), whole)
    own = (each for each in (path, *path.parents) if os.path.abspath(each) == str(found))  # noqa: PTH100
    return next(own, found)


def _seen(path: Path) -> bool:
    try:
        path.lstat()
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def _owner(path: Path) -> str:
    """E.g. "alice, uid 1000, mode 0700"."""
    try:
        found = path.stat()
    except OSError:
        return "another user"
    return f"{user_name(found.st_uid)}, mode {stat.S_IMODE(found.st_mode):04o}"


def user_name(uid: int) -> str:
    """The name of the user with this number, for a message; not every user has one."""
    try:
        return f"{pwd.getpwuid(uid).pw_name}, uid {uid}"
    except (KeyError, OSError):
        return f"uid {uid}"
