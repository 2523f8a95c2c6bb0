"""Bring a recipe's data to a node's own disk before a stage, once for all who share the node."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.errors import DataError

THREADS = 16
"""Files that are copied at the same time: a shared file system is slow by its latency."""
WAIT_S = 4 * 3600.0
"""Seconds that a process waits for the one of its node that copies."""

_FOLDERS = {
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "stl10": "stl10_binary",
}
"""Where torchvision keeps them under the data root."""


def needed(recipe: Mapping[str, Any]) -> list[str]:
    """What the recipe (as stage.json has it) reads, as paths relative to the data root."""
    data = recipe["data"]
    folder = data["folder"] if data["name"] == "imagefolder" else _FOLDERS.get(data["name"])
    weights = (recipe["model"].get("weights") or {}).get("file")
    return [path for path in (folder, weights) if path]


def stage(recipe: Mapping[str, Any], root: Path, local: str, *, first: bool) -> Path:
    """The data root to read from: a copy under `local`, or `root` if the recipe's data is not there
    to be copied (it is drawn, or will be downloaded).

    The copy gets its name, made of the source's paths and times, only when it is whole: a later job
    on the node finds it, and a changed source gets another copy.

    Args:
        local: a folder of the node's own disk; variables and ~ are expanded.
        first: this process copies; the others wait for it.

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
    target = place / f"moco-harness-data-{_name(root, wanted)}"
    if first:
        if not target.exists():
            _copy(root, wanted, target)
        return target
    until = time.monotonic() + WAIT_S
    while not target.exists():
        if time.monotonic() > until:
            raise DataError(f"{target}: the process that copies the data has not finished")
        time.sleep(0.2)
    return target


def _name(root: Path, wanted: list[str]) -> str:
    """A digest of what is copied: paths, sizes and times, two levels deep."""
    seen = []
    for path in wanted:
        top = root / path
        for found in (top, *(sorted(top.iterdir()) if top.is_dir() else ())):
            stat = found.stat()
            size = 0 if found.is_dir() else stat.st_size
            seen.append([str(found.relative_to(root)), size, stat.st_mtime_ns])
    return hashlib.sha256(json.dumps([str(root), seen]).encode()).hexdigest()[:12]


def _copy(root: Path, wanted: list[str], target: Path) -> None:
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    print(f"copying {', '.join(wanted)} from {root} to {target}", flush=True)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            copies = [
                pool.submit(shutil.copyfile, source, draft / source.relative_to(root))
                for path in wanted
                for source in _files(root, root / path, draft)
            ]
            try:
                for copied in copies:
                    copied.result()
            except OSError:
                pool.shutdown(cancel_futures=True)
                raise
        with contextlib.suppress(FileExistsError, OSError):
            draft.rename(target)
        if not target.exists():
            raise OSError("the copy could not be given its name")
    except OSError as error:
        raise DataError(
            f"{target}: the data could not be copied there ({error.strerror or error}); make room, "
            "name another folder, or leave out slurm.stage_data"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _files(root: Path, path: Path, draft: Path) -> Iterator[Path]:
    """The files of a file or folder; the folders are made in the draft on the way."""
    if path.is_file():
        (draft / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
        yield path
        return

    def give_up(error: OSError) -> None:
        raise error  # a folder that is passed over would leave a copy that is not whole

    for at, _, names in os.walk(path, followlinks=True, onerror=give_up):
        (draft / Path(at).relative_to(root)).mkdir(parents=True, exist_ok=True)
        yield from (Path(at) / name for name in names)
