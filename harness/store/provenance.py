"""What a number needs beside it to be believed: code, packages, machine, data, command."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import socket
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import harness
from harness.errors import StoreError
from harness.redact import redact
from harness.store import atomic
from harness.store.edition import edition

PACKAGES = (
    "moco-harness",
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "pydantic",
    "submitit",
    "wandb",
)
SLURM = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT")
"""The only variables of the environment that are kept: no other could be secret-free for sure."""
SNAPSHOT = "snapshot.json"
"""In a snapshot of the code, beside the package: what `code` said where it was copied."""
DIFF_LIMIT = 1_000_000
"""Bytes of uncommitted changes that are kept, secrets aside; of more, only the hash."""


def capture(*, device: str, threads: int, data: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """(record, uncommitted changes) of this process, at its start.

    Args:
        device: name of the device that computes, e.g. "NVIDIA H100" or "cpu".
        threads: threads that arithmetic on the CPU uses.
        data: name and fingerprint of the data.
    """
    checkout, diff = code()
    return {
        "edition": edition(),
        "code": checkout,
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "machine": {
            "host": socket.gethostname(),
            "system": platform.platform(),
            "cpu": cpu(),
            "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
            "threads": threads,
            "device": device,
        },
        "data": data,
        **invocation(),
        "slurm": {name: os.environ[name] for name in SLURM if name in os.environ},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }, diff


def invocation() -> dict[str, Any]:
    """The command line that this process is, without secrets, and from where it was given."""
    try:
        folder = os.getcwd()  # noqa: PTH109
    except OSError:  # it was removed
        folder = ""
    return {
        "command": [Path(sys.argv[0]).name, *map(redact, sys.argv[1:])],
        "folder": folder,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    """What git says of the checkout that the harness runs from; None if it is not one."""
    root = Path(harness.__file__).parent.parent
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            timeout=20,
            check=True,
            # GIT_DIR and the like, set where git itself called us, name another checkout.
            env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def code() -> tuple[dict[str, Any], str]:
    """(commit and state, uncommitted changes) of the checkout that the harness runs from, or of
    the one that its snapshot was copied from."""
    ours = Path(harness.__file__).parent.parent
    with contextlib.suppress(StoreError, TypeError):
        if (noted := atomic.read_json(ours / SNAPSHOT)) is not None:
            return dict(noted["code"]), str(noted["diff"])
    top = _git("rev-parse", "--show-toplevel")
    if top is None or Path(top.strip()).resolve() != ours.resolve():
        return {"commit": None, "dirty": None}, ""
    diff = _git("diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD") or ""
    untracked = (_git("ls-files", "--others", "--exclude-standard") or "").split("\n")[:-1]
    found = {
        "commit": (_git("rev-parse", "HEAD") or "").strip() or None,
        "dirty": bool(diff or untracked),
        "diff": hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else None,
        "untracked": untracked[:50],
    }
    return found, redact(diff) if len(diff) <= DIFF_LIMIT else ""


def cpu() -> str:
    """The CPU's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
