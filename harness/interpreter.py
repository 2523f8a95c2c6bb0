"""Start other Python processes of this program. They import the harness from the same place as this
process, and nothing from the working folder, where a user's file may have a library's name
(queue.py, torch.py)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import harness

_INSTALLED = ("site-packages", "dist-packages")


def command(module: str, *words: str) -> list[str]:
    """`python -m module words`, to be started with the variables of `environment`."""
    return [sys.executable, "-m", module, *words]


def environment(code: Path | None = None) -> dict[str, str]:
    """This process's environment variables, changed for such a process and those that it starts.

    Args:
        code: the folder to import the harness from; None: the same as this process.
    """
    own = [str(code)] if code is not None else []
    root = Path(harness.__file__).resolve().parent.parent
    if code is None and root.name not in _INSTALLED:  # these would come before the standard library
        own = [str(root)]
    said = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # an empty entry is the working folder, and others may lead there
    here = os.path.realpath(os.curdir)
    kept = [path for path in said if path and os.path.realpath(path) != here]
    paths = dict.fromkeys([*own, *(str(Path(path).absolute()) for path in kept)])
    made = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}
    if not paths:
        del made["PYTHONPATH"]
    return made


def leave_working_folder() -> None:
    """Remove the working folder, which `python -m` puts first, from the import path, unless this
    program itself is there."""
    here = os.path.realpath(os.curdir)
    root = Path(harness.__file__).resolve().parent.parent
    if str(root) != here:
        sys.path[:] = [path for path in sys.path if os.path.realpath(path) != here]
