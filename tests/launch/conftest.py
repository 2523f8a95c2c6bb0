from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from launch.world import CONFIG, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An empty run root, and a SLURM that knows of no job."""
    made = World(tmp_path)
    made.says("squeue")
    made.says("sacct")
    made.says("scancel")
    made.says("scontrol", CONFIG)
    monkeypatch.setenv("PATH", str(made.bin), prepend=os.pathsep)
    return made


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """squeue prints this file's lines, one at each call; fails at an empty one, and behind."""
    answers = tmp_path / "answers"
    script = tmp_path / "bin" / "squeue"
    script.parent.mkdir()
    script.write_text(
        f"#!/bin/sh\nexec 3< {answers}\nread -r line <&3 || exit 1\n"
        f"cat <&3 > {answers}.rest\nmv {answers}.rest {answers}\n"
        '[ "$line" = "-" ] && exit 1\n[ "$line" = "." ] || echo "$line"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return answers
