"""The state of each stage, decided from its files alone."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.errors import StoreError, Unreadable
from harness.store import atomic
from harness.store.layout import StageFolder, why_no_result
from harness.store.liveness import Unresponsive, holder, unresponsive
from harness.store.validity_cache import Seen, validity_cache
from harness.store.version import STAGE

FileState = Literal[
    "absent", "running", "interrupted", "failed", "diverged", "finished", "damaged", "unreadable"
]
"""unreadable: no access for this user, or a disk error; the stage may be intact."""

_PARTS = re.compile(r"(.+)-s\d+\.([a-z][a-z0-9_=]*)-[0-9a-f]{6,}")

_AT_ONCE = 65536
"""Bytes; more than most of these files have."""

AT_MOST = 1 << 28
"""Bytes of journals after which one call of `everything` checks no more. A journal without
checksums takes four times as long to check and counts four times."""

OWN_DATA = ("masks", "boxes", "images")
"""The keys of a result under which a task that does not read the run's labels describes its set."""

DONE: tuple[FileState, ...] = ("finished", "diverged")
"""Final states of a stage: a diverged run is a result too."""


@dataclass(frozen=True)
class Entry:
    """One stage and its state."""

    folder: StageFolder
    state: FileState
    detail: str = ""
    result: dict[str, Any] | None = None
    described: dict[str, Any] | None = None
    """stage.json; None if it is missing or damaged."""
    who: dict[str, Any] | None = None
    """The process that runs it, as in alive.json; None if there is none."""
    unresponsive: Unresponsive = ""
    """What stops that process from working, if anything."""

    @property
    def done(self) -> bool:
        return self.state in DONE

    @property
    def data(self) -> dict[str, Any]:
        """The data that its values are of, as its result describes them: a task's own set before
        the run's; {} if it describes none."""
        return _data(self.result or {})


def _data(result: Mapping[str, Any]) -> dict[str, Any]:
    found = map(result.get, (*OWN_DATA, "data"))
    return next((each for each in found if isinstance(each, dict)), {})


def measured_by(result: Mapping[str, Any]) -> tuple[object, object]:
    """The edition of a result, and the fingerprint of the data that its values are of: results that
    have both in common may be compared."""
    return result.get("edition"), _data(result).get("fingerprint")


def read_entry(folder: StageFolder) -> Entry:
    """The stage's state; never raises: a damaged folder is a state too."""
    described: dict[str, Any] | None = None

    def found(state: FileState, detail: str = "", result: dict[str, Any] | None = None) -> Entry:
        return Entry(folder, state, detail, result, described)

    known = validity_cache(folder.path.parent)
    seen = known.see(folder.id)
    try:
        folder.refuse_links()
        described = folder.described
        result = folder.result
        if result is not None:
            state = result["state"]
            if state not in DONE:
                where = folder.path / "result.json"
                return found(
                    "damaged", f"{where}: has the state {state!r}; move it away and run again"
                )
            if why := known.why_invalid(folder, result, seen):
                return found("damaged", why)
            known.save()
            return found(state, str(result.get("message", "")), result)
        attempts = folder.attempts()
        if not attempts:
            return found("absent")
        newest = attempts[-1]
        who = holder(newest)
        if who is not None:
            what, words = unresponsive(newest, who)
            said = f"process {who['pid']} on {who['host']} {words}".rstrip()
            return replace(found("running", said), who=who, unresponsive=what)
        ended = atomic.read_json(newest / "ended.json")
    except Unreadable as error:
        return found("unreadable", str(error))
    except StoreError as error:
        return found("damaged", str(error))
    if not isinstance(ended, dict):
        return found("interrupted", f"attempt {int(newest.name)} ended without a record")
    message = str(ended.get("message", ""))
    return found("failed" if ended.get("how") == "failed" else "interrupted", message)


def everything(
    runs: Path,
    seen: dict[str, tuple[str, Entry]] | None = None,
    unread: list[str] | None = None,
) -> Iterator[Entry]:
    """All stages under the run root, by name; fast for thousands, most of which are done.

    For a stage that is done, `described` is the part of stage.json before its recipe, unless
    stage.json is of another version.

    Args:
        seen: cache of done stages, filled by this function from call to call.
        unread: receives the ids of stages that are not checked in this call: AT_MOST was read.

    Raises:
        StoreError: the run root cannot be read.
    """
    root, known, left = os.fspath(runs), validity_cache(runs), AT_MOST
    for name, is_link in _folders(runs):
        files = known.see(name)
        before = seen.get(name) if seen is not None else None
        if before is not None and before[0] == files.digest:
            yield before[1]
            continue
        head = _head(f"{root}/{name}/stage.json")
        if head is None or not (head or StageFolder(runs / name).begun):
            continue
        if is_link:
            yield read_entry(StageFolder(runs / name))
            continue
        result = atomic.json_object(_read(f"{root}/{name}/result.json"))
        folder = StageFolder(runs / name)
        whole = head.get("schema") == STAGE and not why_no_result(result)
        whole, read = whole and result["state"] in DONE, True
        if whole and not files.valid:
            read = left > 0  # before the subtraction: each call reads one of any size
            left -= files.size if "journal" in result else 4 * files.size
            if read:
                whole = not _why_invalid(folder, result, files)
            elif unread is not None:
                unread.append(name)
        if whole:
            said = str(result.get("message", ""))
            entry = Entry(folder, result["state"], said, result, head)
            if seen is not None and read:
                seen[name] = files.digest, entry
            yield entry
        else:
            yield read_entry(folder)
    known.save()


def _why_invalid(folder: StageFolder, result: dict[str, Any], files: Seen) -> str:
    try:
        return validity_cache(folder.path.parent).why_invalid(folder, result, files)
    except StoreError as error:
        return str(error)


def beside(runs: Path, ids: Collection[str]) -> dict[str, Records]:
    """Records of other stages in the run root that may be copies of `ids`, or their originals:
    those with the same recipe name and task; for harness.store.validity.copies."""
    wanted = {_recipe_and_task(id_) for id_ in ids} - {None}
    found: dict[str, Records] = {}
    try:
        names = os.listdir(runs) if wanted else []  # noqa: PTH208
    except OSError:
        return {}  # the caller that reads the stages reports it
    for name in names:
        if name in ids or _recipe_and_task(name) not in wanted:
            continue
        if result := atomic.json_object(_read(f"{runs}/{name}/result.json")):
            found[name] = _head(f"{runs}/{name}/stage.json"), result
    return found


Records = tuple[dict[str, Any] | None, dict[str, Any]]
"""stage.json and result.json."""


def _recipe_and_task(id_: str) -> tuple[str, str] | None:
    """(recipe and cell, task) from a stage's name."""
    found = _PARTS.fullmatch(id_)
    return (found[1], found[2]) if found else None


def names(runs: Path) -> list[str]:
    """The ids of all stages under the run root, sorted.

    Raises:
        StoreError: the run root cannot be read.
    """
    return [name for name, _ in _folders(runs) if StageFolder(runs / name).begun]


def _folders(runs: Path) -> list[tuple[str, bool]]:
    """(name, whether it is a link) of each entry of the run root."""
    try:
        with os.scandir(runs) as found:
            return sorted((each.name, each.is_symlink()) for each in found)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise atomic.unread(error, runs) from error


def _head(path: str) -> dict[str, Any] | None:
    """The part of a stage.json before the recipe; {} if it is damaged, None if there is none."""
    data = _read(path)
    if data is None:
        return None
    before, recipe, _ = data.partition(b',\n  "recipe": {')
    return atomic.json_object(before + b"}" if recipe and data.endswith(b"}\n") else data)


def _read(path: str) -> bytes | None:
    """The file's content; None if there is no file, b"" if it cannot be read.

    Uses os.open: `open` makes twice as many system calls, which matters for thousands of files.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return b""
    try:
        parts = [os.read(file, _AT_ONCE)]
        while len(parts[-1]) == _AT_ONCE:
            parts.append(os.read(file, _AT_ONCE))
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(file)
