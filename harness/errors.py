"""What a user can do wrong, as exceptions that the command line prints without a traceback.

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
"""What a path's owner, its disk or this process's limits refuse; no defect of the harness."""


class HarnessError(Exception):
    """A mistake or a circumstance that its message explains; `exit_code` is what scripts see."""

    exit_code = 1


class RecipeError(HarnessError):
    """A recipe, ablation or site file that cannot be accepted.

    Attributes:
        instead: of `--set` options that are to blame, how to write them.
    """

    exit_code = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.instead: dict[str, str] = {}


class DataError(HarnessError):
    """A data set that is absent, incomplete, corrupt, or not the one that the run began with."""

    exit_code = 3


class NoData(DataError):
    """The data set itself is absent or broken: no run on it can go on."""


class StoreError(HarnessError):
    """A run folder that cannot be written or read as it should."""

    exit_code = 4


class WrittenByNewer(StoreError):
    """A record of a newer version of the harness, whose meaning this one does not know."""


class Unreadable(StoreError):
    """A file or folder of a run that cannot be read: it may well be whole."""


class DiskError(StoreError):
    """The disk is full or cannot be written: no stage can go on."""


class Busy(StoreError):
    """Another process is running this stage."""


class AlreadyDone(StoreError):
    """Another process has finished this stage meanwhile."""


class Superseded(HarnessError):
    """A newer attempt has taken this run over: this one must stop writing."""

    exit_code = 5


class TargetMissed(HarnessError):
    """`check` found a result that is not as wanted, or none where it needs one."""

    exit_code = 6


class NotYet(HarnessError):
    """`check` found nothing amiss, but some results are still to come."""

    exit_code = 7


def clause(message: str) -> str:
    """The first clause of a message, where there is room for no more."""
    first = message.strip().partition("\n")[0]
    return re.split(r"; | \(", first, maxsplit=1)[0].rstrip(":.")


def cannot_be_read(
    error: OSError, path: Path, otherwise: str = "name another path, or make it readable"
) -> str:
    """That a file or folder cannot be read: which, why, whose it is, what to do. One line.

    Of a thing of another kind it says so alone: "cannot be read" is said of what may be whole.

    Args:
        error: what the system said to the attempt.
        path: what was to be read; `error` may be about a folder that it lies in.
        otherwise: what to do where the system's reason does not say it, as of a missing file.
    """
    why = error.strerror or str(error)
    match error.errno:
        case errno.EACCES | errno.EPERM:
            closed = _closed(path)
            shut = "it" if closed == path else str(closed)
            says = f"{shut} belongs to {_owner(closed)}; ask for the right to read it"
        case errno.ENOTDIR:
            return f"{path}: a file stands where a folder is needed; move it away, or name another"
        case errno.EISDIR:
            return f"{path}: a folder stands where a file is needed; move it away"
        case errno.EBADF:
            return f"{path}: a pipe or the like stands where a file is needed; take it away"
        case errno.ELOOP:
            return f"{path}: links lead in a circle; put the thing itself there"
        case errno.ENAMETOOLONG:
            says = "no file system has such a name; name another path"
        case errno.EIO | errno.ESTALE | errno.ETIMEDOUT | errno.EREMOTEIO:
            says = "the disk or its file server fails; try again, and tell who keeps it"
        case errno.EMFILE | errno.ENFILE:
            says = "too many files are open; raise the limit, ulimit -n"
        case _:
            says = otherwise
    return f"{path}: cannot be read: {why[:1].lower()}{why[1:]}, {says}"


def unreadable(error: OSError) -> Unreadable | None:
    """The error as a message if the machine's limits are behind it, on a path that it names."""
    if not isinstance(error.filename, str | bytes) or error.errno not in _LIMITS:
        return None
    return Unreadable(cannot_be_read(error, Path(os.fsdecode(error.filename))))


def _closed(path: Path) -> Path:
    """The first folder on the way to `path` that does not let us through, else `path`; where it
    can be, in terms of `path`."""
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
    """alice, uid 1000, mode 0700."""
    try:
        found = path.stat()
    except OSError:
        return "somebody else"
    return f"{user_name(found.st_uid)}, mode {stat.S_IMODE(found.st_mode):04o}"


def user_name(uid: int) -> str:
    """The user with the number, for a message; not everyone has a name."""
    try:
        return f"{pwd.getpwuid(uid).pw_name}, uid {uid}"
    except (KeyError, OSError):
        return f"uid {uid}"
