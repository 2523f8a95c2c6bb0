"""Cache of validity checks: stages that were found valid and have not changed are not read again.

RUNS/.checked has one line for each stage: its id, its attempts, and a digest of the file system's
data (inode, size, mtime, ctime) of its result, journal and attempts' provenance. Any write, rename
or copy changes these. Another line covers its stage.json. The file may be deleted at any time; if
it cannot be written, later checks only take longer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import StoreError
from harness.store import atomic
from harness.store.layout import StageFolder, is_name
from harness.store.validity import why_invalid

FILE = ".checked"
PUBLISHED = "published.json"
"""Marks a run root as published records, in which no file is added."""

RULE = 3
"""Raised when the validity rules change: stages checked by older rules are checked again."""

SETTLED_S = 2.0
"""A file younger than this may still change without a change of its times."""


class Seen(NamedTuple):
    """The state of a stage's files."""

    attempts: tuple[str, ...]
    digest: str
    size: int
    """Bytes of its records."""
    valid: bool
    """They were found valid, and have not changed since."""
    settled: bool


class ValidityCache:
    """The cache for one run root."""

    def __init__(self, runs: str) -> None:
        self._runs = runs
        self._known: dict[str, tuple[tuple[str, ...], str]] = {}
        self._new: list[str] = []
        self._lines = 0
        with contextlib.suppress(OSError):
            lines = Path(runs, FILE).read_text(errors="replace").splitlines()
            self._lines = len(lines)
            for line in lines:
                with contextlib.suppress(ValueError):  # torn: two processes wrote at the same time
                    id_, attempts, digest = line.split("\t")
                    self._known[id_] = tuple(filter(None, attempts.split(","))), digest

    def see(self, id_: str) -> Seen:
        """The present state of the stage's files; call it before reading them."""
        known = self._known.get(id_)
        if known is not None:
            digest, size, _ = self._stat(id_, known[0])
            if digest == known[1]:
                return Seen(known[0], digest, size, valid=True, settled=True)
        attempts = self._attempts(id_)
        digest, size, newest = self._stat(id_, attempts)
        return Seen(attempts, digest, size, valid=False, settled=_settled(newest))

    def why_invalid(self, folder: StageFolder, result: Mapping[str, Any], seen: Seen) -> str:
        """As harness.store.validity.why_invalid, but stages that were found valid are not read
        again.

        Args:
            folder: the stage's.
            result: the content of its result.json.
            seen: the state of the stage's files before that was read.

        Raises:
            Unreadable: a file or folder cannot be read.
        """
        if seen.valid:
            return ""
        attempts = seen.attempts or [path.name for path in folder.attempts()]  # or raises why none
        why = why_invalid(folder, result, attempts)
        if not why and seen.settled and is_name(folder.id):
            self._note(folder.id, seen.attempts, seen.digest)
        return why

    def why_wrong(self, id_: str, name: str, judge: Callable[[], str | None]) -> str:
        """What `judge` finds wrong with the stage's file `name`. `judge` is not called if it found
        nothing wrong before ("", while None means that it cannot tell) and the file has not changed
        since."""
        key = f"{id_}/{name}"
        digest, _, newest = _stat([f"{self._runs}/{key}"])
        if self._known.get(key) == ((), digest):
            return ""
        why = judge()
        if why == "" and _settled(newest) and is_name(id_):
            self._note(key, (), digest)
        return why or ""

    def _note(self, key: str, attempts: tuple[str, ...], digest: str) -> None:
        self._known[key] = attempts, digest
        self._new.append(f"{key}\t{','.join(attempts)}\t{digest}\n")

    def save(self) -> None:
        """Append what was found valid to the cache file; what cannot be written is checked
        again."""
        new, self._new = self._new, []
        if not new or os.path.exists(f"{self._runs}/{PUBLISHED}"):  # noqa: PTH110
            return
        self._lines += len(new)
        place = Path(self._runs, FILE)
        with contextlib.suppress(OSError, StoreError):
            if self._lines > 2 * len(self._known) + 1000:
                known = self._known.items()
                new = [f"{id_}\t{','.join(parts)}\t{digest}\n" for id_, (parts, digest) in known]
                self._lines = len(new)
                atomic.write(place, lambda file: file.write("".join(new).encode()))
                return
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(place, flags, 0o666)
            try:
                os.write(file, "".join(new).encode())
            finally:
                os.close(file)

    def _attempts(self, id_: str) -> tuple[str, ...]:
        try:
            names = os.listdir(f"{self._runs}/{id_}/attempts")  # noqa: PTH208
        except OSError:
            return ()
        return tuple(sorted((name for name in names if name.isdecimal()), key=int))

    def _stat(self, id_: str, attempts: tuple[str, ...]) -> tuple[str, int, int]:
        at = f"{self._runs}/{id_}"
        of = ("metrics.jsonl", "attempt.json")
        records = [f"{at}/attempts/{name}/{each}" for name in attempts for each in of]
        return _stat([f"{at}/result.json", f"{at}/attempts", *records])


def _stat(paths: Iterable[str]) -> tuple[str, int, int]:
    """(digest of the files' state, their total bytes, nanoseconds since 1970 of the last
    change)."""
    found: list[int] = [RULE]
    size = newest = 0
    for path in paths:
        try:
            here = os.stat(path)  # noqa: PTH116
        except OSError:
            found.append(0)
            continue
        size += here.st_size
        newest = max(newest, here.st_ctime_ns, here.st_mtime_ns)
        found += (here.st_ino, here.st_size, here.st_mtime_ns, here.st_ctime_ns)
    return hashlib.blake2b(repr(found).encode(), digest_size=12).hexdigest(), size, newest


def _settled(newest: int) -> bool:
    return 0 < newest < time.time_ns() - SETTLED_S * 1e9


_OF: dict[str, ValidityCache] = {}


def validity_cache(runs: Path) -> ValidityCache:
    """The cache for the run root: one per process, read from its file on the first call."""
    root = os.path.abspath(runs)  # noqa: PTH100
    if root not in _OF:
        _OF[root] = ValidityCache(root)
    return _OF[root]
