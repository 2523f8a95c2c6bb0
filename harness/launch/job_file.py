"""A job's work, described in a JSON file; only `call` and the file's path are pickled.

    python -m harness.launch.job_file PATH     does the work in this process

The file names an entry of the table below, never a module: nothing of a run root is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.spec.declarations import load
from harness.store import atomic

WORKS = {
    "stage": "harness.launch.slurm.job:StageJob",
    "report": "harness.launch.slurm.job:ReportJob",
    "plan": "harness.launch.local.job:LocalJob",
    "probe": "harness.doctor.probe:Probe",
    "trajectories": "harness.certify.trajectory:Trajectories",
}
"""Name -> class that takes the file's other values; its instance, when called, does the work."""


def write(path: Path, work: str, words: Mapping[str, Any]) -> Path:
    """Write a job's work to a file; returns the path.

    Args:
        work: its name in WORKS.
        words: its arguments: text, numbers, and lists of them.

    Raises:
        StoreError: the file cannot be written.
    """
    atomic.write_json(path, {"work": work, **words})
    return path


def call(path: str) -> Any:
    """Do the work that the file describes.

    Raises:
        HarnessError: there is no such file, or it is damaged.
    """
    found: Any = atomic.read_json(Path(path))
    work = found.pop("work", None) if isinstance(found, dict) else None
    if work not in WORKS:
        raise HarnessError(f"{path}: not a job description; run again")
    words = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
    return load(WORKS[work])(**words)()


def _again(path: str) -> Any:
    """What submitit starts after a requeue: the same call, which resumes."""
    from submitit.helpers import DelayedSubmission

    return DelayedSubmission(call, path)


call.checkpoint = _again  # type: ignore[attr-defined]  # submitit expects it here


if __name__ == "__main__":
    call(sys.argv[1])
