"""Keeps the daemons of one test cluster, and ends them however its own parent ends.

A program: `python keeper.py FOLDER`. Each line of its standard input is a JSON object
{"argv", "env", "log"} of a daemon to start; the answer is a line with the process's id. At the end
of the input, which a parent's kill -9 brings about too, it kills all that came from these daemons,
removes the folder and ends. Orphans of the daemons (SLURM's step daemons leave their parent) become
its children, not those of process 1, so that none gets away.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def children() -> dict[int, list[int]]:
    """The living processes by their parent's id."""
    found: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, *_ = stat.read_text().rpartition(")")[2].split()
            if state not in "ZX":
                found.setdefault(int(parent), []).append(int(stat.parent.name))
    return found


def descendants(root: int) -> list[int]:
    """The living processes that come from `root`, itself left out."""
    tree = children()
    found, todo = [], [root]
    while todo:
        below = tree.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _reap(*_: object) -> None:
    """At once, so that an ended process is gone from /proc also where process 1 reaps late."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _start(argv: list[str], env: dict[str, str], log: str, cwd: str) -> int:
    with Path(log).open("ab") as out:
        return subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ).pid


def main(folder: str) -> None:
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit("no subreaper here")
    signal.signal(signal.SIGCHLD, _reap)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        for line in sys.stdin:
            print(_start(**json.loads(line), cwd=folder), flush=True)
    finally:
        while left := descendants(os.getpid()):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
            _reap()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
