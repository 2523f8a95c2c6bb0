"""Snapshots of the code in the run root: jobs run the code as it was when they were submitted.

    RUNS/.code/<digest>/harness/...      what jobs import
                        PACKAGE/...      installed packages that declare tasks, methods and more
                        *.dist-info/...  metadata by which these packages are found
                        snapshot.json    the commit, and the uncommitted changes

Recipes are copied too, for the report after the runs:

    RUNS/submissions/<id>/recipes/<the files' own paths>
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness
from harness.errors import HarnessError, StoreError
from harness.plan import Plan
from harness.recipe import printed
from harness.recipe.expand import find_ablation
from harness.recipe.find import shipped
from harness.recipe.references import closure
from harness.recipe.scale_file import scale_file
from harness.spec.registry import packages
from harness.store import atomic, provenance
from harness.store.layout import refuse_link


def place(runs: Path) -> Path:
    """Path of the snapshot of the code in use, whether or not it exists."""
    return _place(runs, provenance.code()[0], _digest(_in_use()))


def take(runs: Path, *, clean: bool) -> Path:
    """The snapshot of the code in use; it is copied unless it exists.

    Args:
        clean: refuse a checkout with uncommitted changes.

    Raises:
        HarnessError: the checkout has uncommitted changes.
        StoreError: it cannot be written, is behind a symbolic link, or was changed since.
    """
    checkout, diff = provenance.code()
    if clean and checkout["dirty"] is not False:
        what = "has uncommitted changes" if checkout["dirty"] else "is not a git checkout"
        if checkout["commit"] and checkout["dirty"] is None:
            what = f"may have uncommitted changes ({checkout['why']})"
        raise HarnessError(
            f"{Path(harness.__file__).parent.parent} {what}, and the site file has snapshot: "
            "refuse_dirty; commit, or set snapshot: copy"
        )
    files = _in_use()
    digest = _digest(files)
    target = _place(runs, checkout, digest)
    refuse_link(target.parent)
    with contextlib.suppress(OSError):  # `gc` keeps what was used today
        os.utime(target)
    if not target.exists():
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            for name, source in files.items():
                if isinstance(source, Path):
                    _copy(source, draft / name)
                else:
                    (draft / name).parent.mkdir(parents=True, exist_ok=True)
                    (draft / name).write_bytes(source)
            atomic.write_json(draft / provenance.SNAPSHOT, {"code": checkout, "diff": diff})
            try:
                draft.rename(target)
            except OSError:
                if not target.exists():  # else another submitter was faster
                    raise
        except OSError as error:
            raise atomic.write_error(error, target) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    there = _files(target, "")
    there.pop(provenance.SNAPSHOT, None)
    if _digest(there) != digest:
        raise StoreError(f"{target}: changed since it was copied; move it away and run again")
    return target


def _place(runs: Path, checkout: dict[str, Any], digest: str) -> Path:
    told = hashlib.sha256(json.dumps([checkout, digest]).encode())
    return runs.absolute() / ".code" / told.hexdigest()[:12]


def _in_use() -> dict[str, Path | bytes]:
    """Every file of a snapshot by its name there: its present path, or its content."""
    found: dict[str, Path | bytes] = {**_files(Path(harness.__file__).parent, "harness/")}
    for name in ("recipes", "ablations"):  # links in a checkout
        found |= _files(shipped(name), f"harness/_shipped/{name}/")
    for package, distribution in packages().items():
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            found |= _files(Path(folder), f"{package}/")
        if spec is not None and spec.origin and not spec.submodule_search_locations:
            found[Path(spec.origin).name] = Path(spec.origin)
        if distribution is not None:
            info = f"{distribution.name}-{distribution.version}.dist-info"
            for name in ("METADATA", "entry_points.txt"):
                found[f"{info}/{name}"] = (distribution.read_text(name) or "").encode()
    return found


def _digest(files: Mapping[str, Path | bytes]) -> str:
    """Digest of the files' names and contents."""
    total = hashlib.sha256()
    for name, source in sorted(files.items()):
        content = source.read_bytes() if isinstance(source, Path) else source
        total.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()


def _files(folder: Path, prefix: str) -> dict[str, Path]:
    """The files below a folder, with `prefix` before their names."""
    found = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {prefix + path.relative_to(folder).as_posix(): path for path in found}


def keep_recipe(plan: Plan, into: Path) -> Path:
    """Copy the plan's recipe and all files that it refers to under `into`; returns the copy's path.

    Each file keeps its own path below `into`, so that references between the files stay valid.

    Raises:
        StoreError: they cannot be written.
    """
    try:
        for file in dict.fromkeys(closure(plan.path)):
            _copy(file, _below(into, file))
        made = _below(into, plan.path)
        if plan.scale is not None:
            said = scale_file(plan.path)
            if said.ablation is None:
                table = find_ablation(plan.scale.ablation, said.paths)
                kept = made.parent.parent / "ablations"
                for file in (table, table.with_name(printed.FILE)):
                    if file.exists():
                        _copy(file, kept / file.name)
    except OSError as error:
        raise atomic.write_error(error, into) from error
    return made


def _below(into: Path, file: Path) -> Path:
    # the real folder: references are resolved from there
    folder = Path(os.path.realpath(file.parent))
    return into / folder.relative_to(folder.anchor) / file.name


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
