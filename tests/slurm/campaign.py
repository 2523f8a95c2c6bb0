"""A user's folder on a cluster: recipes, a site file, and `moco-harness` as a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.tiny import TINY

from harness.store import submission
from harness.store.layout import StageFolder
from harness.store.submission import Submission

SCALE = """\
ablation: momentum
recipe: tiny.yaml
cells: [m0.9]
seeds: [0]
metric: knn/top1
margin: 1
set: {optim.epochs: 1}
"""


class Campaign:
    """A working folder with tiny.yaml, scale.yaml (one cell and its control) and site.yaml."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "tiny.yaml").write_text(TINY)
        (place / "scale.yaml").write_text(SCALE)
        self.site()

    def site(self, **said: object) -> None:
        """Write site.yaml: jobs of one process with one core, and what else is `said`."""
        asks = {"partition": "low", "cpus_per_process": 1, "at_once": 2, "signal_s": 60, **said}
        text = json.dumps({"device": "cpu", "slurm": asks})
        (self.place / "site.yaml").write_text(text)

    def begin(self, *words: object) -> subprocess.Popen[str]:
        """`moco-harness words --site site.yaml` as a process, which heeds Ctrl-C even where these
        tests run in the background."""
        program = ["env", "--default-signal=INT", sys.executable, "-m", "harness.cli"]
        command = [*program, *map(str, words), "--site", "site.yaml"]
        return subprocess.Popen(
            command,
            cwd=self.place,
            env={**os.environ, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def moco(self, *words: object) -> str:
        """What the command prints; it must succeed."""
        process = self.begin(*words)
        said, _ = process.communicate(timeout=900)
        assert process.returncode == 0, said
        return said

    def submissions(self) -> list[Submission]:
        return submission.everything(self.runs)

    @property
    def runs(self) -> Path:
        return self.place / "runs"

    def stage(self, kind: str, name: str = "tiny-s0") -> StageFolder:
        """The folder of the stage; it must have been created."""
        (found,) = self.runs.glob(f"{name}.{kind}-*")
        return StageFolder(found)

    def results(self) -> dict[str, Any]:
        """By stage id, without its digest, what each stage has come to; None so far."""
        found = {}
        for path in sorted(self.runs.glob("*-s*.*-*")):
            result = StageFolder(path).result
            found[path.name.rpartition("-")[0]] = result and result["state"]
        return found

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 600) -> None:
        """Wait for the condition; fail with the jobs' logs."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"not in {seconds:g} s: {what}\n{self.logs()}"
            time.sleep(0.2)

    def logs(self) -> str:
        """Of all jobs, each under its name."""
        paths = sorted(self.runs.glob("submissions/*/*_log.*"))
        return "\n".join(f"==> {path.name}\n{path.read_text()}" for path in paths)
