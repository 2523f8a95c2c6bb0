"""What a job does, in a file of JSON: the one thing that is pickled is `call` and the file's path.

    python -m harness.launch.job_file PATH     does it in this process

The file names a work of the table below, never a module: nothing of a run root is imported.
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
"""Name to what makes it of the file's other words; called without arguments it does the work."""


def write(path: Path, work: str, words: Mapping[str, Any]) -> Path:
    """Write what a job does; returns the path.

    Args:
        work: its name in WORKS.
        words: what it is made of; text, numbers, and lists of them.

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
        raise HarnessError(f"{path}: says of no job what it does; run again")
    words = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
    return load(WORKS[work])(**words)()


def _again(path: str) -> Any:
    """What submitit starts when the job was requeued: the same, which goes on."""
    from submitit.helpers import DelayedSubmission

    return DelayedSubmission(call, path)


call.checkpoint = _again  # type: ignore[attr-defined]  # submitit looks for it there


if __name__ == "__main__":
    call(sys.argv[1])
