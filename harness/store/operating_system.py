"""What the operating system says about this machine and its processes. The one place that reads
/proc."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import pwd
import re
import sys
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")

DEAD = "dead"
"""Start time of a process that has ended."""


def start_time(pid: int) -> str:
    """The process's start time in ticks, so that a reused PID is recognised; DEAD if it has ended,
    "" if the system does not say (no /proc, or other users' processes are hidden)."""
    try:
        stat = _stat(pid)
    except OSError:
        return "" if _exists(pid) else DEAD
    return DEAD if stat[0] in "ZX" else stat[19]


def is_stopped(pid: int) -> bool:
    """Whether the process is stopped (SIGSTOP, or by a debugger); false if it is not known."""
    with contextlib.suppress(OSError):
        return _stat(pid)[0] in "Tt"
    return False


def _stat(pid: int) -> list[str]:
    """The process's state, and what follows it in /proc/PID/stat."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _exists(pid: int) -> bool:
    """Whether a process with this number exists, ours or another user's."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def command_line(pid: int) -> bytes:
    """The process's arguments, each followed by a zero byte; b"" if it has ended or is hidden."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def owner(pid: int) -> int | None:
    """The user number of the process's owner; None if it is not known."""
    try:
        return (PROC / str(pid)).stat().st_uid
    except OSError:
        return None


def login_name(uid: int) -> str:
    """The name of the user with this number; the number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def boot() -> str:
    """Identifies this boot of this machine and the PID namespace (perhaps a container's); "" if the
    system does not say."""
    with contextlib.suppress(OSError):
        number = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{number} {(PROC / 'self/ns/pid').readlink()}"
    return ""


def cores() -> int:
    """Number of cores that this process may use: by its affinity, and by the CPU time that its
    control group, e.g. a container's, may have."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min(allowed, _quota())))


def _quota() -> float:
    """The CPU seconds per second that this process's control groups allow; inf without a limit."""
    least = math.inf
    for line in _lines(PROC / "self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if not controllers:  # version 2
            top, names = CGROUPS, ["cpu.max"]
        elif "cpu" in controllers.split(","):
            top, names = CGROUPS / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        inner = Path(group.lstrip("/")).parts
        for depth in range(len(inner) + 1):
            folder = top.joinpath(*inner[:depth])
            words = " ".join(text for name in names for text in _lines(folder / name)).split()
            with contextlib.suppress(ValueError, ZeroDivisionError):  # no such file, or "max"
                quota, period = map(int, words)
                least = min(least, quota / period if quota > 0 else math.inf)
    return least


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def cpu() -> str:
    """The CPU's name."""
    with contextlib.suppress(OSError):
        for line in (PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpus() -> list[str]:
    """Names of the GPUs that NVIDIA's driver lists, as torch names them; [] without the driver."""
    try:
        folders = sorted((PROC / "driver/nvidia/gpus").iterdir())
        texts = [(folder / "information").read_text() for folder in folders]
    except OSError:
        return []
    return [found[1] for text in texts if (found := re.search(r"Model:\s*(\S.*\S)", text))]
