"""The doctor's probe of the machine that will compute; its answer is a JSON file.

    python -m harness.doctor.probe FOLDER

If the folder holds a token.txt, its content is part of the answer: this shows a shared folder.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import harness
from harness.data_roots import parsed
from harness.store import atomic, operating_system
from harness.track import feed

CONNECT_S = 5.0


@dataclass(frozen=True)
class Probe:
    """The probe as a job; see `harness.launch.job_file`."""

    folder: str
    data: str

    def __call__(self) -> None:
        """Write FOLDER/answer.json; of several processes only the first one writes."""
        from harness.runtime.environment import resolve

        if resolve(os.environ).rank == 0:
            answer(Path(self.folder), parsed(self.data))


def answer(folder: Path, data: Sequence[Path]) -> None:
    """Examine this machine and write the answer."""
    token = folder / "token.txt"
    free = shutil.disk_usage(folder).free
    loaded = os.environ.get("LOADEDMODULES")
    found = {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "computes": python(),
        "modules": None if loaded is None else list(filter(None, loaded.split(":"))),
        "harness": str(Path(harness.__file__).parent),
        "token": token.read_text() if token.exists() else "",
        "free_gb": round(free / 1e9, 1),
        "data": all(root.is_dir() for root in data),
        "cores": operating_system.cores(),
        "cpu": platform.processor() or platform.machine(),
        "reached": {
            tracker.kind: _reaches(access.server)
            for tracker, access in feed.online()
            if access.server
        },
        **_torch(),
    }
    atomic.write_json(folder / "answer.json", found)


def python() -> dict[str, str]:
    """This process's Python, and the paths of the computing libraries; "" if one is missing."""
    found = {"Python": platform.python_version(), "its environment": sys.prefix}
    for name in ("torch", "torchvision", "numpy", "PIL"):
        spec = importlib.util.find_spec(name)
        found[name] = (spec.origin or "") if spec is not None else ""
    return found


def _torch() -> dict[str, Any]:
    found: dict[str, Any] = {"torch": "", "gpus": 0, "names": [], "nccl": False, "error": ""}
    try:
        import torch
        import torch.distributed as dist

        found["torch"] = torch.__version__
        found["nccl"] = dist.is_available() and dist.is_nccl_available()
        if torch.cuda.is_available():
            found["gpus"] = torch.cuda.device_count()
            every = range(torch.cuda.device_count())
            found["names"] = [torch.cuda.get_device_name(n) for n in every]
            for n in every:  # a listed device may not work
                torch.ones(1, device=f"cuda:{n}").add_(1).item()
    except Exception as error:
        found["error"] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return found


def _reaches(address: str) -> bool:
    try:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S):
            return True
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    answer(Path(sys.argv[1]), [Path()])
