from __future__ import annotations

import os
from pathlib import Path

import pytest
from launch.world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An empty run root, and a SLURM that knows of no job."""
    made = World(tmp_path)
    made.says("squeue")
    made.says("sacct")
    made.says("scancel")
    monkeypatch.setenv("PATH", str(made.bin), prepend=os.pathsep)
    return made
