"""A copy of the source, whole or with a flaw, that processes of its own run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import harness
from harness.store.provenance import SNAPSHOT, code

from .planted import Mutant

ROOT = Path(harness.__file__).parent.parent
PARTS = ("harness", "tests", "recipes", "ablations", "pyproject.toml")


def copy(place: Path, mutant: Mutant | None) -> Path:
    """The source tree under `place`, with the mutant in it if there is one; what runs there records
    the commit that it was copied from."""
    for part in PARTS:
        source, target = ROOT / part, place / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    if mutant is not None:
        path = place / mutant.path
        path.write_text(mutant.of(path.read_text()))
    found, diff = code()
    noted = {"code": found | ({"dirty": True} if mutant else {}), "diff": diff}
    (place / SNAPSHOT).write_text(json.dumps(noted))
    return place


def commit() -> str:
    """Of this checkout: twelve digits, and what speaks against reading them as all."""
    found, _ = code()
    dirty = " with uncommitted changes" if found["dirty"] else ""
    return f"{str(found['commit'] or 'unknown')[:12]}{dirty}"


def python(
    tree: Path, words: Sequence[str], settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m words` with the tree's modules, in the tree; `settings`: of its environment."""
    environment = {
        **os.environ,
        **(settings or {}),
        "PYTHONPATH": str(tree),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "WANDB_MODE": "disabled",
    }
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
