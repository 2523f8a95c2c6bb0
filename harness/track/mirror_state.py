"""How far a stage is mirrored, one file per tracker, and the lock of the process that mirrors it.

The file is in the stage's folder and named by the tracker's kind: KIND.json, beside it KIND.lock.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import atomic
from harness.store.layout import StageFolder
from harness.store.version import refuse_newer
from harness.track.tail import Progress

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]

SCHEMA = 1
ID_LIMIT = 120
"""Most characters of a run id; trackers accept at least 128."""
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


def safe_id(stage_id: str, salt: str) -> str:
    """A run id for the stage: at most 120 characters, none that trackers refuse.

    All runs of a project share one set of ids, and all who run the same recipe get the same stage
    id. The salt keeps a second run folder, perhaps of another edition, out of the first one's run.
    """
    return f"{safe_name(stage_id, ID_LIMIT - len(salt) - 1)}-{salt}"


def safe_name(text: str, room: int = ID_LIMIT) -> str:
    """`text` in at most `room` characters that trackers accept in names."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", text)
    if len(name) > room:
        name = f"{name[: room - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return name


@dataclass
class MirrorState:
    """The content of KIND.json.

    Attributes:
        id: the run's id, chosen once; remove the file to mirror into a new run.
        mode: how the stage was mirrored last, "online" or "offline".
        url: the run's page; "" if it was never online.
        online: what the tracker has confirmed; advances when a run is closed and fully delivered.
        offline: what was written to offline files, which only grow.
    """

    id: str
    project: str
    mode: str = ""
    url: str = ""
    online: Progress = field(default_factory=Progress)
    offline: Progress = field(default_factory=Progress)

    def save(self, folder: StageFolder, kind: str) -> None:
        """Write KIND.json.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
        """
        atomic.write_json(_file(folder, kind), {"schema": SCHEMA, **asdict(self)})


def load(folder: StageFolder, kind: str, project: str) -> MirrorState:
    """The stage's cursor of that tracker; a new one, saved, if there is none.

    Raises:
        StoreError: KIND.json is damaged, or cannot be written.
    """
    found = stored_state(folder, kind)
    if found is None:
        found = MirrorState(safe_id(folder.id, secrets.token_hex(3)), project)
        found.save(folder, kind)
    elif not found.url:  # not online yet: the project may still change
        found.project = project
    return found


def stored_state(folder: StageFolder, kind: str) -> MirrorState | None:
    """The stage's cursor of that tracker, None if there is none.

    Raises:
        StoreError: KIND.json is damaged, or of a newer version of the harness.
    """
    path = _file(folder, kind)
    value: Any = atomic.read_json(path)
    if value is None:
        return None
    try:
        refuse_newer(value, SCHEMA, path)
        if value["schema"] != SCHEMA:
            raise ValueError("written by another version")
        return MirrorState(
            id=str(value["id"]),
            project=str(value["project"]),
            mode=str(value["mode"]),
            url=str(value["url"]),
            online=Progress(**value["online"]),
            offline=Progress(**value["offline"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{path}: not a mirror state ({error}); remove it to mirror again from the start"
        ) from error


def _file(folder: StageFolder, kind: str) -> Path:
    return folder.path / f"{kind}.json"


class Lock:
    """An exclusive lock on a file; the system releases it when its process dies.

    If the file system has no locks, it is always granted. An online mirror is still correct then (a
    tracker takes each row's number once); an offline one may hold rows twice.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False if another process has it. Never waits.

        Raises:
            StoreError: the lock's file cannot be created.
        """
        if self._fd is not None:
            return True
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise atomic.write_error(error, self._path) from error
        try:
            if fcntl is not None:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                os.close(fd)
                return False
        self._fd = fd
        return True

    def release(self) -> None:
        """Release the lock; does nothing if it is not held."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None
