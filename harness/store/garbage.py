"""Which files of a run root may be deleted. Never a journal, a result, a provenance, or a file of a
stage that is running, waiting for a job, or unfinished.

A finished stage keeps its last checkpoint unchanged, optimiser included. The checkpoint's name
holds a digest of its content, by which probes identify the weights they used.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import StoreError
from harness.spec.registry import tasks
from harness.store import (
    atomic,
    benchmarks,
    certificate,
    features,
    ledger,
    look,
    pictures,
    submission,
)
from harness.store.layout import StageFolder
from harness.store.liveness import holder
from harness.store.provenance import SNAPSHOT

Kind = Literal["checkpoints", "set aside", "code", "features", "draft"]

DAY_S = 86_400.0
"""A draft with no write for this long belongs to a killed process. A copy of the code stays for as
long after its last submission, as jobs of `doctor` and `certify` leave no record."""

_CHECKPOINT = re.compile(r"step-(\d{8,})-([0-9a-f]{12})\.pt")
_DRAFT = re.compile(r"\..+\.(\d{20}-)?[0-9a-f]{8}(\.tmp)?")
_WRITTEN = ("submissions", "submissions/claims", "reports", "sweeps")
"""Folders besides the stages into which files are written, directly or in their sub-folders."""


@dataclass(frozen=True)
class Garbage:
    """Files, or one folder with its content, that may be deleted together."""

    kind: Kind
    place: Path
    """The stage's folder, or the path to delete."""
    paths: tuple[Path, ...]
    size: int
    """Bytes."""
    whole: Path | None = None
    """The checkpoint that stays; it must be intact."""


def find(
    runs: Path,
    held: Collection[str],
    used: Collection[str],
    note: Callable[[str], object] = lambda _: None,
) -> Iterator[Garbage]:
    """Everything that may be deleted, as it is found.

    Args:
        held: ids of stages that have, or may have, a job.
        used: names of the copies of the code that such jobs run. Not paths: the run root may have
            been named otherwise, through a link or another mount.
        note: called with a message for each skipped folder: one without access, or a stage's that
            is a symbolic link.

    Raises:
        StoreError: the run root cannot be read.
    """
    for entry in ledger.everything(runs):
        if entry.folder.id in held or entry.state == "running":
            continue
        yield from _readable(_of_stage(entry), note)
    for old in _aside(runs):
        yield from _readable(_of_aside(old), note)
    yield from _readable(_of_code(runs / ".code", used), note)
    yield from _readable(_of_features(runs), note)
    for name in (benchmarks.FOLDER, certificate.FOLDER, features.FOLDER):
        yield from _readable(_draft_files(runs / name), note)
    for name in _WRITTEN:
        yield from _readable(_draft_files(runs / name), note)
        yield from _readable(_of_sub_folders(runs / name, note), note)


def _readable(found: Iterator[Garbage], note: Callable[[str], object]) -> Iterator[Garbage]:
    """What is found up to a folder that cannot be read, which is noted."""
    try:
        yield from found
    except StoreError as error:
        note(str(error))


def _of_aside(old: StageFolder) -> Iterator[Garbage]:
    old.refuse_links()
    if _lived(old):
        return
    if paths := tuple(path for _, _, path in saved(old)):
        yield Garbage("set aside", old.path, paths, _size(paths))
    yield from _draft_files(*_places(old))


def _of_code(copies: Path, used: Collection[str]) -> Iterator[Garbage]:
    for folder in _own_folders(copies):
        if _DRAFT.fullmatch(folder.name) or folder.name in used:
            continue
        if _only_copy(folder) or not _old(folder):
            continue
        yield Garbage("code", folder, (folder,), _size([folder]))
    if not copies.is_symlink():
        yield from drafts(copies)


def _of_features(runs: Path) -> Iterator[Garbage]:
    if paths := tuple(features.files(runs)):
        yield Garbage("features", runs / features.FOLDER, paths, _size(paths))


def _of_sub_folders(folder: Path, note: Callable[[str], object]) -> Iterator[Garbage]:
    for each in _own_folders(folder):
        yield from _readable(_draft_files(each), note)


def _of_stage(entry: ledger.Entry) -> Iterator[Garbage]:
    entry.folder.refuse_links()
    if _lived(entry.folder):
        return
    if entry.done:
        yield from _before_the_last(entry)
    yield from _draft_files(*_places(entry.folder))


def is_run_root(runs: Path) -> bool:
    """Whether the folder holds stages or submissions; in any other folder nothing is deleted.

    Raises:
        StoreError: it cannot be read.
    """
    return bool(ledger.names(runs) or submission.everything(runs) or _aside(runs))


def drafts(folder: Path, of: str = "") -> Iterator[Garbage]:
    """Folders in `folder` that were never finished or renamed, and no longer grow.

    Args:
        of: prefix of their names, for folders shared with other programs.
    """
    for path in _folders(folder):
        ours = path.name.startswith(f".{of}")
        if ours and _DRAFT.fullmatch(path.name) and _old(path):
            yield Garbage("draft", path, (path,), _size([path]))


def remove(one: Garbage) -> None:
    """Delete it; a file that is already gone is no error.

    Raises:
        StoreError: it cannot be deleted, or the checkpoint that should stay is damaged: then the
            older ones stay too.
    """
    try:
        if one.whole is not None and not _is_whole(one.whole):
            raise StoreError(f"{one.whole}: damaged, so older checkpoints were kept")
        for path in one.paths:
            if path.is_dir() and not path.is_symlink():
                # rename first: a half-deleted folder must not look complete
                gone = path.with_name(f".{path.name.lstrip('.')}.{secrets.token_hex(4)}")
                path.rename(gone)
                shutil.rmtree(gone)
            else:
                path.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise atomic.write_error(error, one.place) from error


def saved(folder: StageFolder) -> list[tuple[int, str, Path]]:
    """(step, digest, path) of the stage's checkpoints, newest first, read from their names."""
    try:
        paths = sorted(folder.checkpoints.iterdir(), reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise atomic.unread(error, folder.checkpoints) from error
    named = [(match, path) for path in paths if (match := _CHECKPOINT.fullmatch(path.name))]
    return sorted(((int(m[1]), m[2], path) for m, path in named), reverse=True)


def _before_the_last(entry: ledger.Entry) -> Iterator[Garbage]:
    found, result = saved(entry.folder), entry.result or {}
    if len(found) < 2:
        return
    (step, digest, last), *before = found
    kind = (entry.described or {}).get("kind")
    children = any(each.parent == kind for each in tasks().values())
    read = children and entry.state == "finished"  # by probes: they need exactly these weights
    if read and (step, digest) != (result.get("step"), result.get("weights")):
        return
    paths = tuple(path for _, _, path in before)
    yield Garbage("checkpoints", entry.folder.path, paths, _size(paths), last)


def _lived(folder: StageFolder) -> bool:
    attempts = folder.attempts()
    return bool(attempts) and holder(attempts[-1]) is not None


def _is_whole(path: Path) -> bool:
    match = _CHECKPOINT.fullmatch(path.name)
    with atomic.opened(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return match is not None and digest[:12] == match[2]


def _only_copy(snapshot: Path) -> bool:
    """Whether some of the code is, or may be, in no commit and in no record of an attempt's
    uncommitted changes. Then this copy is the only source of a run's number."""
    try:
        noted = atomic.read_json(snapshot / SNAPSHOT)
        code, diff = noted["code"], noted["diff"]
        unknown = None in (code["commit"], code["dirty"]) or (code["diff"] and not diff)
        added = any(name.startswith("harness/") for name in code["untracked"])
        return bool(unknown) or added or _has_others(snapshot)
    except (StoreError, TypeError, KeyError, AttributeError):
        return True


def _has_others(snapshot: Path) -> bool:
    """Whether it has code of other packages: no attempt records the state of their checkouts."""
    known = ("harness", SNAPSHOT)
    return any(p.name not in known and p.suffix != ".dist-info" for p in _listed(snapshot))


def _aside(runs: Path) -> list[StageFolder]:
    folders = _own_folders(runs / "aside")
    return [stage for path in folders if (stage := StageFolder(path)).begun]


def _places(folder: StageFolder) -> list[Path]:
    """The folders into which files of a stage are written."""
    made = [folder.path / name for name in (pictures.FOLDER, look.FOLDER)]
    return [folder.path, folder.checkpoints, *made, *_folders(folder.path / "attempts")]


def _draft_files(*places: Path) -> Iterator[Garbage]:
    for place in places:
        for path in [] if place.is_symlink() else _listed(place):
            draft = path.name.endswith(".tmp") and _DRAFT.fullmatch(path.name)
            if draft and path.is_file() and not path.is_symlink() and _old(path):
                yield Garbage("draft", path, (path,), _size([path]))


def _own_folders(folder: Path) -> list[Path]:
    """Sub-folders of a folder in the run root; none if it is a symbolic link: its files belong to
    others."""
    return [] if folder.is_symlink() else _folders(folder)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _listed(folder) if path.is_dir() and not path.is_symlink()]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise atomic.unread(error, folder) from error


def _old(path: Path) -> bool:
    newest = max((found.st_mtime for found in _stats(path)), default=time.time())
    return time.time() - newest > DAY_S


def _size(paths: Collection[Path]) -> int:
    found = (each for path in paths for each in _stats(path))
    return sum(each.st_size for each in found if not stat.S_ISDIR(each.st_mode))


def _stats(path: Path) -> Iterator[os.stat_result]:
    """Of the file, or of the folder and everything in it; links are not followed."""
    try:
        yield path.lstat()
    except OSError:  # deleted meanwhile
        return
    for at, folders, files in os.walk(path):
        for name in (*folders, *files):
            try:
                yield (Path(at) / name).lstat()
            except OSError:
                continue
