"""A real run, and attempts of it that are ended from outside.

An attempt is what a launcher starts: one process, or two that share the stage through gloo, each
running `harness.launch.rank`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
from stage.tiny import same

from harness.launch.missing_looks import keep_missing
from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.runtime import checkpoint
from harness.site import Site
from harness.stage.reporter import Silent
from harness.store import journal
from harness.store.layout import StageFolder, stage_folder

RECIPE = """\
name: tiny
data: {name: embedded, images: 96, size: 16}
augment: {crop_scale: [0.2, 1.0]}
model: {backbone: miniature, dim: 16, bn_group: 8}
contrast: {kind: moco, queue: 48, momentum: 0.9, temperature: 0.2}
optim: {epochs: 12, batch: 16, lr: 0.05, schedule: {kind: cosine}}
knn: {k: [5], temperature: 0.1, queries: 50}
linear: null
watch: {log_steps: 2, knn_epochs: 4, checkpoint_steps: 4, control: false}
"""


def shared(processes: int) -> str:
    """The recipe for so many processes, up to 8, and half as long."""
    text = RECIPE.replace("bn_group: 8", "bn_group: 2").replace("epochs: 12", "epochs: 6")
    return text.replace("batch: 16", "batch: 24") if processes == 3 else text


PATIENCE_S = 900.0
"""Seconds in which a process must have ended that nothing keeps."""
KILL_WAIT_S = 30.0
"""From SIGTERM to SIGKILL; SLURM's default. gloo connects in one call, which hears no SIGTERM."""
ENDS = (0, 1, 2, 3, 4, 5, 130)
"""Exit codes of a process that knew what it did: no signal, no crash of the interpreter."""

_NOT_THE_SAME = ("t", "train/images_per_s")
"""What of a record is of the clock."""


def _work(folder: Path, data: Path, before: Callable[[], None] | None) -> None:
    """What each process does."""
    if before is not None:
        before()
    from harness.launch import rank

    sys.argv = ["worker", str(folder), "--data", str(data), "--device", "cpu"]
    sys.exit(rank.main())


class RunningAttempt:
    """One attempt's processes; start it, do it harm, `end` it."""

    def __init__(
        self,
        folder: StageFolder,
        *,
        processes: int = 1,
        data: Path = Path("/nonexistent"),
        before: Callable[[], None] | None = None,
        said: Path | None = None,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._said = said or folder.path.parent / "said.txt"
        self._from = self._said.stat().st_size if self._said.exists() else 0
        self._folder, self._before = folder, len(folder.attempts())
        self._processes = []
        for rank in range(processes):
            env = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
            if processes > 1:
                env |= {
                    "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes),
                    "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                }  # fmt: skip
            process = forked.start(_work, folder.path, data, before, said=self._said, env=env)
            self._processes.append(process)

    @property
    def alive(self) -> bool:
        return any(process.is_alive() for process in self._processes)

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait for the condition; False if the attempt ended before, or had no patience left."""
        limit = time.monotonic() + PATIENCE_S
        while not condition():
            if not self.alive or time.monotonic() > limit:
                return condition()
            time.sleep(0.002)
        return True

    def kill(self, rank: int | None = None) -> bool:
        """SIGKILL all processes, or one; whether there was one to kill."""
        chosen = self._processes if rank is None else [self._processes[rank]]
        there = [process for process in chosen if process.is_alive() and process.pid is not None]
        for process in there:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        return bool(there)

    def end(self) -> list[int | None]:
        """Wait for the processes; their exit codes, None for one that hung and had to be killed.

        One that died before all were connected would be waited for as long as a slow node is: the
        others are ended as SLURM ends them (srun --kill-on-bad-exit, then KillWait).
        """
        codes: list[int | None] = []
        if self.until(lambda: self._began or self._lost_one) and not self._began:
            self._launcher_ends_them()
        for process in self._processes:
            process.join(PATIENCE_S)
            hung = process.is_alive()
            if hung:
                process.kill()
                process.join()
            codes.append(None if hung else process.exitcode)
        return codes

    @property
    def _began(self) -> bool:
        """All have met, and one has made the attempt's folder."""
        return len(self._folder.attempts()) > self._before

    @property
    def _lost_one(self) -> bool:
        return any(process.exitcode == -signal.SIGKILL for process in self._processes)

    def _launcher_ends_them(self) -> None:
        for process in self._processes:
            process.terminate()
        until = time.monotonic() + KILL_WAIT_S
        for process in self._processes:
            process.join(max(0, until - time.monotonic()))
            process.kill()

    @property
    def said(self) -> str:
        """What this attempt printed."""
        return self._said.read_bytes()[self._from :].decode(errors="replace")

    def tells(self, words: str) -> bool:
        """Whether it printed the words, wherever its lines were broken."""
        return "".join(words.split()) in "".join(self.said.split())


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: what every disturbed one must end as."""

    state: dict[str, Any]
    values: dict[str, Any]
    records: list[journal.Record]
    seconds: float
    """From the start to the end."""
    startup: float
    """From the start to the first line of the journal."""


def make(place: Path, text: str = RECIPE) -> StageFolder:
    """A run root with the recipe's pre-training in it, not begun."""
    place.mkdir(parents=True)
    recipe = place / "tiny.yaml"
    recipe.write_text(text)
    stage = make_plan(recipe, (), place / "runs").stages[0]
    folder = stage_folder(place / "runs", stage.id)
    folder.create(describe(stage, "tiny"))
    return folder


def undisturbed(place: Path, **how: Any) -> Reference:
    """Run the recipe as it is."""
    text = how.pop("text", RECIPE)
    folder = make(place, text)
    began = time.monotonic()
    attempt = RunningAttempt(folder, **how)
    first = folder.path / "attempts/0001/metrics.jsonl"
    assert attempt.until(lambda: first.exists() and first.stat().st_size > 0), attempt.said
    startup = time.monotonic() - began
    assert set(attempt.end()) == {0}, attempt.said
    result = folder.result
    assert result is not None
    return Reference(
        _state(folder), result["values"], _records(folder), time.monotonic() - began, startup
    )


@dataclass(frozen=True)
class Judged:
    """How a disturbed run ended."""

    identical: bool
    lost: int
    """Records of the undisturbed journal that it lacks, or has twice or with other figures."""


def make_looks(folder: StageFolder) -> None:
    """What `run` does for a finished stage whose process was killed before it had kept its look."""
    runs, recipe = folder.path.parent, folder.path.parents[1] / "tiny.yaml"
    site = Site(Path("/nonexistent"), runs, "cpu", 1, 0.0)
    keep_missing(make_plan(recipe, (), runs), site, Silent(), lambda: False)


def judge(folder: StageFolder, reference: Reference) -> Judged:
    """Hold a finished run against the undisturbed one."""
    result = folder.result
    assert result is not None
    equal = result["values"] == reference.values and result["state"] == "finished"
    equal = equal and same(_state(folder), reference.state)
    left = [repr(record) for record in _records(folder)]
    lost = 0
    for record in map(repr, reference.records):
        if record in left:
            left.remove(record)
        else:
            lost += 1
    drafts = list(folder.path.rglob("*.tmp"))
    return Judged(equal and not drafts, lost + len(left))


def _state(folder: StageFolder) -> dict[str, Any]:
    found = checkpoint.newest(folder.checkpoints, lambda _: None)
    assert found is not None
    return found[1]


def _records(folder: StageFolder) -> list[journal.Record]:
    return [
        {name: value for name, value in record.items() if name not in _NOT_THE_SAME}
        for record in journal.read(folder)
    ]
