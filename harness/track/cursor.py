"""How far a stage is mirrored (wandb.json in its folder), and the lock of who mirrors it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import atomic
from harness.store.layout import StageFolder
from harness.store.version import refuse_newer
from harness.track.mode import project
from harness.track.tail import Progress

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]

SCHEMA = 1
ID_LIMIT = 120
"""W&B takes 128."""
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


def safe_id(stage_id: str, salt: str) -> str:
    """A W&B run id for the stage: at most 120 characters, none of those that W&B refuses.

    W&B's ids are shared by a project, a stage's id by all who run the same recipe; the salt keeps
    a second run folder, perhaps of another edition, from writing into the first one's run.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", stage_id)
    room = ID_LIMIT - len(salt) - 1
    if len(name) > room:
        name = f"{name[: room - 9]}-{hashlib.sha256(stage_id.encode()).hexdigest()[:8]}"
    return f"{name}-{salt}"


@dataclass
class Cursor:
    """What wandb.json says.

    Attributes:
        id: the W&B run id, chosen once; remove wandb.json to mirror into a new run.
        mode: how the stage was mirrored last, "online" or "offline".
        url: the run's page, "" while it was never online.
        online: what W&B has confirmed; advances when a run is closed, all of it delivered.
        offline: what was written into offline files, which only grow.
    """

    id: str
    project: str
    mode: str = ""
    url: str = ""
    online: Progress = field(default_factory=Progress)
    offline: Progress = field(default_factory=Progress)

    def save(self, folder: StageFolder) -> None:
        """Write wandb.json.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
        """
        atomic.write_json(folder.path / "wandb.json", {"schema": SCHEMA, **asdict(self)})


def load(folder: StageFolder, env: Mapping[str, str] = os.environ) -> Cursor:
    """The stage's cursor; a new one, saved, if there is none.

    Raises:
        StoreError: wandb.json is damaged, or cannot be written.
    """
    found = peek(folder)
    if found is None:
        found = Cursor(safe_id(folder.id, secrets.token_hex(3)), project(env))
        found.save(folder)
    elif not found.url:  # nothing is online yet: the project may still change
        found.project = project(env)
    return found


def peek(folder: StageFolder) -> Cursor | None:
    """The stage's cursor, None if there is none.

    Raises:
        StoreError: wandb.json is damaged, or of a newer version of the harness.
    """
    path = folder.path / "wandb.json"
    value: Any = atomic.read_json(path)
    if value is None:
        return None
    try:
        refuse_newer(value, SCHEMA, path)
        if value["schema"] != SCHEMA:
            raise ValueError("written by another version")
        return Cursor(
            id=str(value["id"]),
            project=str(value["project"]),
            mode=str(value["mode"]),
            url=str(value["url"]),
            online=Progress(**value["online"]),
            offline=Progress(**value["offline"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{path}: not a cursor ({error}); remove it to mirror anew") from error


class Lock:
    """An exclusive lock on a file, which the system drops when its holder dies.

    Where the file system knows no locks it is always granted: an online mirror stays right even
    then (W&B takes each row's number once), an offline one may hold rows twice.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False if another process holds it. Never waits.

        Raises:
            StoreError: the lock's file cannot be made.
        """
        if self._fd is not None:
            return True
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise atomic.explain(error, self._path) from error
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
        """Give the lock back; nothing happens if it is not held."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None
