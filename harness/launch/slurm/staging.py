"""Bring a recipe's data to a node's own disk before a stage, once for all who share the node.

FOLDER/moco-harness-data-<digest>/          a whole copy
FOLDER/.moco-harness-data-<digest>.<when>/  a draft: data/, and alive.json of whoever copies
FOLDER/.moco-harness-job-<digest>           which copy a life of a job reads
"""

from __future__ import annotations

import contextlib
import hashlib
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
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar

from harness.errors import DataError, StoreError
from harness.launch.slurm.own import own_job
from harness.store import atomic
from harness.store.liveness import Heartbeat, holder

THREADS = 16
"""Files that are looked at or copied at the same time: a shared file system is slow by its latency.
"""
WAIT_S = 4 * 3600.0
"""Seconds that a process waits for the one of its node that copies."""
POLL_S = 0.2
CHUNK = 4 << 20
"""Bytes after which a copy of a large file asks whether to go on."""
KEPT_S = 24 * 3600.0
"""Seconds for which a job's word of its copy is kept."""
NAME = "moco-harness-data-"
WORD = ".moco-harness-job-"

_FOLDERS = {
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "stl10": "stl10_binary",
}
"""Where torchvision keeps them under the data root."""

T = TypeVar("T")
Asked = Callable[[], bool]
Files = list[tuple[str, int, int]]
"""Name, size in bytes and time of change in ns of each file of a folder, sorted."""


class _Stopped(Exception):
    """The process was asked to stop."""


def needed(recipe: Mapping[str, Any]) -> list[str]:
    """What the recipe (as stage.json has it) reads, as paths relative to the data root."""
    data = recipe["data"]
    folder = data["folder"] if data["name"] == "imagefolder" else _FOLDERS.get(data["name"])
    weights = (recipe["model"].get("weights") or {}).get("file")
    return [path for path in (folder, weights) if path]


def stage(
    recipe: Mapping[str, Any], root: Path, local: str, *, first: bool, stopping: Asked
) -> Path | None:
    """The data root to read from: a copy under `local`, or `root` if the recipe's data is not there
    to be copied (it is drawn, or will be downloaded). None: the process was asked to stop.

    The copy gets its name, made of the source's paths, sizes and times, only when it is whole: a
    later job on the node finds it, and a changed source gets another copy. Jobs that begin at the
    same time wait for one of them. What a copier that was killed has left is removed.

    Args:
        local: a folder of the node's own disk; variables and ~ are expanded.
        first: this process copies; the others of its job wait for it.
        stopping: asked all the while.

    Raises:
        DataError: a variable is not set, the disk is full, or the first process does not finish.
    """
    wanted = [path for path in needed(recipe) if (root / path).exists()]
    if not wanted:
        return root
    place = Path(os.path.expandvars(local)).expanduser()
    if "$" in str(place) or not place.is_absolute():
        raise DataError(
            f"slurm.stage_data: {local} is {place} on this node; name a folder by its whole path, "
            "with variables that SLURM or slurm.setup sets"
        )
    said = json.dumps([own_job(os.environ), str(root), wanted])
    word = place / (WORD + hashlib.sha256(said.encode()).hexdigest()[:12])
    try:
        if not first:
            return _told(word, stopping)
        target = _copied(root, wanted, place, stopping)
        atomic.write_json(word, {"target": target.name})
    except _Stopped:
        return None
    except (OSError, StoreError) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        about = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
        raise DataError(
            f"{place}: the data could not be copied there ({said}{about}); make room, name another "
            "folder, or leave out slurm.stage_data"
        ) from error
    return target


def _told(word: Path, stopping: Asked) -> Path:
    """The copy that the first process of this job says is whole."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        said = atomic.read_json(word)
        if isinstance(said, dict) and (target := word.parent / str(said.get("target"))).is_dir():
            return target
        _rest(stopping)
    raise DataError(f"{word.parent}: the process that copies the data has not finished")


def _copied(root: Path, wanted: list[str], place: Path, stopping: Asked) -> Path:
    """The whole copy, found or made."""
    place.mkdir(parents=True, exist_ok=True)
    _tidy(place, stopping)
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            target = place / (NAME + _digest(root, wanted, pool, stopping))
            while not target.exists():
                with _drafting(target) as draft:
                    older = _oldest(draft, target)
                    # Who was older and is done has named the copy before its draft went away.
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


@contextlib.contextmanager
def _drafting(target: Path) -> Iterator[Path]:
    """A draft of the target that is seen to be this process's while the block lasts."""
    draft = target.with_name(f".{target.name}.{time.time_ns():020}-{secrets.token_hex(4)}")
    draft.mkdir()
    beat = None
    try:
        beat = Heartbeat(draft)
        yield draft
    except _Stopped:
        raise  # to remove it might take longer than SLURM waits: the next job on the node does
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    else:
        shutil.rmtree(draft, ignore_errors=True)
    finally:
        if beat is not None:
            beat.stop()


def _name(copy: Path, target: Path) -> None:
    """Give the copy its name, unless another copier was quicker."""
    with contextlib.suppress(OSError):
        copy.rename(target)
    if not target.exists():
        raise OSError("the copy could not be given its name")


def _oldest(own: Path, target: Path) -> Path:
    """The first of the drafts of `target` on which somebody works: `own`, if there is no other."""
    drafts = sorted(target.parent.glob(f".{target.name}.*"))
    return next(path for path in drafts if path == own or holder(path) is not None)


def _tidy(place: Path, stopping: Asked) -> None:
    """Remove the drafts whose makers are dead, and the words of jobs that are long over."""
    for draft in place.glob(f".{NAME}*"):
        if holder(draft) is None:
            _remove(draft, stopping)
    for word in place.glob(f"{WORD}*"):
        with contextlib.suppress(OSError):  # another job's, just now; or another user's
            if time.time() - word.stat().st_mtime > KEPT_S:
                word.unlink()


def _remove(folder: Path, stopping: Asked) -> None:
    """Remove the folder as far as that is allowed."""
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


def _digest(root: Path, wanted: list[str], pool: ThreadPoolExecutor, stopping: Asked) -> str:
    """Of all that is copied: paths, sizes and times."""
    total = hashlib.sha256(str(root).encode())
    for folder, files in _walk(root, wanted, pool, stopping):
        total.update(json.dumps([folder, files]).encode())
    return total.hexdigest()[:12]


def _fill(
    draft: Path, root: Path, wanted: list[str], pool: ThreadPoolExecutor, stopping: Asked
) -> None:
    """Copy all that is wanted into the draft; few files are under way at a time."""
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


def _walk(
    root: Path, wanted: list[str], pool: ThreadPoolExecutor, stopping: Asked
) -> Iterator[tuple[str, Files]]:
    """All folders of what is wanted, relative to the root, each with its own files."""
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
    """Names of the folder's folders, and its regular files: a copy of a pipe would never end, nor
    would one along a link to a folder above."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if not entry.is_symlink() or not _above(Path(entry.path), folder):
                    folders.append(entry.name)
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
