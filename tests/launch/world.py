"""A run root with stages, attempts and submissions, and a SLURM whose answers the test writes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.store import atomic, submission
from harness.store.layout import StageFolder
from harness.store.submission import Array, Submission

CONFIG = "ClusterName             = here\nPrivateData             = none\n"
"""What `scontrol show config` says."""

RECIPE = {
    "name": "tiny",
    "data": {"name": "embedded", "images": 128},
    "optim": {"epochs": 20, "batch": 32, "steps": None},
    "linear": {"epochs": 60},
}


class World:
    """See the module. `root` is the run root; `bin` holds the clients, first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "runs"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.root.mkdir()
        self.bin.mkdir()

    # -- what SLURM says --

    def says(self, client: str, out: str = "", *, code: int = 0, err: str = "") -> None:
        """A client answers so from now on; each call's words are kept."""
        answer = self.bin / f"{client}.{len(list(self.bin.iterdir()))}"
        answer.write_text(out)
        script = f'#!/bin/sh\necho {client} "$@" >> {self.calls}\ncat {answer}\n'
        if err:
            script += f"echo '{err}' >&2\n"
        draft = self.bin / f"{client}.new"
        draft.write_text(f"{script}exit {code}\n")
        draft.chmod(0o755)
        draft.replace(self.bin / client)  # it may be called at any moment

    def called(self, client: str) -> list[list[str]]:
        """The words of each call so far."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line.split()[1:] for line in lines if line.split()[0] == client]

    # -- what lies in the run root --

    def stage(
        self,
        kind: str = "pretrain",
        run: str = "tiny-s0",
        parent: str = "",
        *,
        digest: str = "0123456789",
    ) -> StageFolder:
        """A stage that was created and never begun."""
        folder = StageFolder(self.root / f"{run}.{kind}-{digest}")
        name = run.rpartition("-s")[0]
        folder.create(
            {
                "schema": 1,
                "id": folder.id,
                "kind": kind,
                "name": name,
                "group": name,
                "parent": parent or None,
                "recipe": RECIPE,
            }
        )
        return folder

    def attempt(
        self,
        folder: StageFolder,
        *,
        job: str = "",
        on: str = "slurm",
        host: str = "n7",
        how: str = "",
        message: str = "",
        silent_s: float = 0.0,
        records: Sequence[dict[str, Any]] = (),
    ) -> Path:
        """A life of the stage on another machine; it ended so, or is `silent_s` seconds quiet."""
        path = folder.path / "attempts" / f"{len(folder.attempts()) + 1:04d}"
        path.mkdir()
        who: dict[str, Any] = {"host": host, "boot": "other", "pid": 321, "born": "1"}
        if job:
            who[on] = {"job": job, "restart": 0, "cluster": "here"}
        atomic.write_json(path / "alive.json", who)
        (path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
        if how:
            atomic.write_json(path / "ended.json", {"how": how, "message": message, "t": 0})
        then = time.time() - silent_s
        for file in (*path.iterdir(), path):
            os.utime(file, (then, then))
        return path

    def result(self, folder: StageFolder, state: str = "finished", /, **values: float) -> None:
        found = {"state": state, "step": 80, "values": values, "message": ""}
        atomic.write_json(folder.path / "result.json", found)

    def submit(
        self, *stages: StageFolder, job: str | None = "12", ago_s: float = 3600.0, **other: Any
    ) -> Submission:
        """A submission of the stages as one array."""
        sid = submission.new_id()
        ids, waits = tuple(stage.id for stage in stages), other.pop("waits", ())
        array = Array(f"moco-{sid}-0", "pretrain", ids, job=job, waits=waits)
        made = submission.new(
            sid,
            on=other.pop("on", "slurm"),
            recipe="recipes/tiny.yaml",
            sets=other.pop("sets", ()),
            name="tiny",
            code="",
            arrays=[array, *other.pop("arrays", ())],
            cluster=other.pop("cluster", "here"),
        )
        made = replace(made, t=time.time() - ago_s, **{"submitter": {}, **other})
        submission.write(self.root, made)
        return made

    def log(self, made: Submission, job: str, err: str = "", out: str = "", rank: int = 0) -> Path:
        """The logs of a job's process; returns the .err."""
        folder = submission.folder(self.root, made.id)
        folder.mkdir(exist_ok=True)
        (folder / f"{job}_{rank}_log.out").write_text(out)
        path = folder / f"{job}_{rank}_log.err"
        path.write_text(err)
        return path


def listed(made: Submission, job: str, state: str, reason: str = "None", node: str = "") -> str:
    """squeue's line for an element of the submission's first array."""
    base, _, index = job.partition("_")
    return f"{base}|{index or 'N/A'}|{state}|{node}|{made.arrays[0].name}|{reason}\n"


def accounted(
    made: Submission, job: str, state: str, code: str = "0:0", node: str = "n1", reason: str = ""
) -> str:
    """sacct's line for it."""
    return f"{job}|{state}|{code}|{node}|{made.arrays[0].name}|{reason or 'None'}\n"
