"""Notes of earlier checks of inputs, so that what has not changed is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import StoreError
from harness.store import atomic

SETTLED_NS = 2 * 10**9
"""A file changed less than this before it was checked may change again without a new time."""

NAMED = 5
"""Maximum number of damaged files that a message names."""
AT_ONCE = 64
"""Groups of files between two looks at the clock."""

Group = TypeVar("Group", bound=tuple[Path, ...])


class Note:
    """Results of earlier checks at a place: RUNS/.inputs/<digest of the path>.json.

    It may be deleted at any time, and is not written in a read-only run root.
    """

    def __init__(self, runs: Path, place: Path) -> None:
        self._place = os.path.realpath(place)
        self._now = time.time_ns()
        named = hashlib.sha256(os.fsencode(self._place)).hexdigest()[:16]
        self._path = runs / ".inputs" / f"{named}.json"
        try:
            said = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            said = None
        whole = isinstance(said, dict) and said.get("place") == self._place
        self._before = said if whole else {"place": self._place}
        self.after: dict[str, Any] = dict(self._before)

    def known(self, key: str) -> dict[str, Any]:
        """The noted value of `key`."""
        found = self._before.get(key)
        return found if isinstance(found, dict) else {}

    def settled(self, times: list[int]) -> list[int]:
        """The result of `times_of`. If the last change is too recent to be certain, [], which
        matches no file."""
        return times if times[-1] < self._now - SETTLED_NS else []

    def sums(self, place: Path, names: Iterable[str]) -> Iterator[int]:
        """CRC-32 of each file in `place`; a file with the noted size and times is not read again.

        Raises:
            OSError: one cannot be read.
        """
        known, sums = self.known("files"), {}
        for name in names:
            seen = times_of((place / name).stat())
            before = known.get(name)
            if not isinstance(before, list) or before[1:] != seen:
                before = [zlib.crc32(atomic.content(place / name)), *self.settled(seen)]
            sums[name] = before
            yield int(before[0])
        self.after["files"] = sums

    def write(self) -> None:
        """Write new notes, if the run root exists and can be written."""
        if (
            self.after == self._before
            or not self._path.parent.parent.is_dir()
            or self._path.parent.is_symlink()
        ):
            return
        data = json.dumps(self.after, separators=(",", ":")).encode()
        with contextlib.suppress(OSError, StoreError):
            self._path.parent.mkdir(exist_ok=True)
            atomic.write(self._path, lambda file: file.write(data))


def times_of(about: os.stat_result) -> list[int]:
    """A file's size, and the last change of its content and of its inode, in ns. A copy that keeps
    the content's time, as by cp -p or rsync -t, has another inode time."""
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns]


def damaged(
    note: Note, what: str, groups: Iterable[Group], why: Callable[[Group], str], until: float
) -> list[str]:
    """Why files cannot be used, in sentences. Groups that are whole are noted, and are not checked
    again until one of their files changes.

    Args:
        what: the files, for a message that more are damaged than it names.
        groups: files that belong together; the last one names the group in the note.
        why: the reason, with what to do; "" if there is none. Called in threads.
        until: of time.monotonic, when the rest is left to the next call.

    Returns:
        the reasons, also that a file cannot be read. Missing files are passed over: they are told
        where the names are checked.
    """
    known, after = note.known("whole"), dict(note.known("whole"))

    def check(group: Group) -> tuple[str, list[list[int]]]:
        try:
            times = [times_of(path.stat()) for path in group]
            seen = known.get(str(group[-1])) == [number for each in times for number in each]
            return "" if seen else why(group), times
        except (FileNotFoundError, NotADirectoryError):
            return "", []
        except OSError as error:
            return str(atomic.unread(error, Path(error.filename or group[-1]))), []

    wrong: list[str] = []
    left = iter(groups)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while time.monotonic() <= until and (batch := list(islice(left, AT_ONCE))):
            for group, (says, times) in zip(batch, pool.map(check, batch), strict=True):
                if says:
                    wrong.append(says)
                elif times and all(note.settled(each) for each in times):
                    after[str(group[-1])] = [number for each in times for number in each]
    note.after["whole"] = after
    note.write()
    if len(wrong) > NAMED:
        wrong[NAMED:] = [f"{len(wrong) - NAMED:,} more {what} cannot be used"]
    return wrong
