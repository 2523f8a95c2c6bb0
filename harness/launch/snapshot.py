"""The code that runs is the code that was submitted: a copy of the package in the run root.

    RUNS/.code/<digest>/harness/...      what jobs import
                        snapshot.json    the commit that it is of, and what was not committed

Recipes are copied too, for the report that comes after the runs:

    RUNS/submissions/<id>/recipes/<the files' own paths>
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
from harness.errors import HarnessError, StoreError
from harness.plan import Plan
from harness.recipe import printed
from harness.recipe.expand import find_ablation
from harness.recipe.yaml_source import read
from harness.store import atomic, provenance
from harness.store.layout import refuse_link


def place(runs: Path) -> Path:
    """Where the snapshot of the code in use lies, or would."""
    return _place(runs, provenance.code()[0], _digest(Path(harness.__file__).parent))


def take(runs: Path, *, clean: bool) -> Path:
    """The snapshot of the code in use; it is copied unless it is there.

    Args:
        clean: refuse a checkout with uncommitted changes.

    Raises:
        HarnessError: such a checkout.
        StoreError: it cannot be written, lies behind a link, or was changed since.
    """
    checkout, diff = provenance.code()
    if clean and checkout["dirty"] is not False:
        what = "has uncommitted changes" if checkout["dirty"] else "is not a git checkout"
        raise HarnessError(
            f"{Path(harness.__file__).parent.parent} {what}, and the site file says snapshot: "
            "refuse_dirty; commit, or say snapshot: copy"
        )
    source = Path(harness.__file__).parent
    digest = _digest(source)
    target = _place(runs, checkout, digest)
    refuse_link(target.parent)
    if not target.exists():
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            for file in _files(source):
                _copy(file, draft / "harness" / file.relative_to(source))
            atomic.write_json(draft / provenance.SNAPSHOT, {"code": checkout, "diff": diff})
            try:
                draft.rename(target)
            except OSError:
                if not target.exists():  # else another submitter was faster
                    raise
        except OSError as error:
            raise atomic.explain(error, target) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    if _digest(target / "harness") != digest:
        raise StoreError(f"{target}: changed since it was copied; move it away and run again")
    return target


def _place(runs: Path, checkout: dict[str, Any], digest: str) -> Path:
    told = hashlib.sha256(json.dumps([checkout, digest]).encode())
    return runs.absolute() / ".code" / told.hexdigest()[:12]


def _digest(package: Path) -> str:
    """Of a package's files, their names and contents."""
    total = hashlib.sha256()
    for file in _files(package):
        total.update(file.relative_to(package).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _files(package: Path) -> list[Path]:
    found = (p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return sorted(found)


def keep_recipe(plan: Plan, into: Path) -> Path:
    """Copy the plan's recipe with all that it refers to under `into`; returns the copy.

    Each file keeps its own path below `into`, so that what they say of one another holds.

    Raises:
        StoreError: they cannot be written.
    """
    try:
        for file in dict.fromkeys(_closure(plan.path)):
            _copy(file, _below(into, file))
        made = _below(into, plan.path)
        if plan.scale is not None:
            table = find_ablation(plan.scale.ablation, plan.path)
            kept = made.parent.parent / "ablations"
            for file in (table, table.with_name(printed.FILE)):
                if file.exists():
                    _copy(file, kept / file.name)
    except OSError as error:
        raise atomic.explain(error, into) from error
    return made


def _closure(path: Path) -> Iterator[Path]:
    """The recipe's file and those that it extends or changes; it was read before, so there is no
    circle."""
    yield path
    node = read(path)
    for field in ("extends", "recipe"):
        named = node.get(field)
        if named is not None and isinstance(named.value, str):
            yield from _closure(path.parent / named.value)


def _below(into: Path, file: Path) -> Path:
    # the folder as the file system has it: names are resolved from there
    folder = Path(os.path.realpath(file.parent))
    return into / folder.relative_to(folder.anchor) / file.name


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
