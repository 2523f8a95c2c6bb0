"""Provenance: the code, packages, machine, data and command behind a number."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import harness
from harness.errors import HarnessError, StoreError, cannot_be_read, user_name
from harness.redact import redact
from harness.spec import registry
from harness.spec.declarations import OWN
from harness.store import atomic, operating_system

PACKAGES = (
    "moco-harness",
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "pydantic",
)
"""Packages that decide or affect results; launchers, trackers and tasks declare their own."""
SNAPSHOT = "snapshot.json"
"""File in a snapshot of the code, beside the package: the result of `code` at the copied
checkout."""
DIFF_LIMIT = 1_000_000
"""Bytes of uncommitted changes that are kept, without secrets; of larger ones only the hash."""


def capture(
    *, edition: str, device: str, threads: int, data: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """(record, uncommitted changes) of this process, taken at its start.

    Args:
        edition: of the task that is run.
        device: name of the computing device, e.g. "NVIDIA H100" or "cpu".
        threads: number of CPU threads for arithmetic.
        data: name and fingerprint of the data.
    """
    checkout, diff = _code_at_start()
    return {
        "edition": edition,
        "code": checkout,
        "packages": {name: version for name in packages() if (version := _version(name))},
        "python": platform.python_version(),
        "machine": {
            "host": socket.gethostname(),
            "system": platform.platform(),
            "cpu": operating_system.cpu(),
            "cores": operating_system.cores(),
            "threads": threads,
            "device": device,
        },
        "data": data,
        **invocation(),
        **{
            kind: {name: os.environ[name] for name in each.variables if name in os.environ}
            for kind, each in registry.launchers().items()
            if each.variables  # others may hold secrets and are not kept
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }, diff


def invocation() -> dict[str, Any]:
    """This process's command line, without secrets, and its working folder."""
    try:
        folder = os.getcwd()  # noqa: PTH109
    except OSError:  # it was deleted
        folder = ""
    return {
        "command": [Path(sys.argv[0]).name, *map(redact, sys.argv[1:])],
        "folder": folder,
    }


def packages() -> list[str]:
    """The names of the packages whose versions are recorded."""
    found = list(PACKAGES)
    found += [name for each in registry.launchers().values() for name in each.libraries]
    theirs = [each for each in registry.tasks().values() if not each.function.startswith(OWN)]
    extra = [each for each in registry.tasks().values() if each.extra]
    found += [name for each in (*extra, *theirs) for name in each.libraries]
    found += [own.name for own in registry.packages().values() if own is not None]
    # a badly installed tracker is reported elsewhere and must not stop a run
    with contextlib.suppress(HarnessError):
        found += [name for each in registry.trackers().values() for name in each.libraries]
    return list(dict.fromkeys(found))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*words: str) -> tuple[str | None, str]:
    """(git's output for the checkout that the harness runs from, None if there is none; why)."""
    # GIT_DIR and the like, set in git hooks, may name another checkout.
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(_ours()), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=20, check=False, env={**own, "LC_ALL": "C"}
        )
    except FileNotFoundError:
        return None, "git is not installed"
    except OSError as error:
        return None, f"git cannot be started: {error.strerror}"
    except subprocess.TimeoutExpired:
        return None, "git did not answer within 20 s"
    if done.returncode:
        return None, _why(done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="replace"), ""


def _ours() -> Path:
    return Path(harness.__file__).parent.parent


def _why(said: str) -> str:
    """Why git gives no answer, and what to do where something helps."""
    ours = _ours()
    if "dubious ownership" in said:
        whose = ""
        with contextlib.suppress(OSError):
            whose = f", which belongs to {user_name(ours.stat().st_uid)}"
        trust = shlex.join(["git", "config", "--global", "--add", "safe.directory", str(ours)])
        return f"git does not trust {ours}{whose}; if you do: {trust}"
    try:
        (ours / ".git").lstat()
        if (ours / ".git").is_dir():
            os.listdir(ours / ".git")  # noqa: PTH208
        else:
            (ours / ".git").read_bytes()
    except FileNotFoundError:
        return f"{ours} is not a git checkout"
    except OSError as error:
        return cannot_be_read(error, ours / ".git")
    last = said.strip().splitlines()[-1:] or ["no reason given"]
    return f"git says of {ours}: {redact(last[0][:300])}"


def why_no_commit() -> str:
    """Why the commit of the running code is unknown; "" if it is known."""
    found, _ = code()
    return "" if found["commit"] else str(found.get("why") or "")


def is_checkout() -> bool:
    """Whether the running code is in a git checkout, even one that git cannot read."""
    return os.path.lexists(_ours() / ".git")


@functools.cache
def _code_at_start() -> tuple[dict[str, Any], str]:
    """`code` at the first call: a later stage runs the modules that are loaded, not the files that
    were changed since."""
    return code()


def changes(recorded: Mapping[str, Any]) -> str:
    """Words about uncommitted changes to follow the commit in a record of `code`; "" if there were
    none, or no commit is known."""
    unknown = recorded.get("commit") and recorded.get("dirty", False) is None
    said = "perhaps with uncommitted changes" if unknown else "with uncommitted changes"
    return said if unknown or recorded.get("dirty") else ""


def code() -> tuple[dict[str, Any], str]:
    """(commit and state, uncommitted changes) of the checkout that the harness runs from, or of the
    one that its snapshot was copied from. "why" gives the reason if the commit is not known, or if
    it is not known whether there are changes: "dirty" is None then."""
    ours = _ours()
    with contextlib.suppress(StoreError, TypeError):
        if (noted := atomic.read_json(ours / SNAPSHOT)) is not None:
            return dict(noted["code"]), str(noted["diff"])
    top, why = _git("rev-parse", "--show-toplevel")
    if top is not None and Path(top.strip()).resolve() != ours.resolve():
        why = f"{ours} is not a git checkout, though it is inside {top.strip()}"
    if top is None or why:
        return {"commit": None, "dirty": None, "why": why}, ""
    commit, why = _git("rev-parse", "--verify", "HEAD")
    diff, no_diff = _git("diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD")
    names, no_names = _git("ls-files", "-z", "--others", "--exclude-standard")
    known = diff is not None and names is not None
    diff = diff or ""
    # the harness's own first: gc keeps a snapshot that has the only copy of one
    untracked = sorted((names or "").split("\0")[:-1], key=lambda n: not n.startswith("harness/"))
    found = {
        "commit": (commit or "").strip() or None,
        "dirty": bool(diff or untracked) if known else None,
        "diff": hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else None,
        "untracked": untracked[:50],
    }
    if why := why or no_diff or no_names:
        found["why"] = why
    return found, redact(diff) if len(diff) <= DIFF_LIMIT else ""
