"""Staging: copy a recipe's data to a node's own disk before a stage, once for all jobs of a user on
the node.

    FOLDER/moco-harness-data-<user>-<digest>/          a complete copy
    FOLDER/.moco-harness-data-<user>-<digest>.<when>/  a draft: data/, and alive.json of the process
                                                       that copies
    FOLDER/.moco-harness-job-<digest>                  names the copy that one start of a job reads

Users share no copies: one may not be able to read another's, nor tell whether its process lives.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar

from harness.data_roots import AnyRoot
from harness.errors import DataError, StoreError
from harness.inputs import ANNOTATED
from harness.launch.slurm.config import own_job
from harness.recipe.photos import PHOTOS
from harness.store import atomic
from harness.store.liveness import Heartbeat, holder

THREADS = 16
"""Files that are checked or copied at the same time, as a shared file system has a high latency."""
WAIT_S = 4 * 3600.0
"""Seconds that a process waits for the process of its node that copies."""
POLL_S = 0.2
CHUNK = 4 << 20
"""While a large file is copied: bytes between two checks whether to stop."""
KEPT_S = 24 * 3600.0
"""Seconds for which the file that names a job's copy is kept."""
NAME = f"moco-harness-data-{os.getuid()}-"
WORD = ".moco-harness-job-"

_FOLDERS = {
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "stl10": "stl10_binary",
    **{name: each.folder for name, each in PHOTOS.items()},
}
"""Folders under the data root in which torchvision keeps them."""

T = TypeVar("T")
Asked = Callable[[], bool]
Files = list[tuple[str, int, int]]
"""Name, size in bytes and mtime in ns of each file of a folder, sorted."""
Listing = Callable[[AnyRoot], Iterator[tuple[str, Files]]]
"""All folders of what is copied, relative to a root, each with its own files."""


class _Stopped(Exception):
    """The process was asked to stop."""


def data_folders(recipe: Mapping[str, Any]) -> list[str]:
    """Folders of the data sets that the recipe (as `own` gives it) reads, relative to the data
    root."""
    sets = (recipe["data"], *(said["data"] for said in recipe.get("tasks", {}).values()))
    found = (data.get("folder") or _FOLDERS.get(data["name"]) for data in sets if data)
    return [folder for folder in found if folder]


def needed(recipe: Mapping[str, Any]) -> list[str]:
    """Paths that the recipe (as `own` gives it) reads, relative to the data root."""
    tasks = recipe.get("tasks", {}).values()
    sets = (recipe["data"], *(said["data"] for said in tasks))
    paths: list[str | None] = [*data_folders(recipe), *(each.get("test") for each in sets if each)]
    for said in tasks:
        for field, (folders, _) in ANNOTATED.items():
            if isinstance(own := said.get(field), Mapping):
                paths += folders.get(own.get("name"), ())
        paths.append(said.get("labels_file"))
    paths.append((recipe["model"].get("weights") or {}).get("file"))
    return list(dict.fromkeys(path for path in paths if path))


def own(described: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe in a stage.json, with the data that the stage itself reads: its own, with its
    task's masks and list of labels, and, in pre-training, that of the task that is monitored."""
    recipe: dict[str, Any] = described.get("recipe", {})
    further, under = recipe.get("tasks", {}), described.get("task")
    watched = recipe.get("watch", {}).get("knn_task") if described.get("parent") is None else None
    return recipe | {
        "data": (further.get(under) or {}).get("data") or recipe.get("data"),
        "tasks": {name: said for name, said in further.items() if name in (under, watched)},
    }


def stage(
    recipe: Mapping[str, Any], root: AnyRoot, local: str, *, first: bool, stopping: Asked
) -> AnyRoot | None:
    """The data root to read from: a copy under `local`, or `root` if the recipe's data cannot be
    copied from there (it is generated, or will be downloaded). None: the process was asked to stop.

    A copy gets its final name, made from the source's paths, sizes and times, only when it is
    complete: a later job on the node finds it, and a changed source gets another copy. Of jobs that
    start at the same time one copies and the others wait. What a killed process left half copied is
    removed.

    Args:
        local: a folder of the node's own disk; variables and ~ are expanded.
        first: this process copies; the other processes of its job wait for it.
        stopping: called often; true asks to stop.

    Raises:
        DataError: a variable is not set, the disk is full, or the first process does not finish.
    """
    found = [Path(path) for path in needed(recipe) if (root / path).exists()]
    # another path would not lie in the copy: the file might be overwritten by itself
    wanted = [str(path) for path in found if not path.is_absolute() and ".." not in path.parts]
    downloads = not all((root / folder).exists() for folder in data_folders(recipe))
    if not wanted or downloads:  # what is downloaded belongs in the shared root
        return root
    place = Path(os.path.expandvars(local)).expanduser()
    if "$" in str(place) or not place.is_absolute():
        raise DataError(
            f"slurm.stage_data: {local} is {place} on this node; give an absolute path, with "
            "variables that SLURM or slurm.setup sets"
        )
    said = json.dumps([own_job(os.environ), str(root), wanted])
    word = place / (WORD + hashlib.sha256(said.encode()).hexdigest()[:12])
    try:
        if not first:
            return _named_copy(word, stopping)
        target = _copied(root, wanted, place, stopping)
        atomic.write_json(word, {"target": target.name})
    except _Stopped:
        return None
    except (OSError, StoreError) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        about = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
        raise DataError(
            f"{place}: the data could not be copied to it ({said}{about}); free some space, name "
            "another folder, or leave out slurm.stage_data"
        ) from error
    return target


def _named_copy(word: Path, stopping: Asked) -> Path:
    """Wait for the complete copy that the first process of this job names."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        said = atomic.read_json(word)
        if isinstance(said, dict) and (target := word.parent / str(said.get("target"))).is_dir():
            return target
        _rest(stopping)
    raise DataError(f"{word.parent}: the process that copies the data has not finished")


def _copied(root: AnyRoot, wanted: list[str], place: Path, stopping: Asked) -> Path:
    """The complete copy, found or made."""
    place.mkdir(parents=True, exist_ok=True)
    _tidy(place, stopping)
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            asked = partial(_walk, wanted=wanted, pool=pool, stopping=stopping)
            target = _place(place, root, asked)
            while not target.exists():
                with _drafting(target) as draft:
                    older = _oldest(draft, target)
                    # An older process that is done named the copy before its draft was removed.
                    if older == draft and not target.exists():
                        print(f"copying {', '.join(wanted)} from {root} to {target}", flush=True)
                        _fill(draft / "data", root, wanted, pool, stopping)
                        _name(draft / "data", target)
                while not target.exists() and older != draft and holder(older) is not None:
                    _rest(stopping)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return target


def _place(place: Path, root: AnyRoot, asked: Listing) -> Path:
    """The folder of the copy: one with the names and sizes of the source, or one that was not
    there. Whatever cleans the node's disk may have removed files of an earlier copy."""
    digest, whole = _digest(root, asked)
    there = sorted(place.glob(f"{NAME}{digest}*"))
    for target in there:
        with contextlib.suppress(OSError):
            if _digest(target, asked)[1] == whole:
                return target
    names = (f"{NAME}{digest}{f'-{n}' if n else ''}" for n in itertools.count())
    # one that another job has named since is whole, and is used
    return next(place / name for name in names if place / name not in there)


@contextlib.contextmanager
def _drafting(target: Path) -> Iterator[Path]:
    """Context with a draft of the target that is marked as this process's."""
    draft = target.with_name(f".{target.name}.{time.time_ns():020}-{secrets.token_hex(4)}")
    draft.mkdir()
    beat = None
    try:
        beat = Heartbeat(draft)
        yield draft
    except _Stopped:
        raise  # SLURM may not wait for the removal: the next job on the node does it
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    else:
        shutil.rmtree(draft, ignore_errors=True)
    finally:
        if beat is not None:
            beat.stop()


def _name(copy: Path, target: Path) -> None:
    """Rename the copy to its final name, unless another process was faster."""
    with contextlib.suppress(OSError):
        copy.rename(target)
    if not target.exists():
        raise OSError("the finished copy could not be renamed")


def _oldest(own: Path, target: Path) -> Path:
    """The oldest draft of `target` whose process runs; `own` if there is no other."""
    drafts = sorted(target.parent.glob(f".{target.name}.*"))
    return next(path for path in drafts if path == own or holder(path) is not None)


def _tidy(place: Path, stopping: Asked) -> None:
    """Remove this user's drafts of dead processes, and the files of jobs that ended long ago."""
    for draft in place.glob(f".{NAME}*"):
        if holder(draft) is None:
            _remove(draft, stopping)
    for word in place.glob(f"{WORD}*"):
        with contextlib.suppress(OSError):  # removed by another job, or another user's
            if time.time() - word.stat().st_mtime > KEPT_S:
                word.unlink()


def _remove(folder: Path, stopping: Asked) -> None:
    """Remove the folder, as far as permissions allow."""
    for at, folders, files in os.walk(folder, topdown=False):
        if stopping():
            raise _Stopped
        for name in files:
            with contextlib.suppress(OSError):
                (Path(at) / name).unlink()
        for name in folders:
            with contextlib.suppress(OSError):
                (Path(at) / name).rmdir()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _digest(root: AnyRoot, asked: Listing) -> tuple[str, str]:
    """Digest of the paths, sizes and times of everything that is copied; and of paths and sizes."""
    dated, whole = hashlib.sha256(str(root).encode()), hashlib.sha256()
    for folder, files in asked(root):
        dated.update(json.dumps([folder, files]).encode())
        whole.update(json.dumps([folder, [each[:2] for each in files]]).encode())
    return dated.hexdigest()[:12], whole.hexdigest()


def _fill(
    draft: Path, root: AnyRoot, wanted: list[str], pool: ThreadPoolExecutor, stopping: Asked
) -> None:
    """Copy all wanted files into the draft, only a few at the same time."""
    over = threading.Event()
    waiting: deque[Future[None]] = deque()
    try:
        for folder, files in _walk(root, wanted, pool, stopping):
            (draft / folder).mkdir(parents=True, exist_ok=True)
            for name, _, _ in files:
                path = Path(folder, name)
                waiting.append(pool.submit(_copy, root / path, draft / path, over))
                if len(waiting) > 4 * THREADS:
                    _result(waiting.popleft(), stopping)
        for copy in waiting:
            _result(copy, stopping)
    except BaseException:
        over.set()
        raise


def _copy(source: Path, target: Path, over: threading.Event) -> None:
    with source.open("rb") as old, target.open("wb") as new:
        while not over.is_set() and (part := old.read(CHUNK)):
            new.write(part)
        size, copied = os.fstat(old.fileno()).st_size, new.tell()
    if not over.is_set() and size != copied:
        raise OSError(errno.ESTALE, "it changed while it was copied", str(source))


def _walk(
    root: AnyRoot, wanted: list[str], pool: ThreadPoolExecutor, stopping: Asked
) -> Iterator[tuple[str, Files]]:
    """All folders of the wanted paths, relative to the root, each with its own files."""
    level = []
    for path in wanted:
        if (root / path).is_dir():
            level.append(path)
        else:
            stat = (root / path).stat()
            top, name = os.path.split(path)
            yield top, [(name, stat.st_size, stat.st_mtime_ns)]
    while level:
        below = []
        scans = [(path, pool.submit(_scan, root / path)) for path in level]
        for path, scan in scans:
            folders, files = _result(scan, stopping)
            below += [f"{path}/{name}" for name in folders]
            yield path, files
        level = below


def _scan(folder: Path) -> tuple[list[str], Files]:
    """Names of the sub-folders, and the regular files: copying a pipe would never end, nor would
    following a link to a parent folder."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if not entry.is_symlink() or not _above(Path(entry.path), folder):
                    folders.append(entry.name)
            elif entry.is_symlink() and not Path(entry.path).exists():
                continue  # the reader of the images ignores it too
            elif S_ISREG((stat := entry.stat()).st_mode):
                files.append((entry.name, stat.st_size, stat.st_mtime_ns))
    return sorted(folders), sorted(files)


def _above(link: Path, folder: Path) -> bool:
    return folder.resolve().is_relative_to(link.resolve())


def _result(future: Future[T], stopping: Asked) -> T:
    while True:
        if stopping():
            raise _Stopped
        if futures.wait([future], POLL_S).done:
            return future.result()


def _rest(stopping: Asked) -> None:
    if stopping():
        raise _Stopped
    time.sleep(POLL_S)
