"""Other Python processes of this program. They import it from where this one did, and nothing from
the working folder, where a user's file may have the name of a library's (queue.py, torch.py)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import harness

_INSTALLED = ("site-packages", "dist-packages")


def command(module: str, *words: str) -> list[str]:
    """`python -m module words`, to be called with the variables of `environment`."""
    return [sys.executable, "-m", module, *words]


def environment(code: Path | None = None) -> dict[str, str]:
    """This process's variables, as such a process and those that it starts need them.

    Args:
        code: the folder to import the harness from; None: where this process has it from.
    """
    own = [str(code)] if code is not None else []
    root = Path(harness.__file__).resolve().parent.parent
    if code is None and root.name not in _INSTALLED:  # those would come before Python's own library
        own = [str(root)]
    said = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # an empty word is the working folder, and others may lead there
    here = os.path.realpath(os.curdir)
    kept = [path for path in said if path and os.path.realpath(path) != here]
    paths = dict.fromkeys([*own, *(str(Path(path).absolute()) for path in kept)])
    made = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}
    if not paths:
        del made["PYTHONPATH"]
    return made


def leave_working_folder() -> None:
    """Import nothing more from the working folder, which `python -m` has put first on the path,
    unless this program itself lies there."""
    here = os.path.realpath(os.curdir)
    root = Path(harness.__file__).resolve().parent.parent
    if str(root) != here:
        sys.path[:] = [path for path in sys.path if os.path.realpath(path) != here]
