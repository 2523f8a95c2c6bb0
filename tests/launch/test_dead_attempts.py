from __future__ import annotations

import json
import os
import time
from dataclasses import replace

import pytest
from launch.world import World

from harness.errors import HarnessError
from harness.launch import dead_attempts as module
from harness.launch.dead_attempts import QUIET_S, close_dead_attempts
from harness.launch.job_states import JobState
from harness.store.layout import StageFolder

ENDED = JobState("12", "FAILED", cluster="here", on="slurm")


@pytest.fixture
def folder(world: World) -> StageFolder:
    return world.stage()


def is_buried(folder: StageFolder, job: JobState, *notes: str) -> bool:
    told: list[str] = []
    close_dead_attempts(folder.path.parent, {folder.id: job}, told.append)
    assert [any(word in text for text in told) for word in notes] == [True] * len(notes)
    return (folder.attempts()[-1] / "ended.json").exists()


def test_who_was_quiet_when_slurm_ended_its_job(world: World, folder: StageFolder) -> None:
    world.attempt(folder, job="12", silent_s=QUIET_S + 5)
    assert is_buried(folder, ENDED)
    said = json.loads((folder.attempts()[-1] / "ended.json").read_text())
    assert (said["how"], said["message"]) == ("interrupted", "SLURM ended its job 12 (FAILED)")


@pytest.mark.parametrize(
    "job",
    [
        replace(ENDED, state="GONE"),  # nobody says that it ended
        replace(ENDED, state="UNKNOWN"),
        replace(ENDED, state="RUNNING", live=True),
        replace(ENDED, job="13"),
        replace(ENDED, cluster="there"),
        replace(ENDED, on="another"),
    ],
)
def test_who_is_not_buried(world: World, folder: StageFolder, job: JobState) -> None:
    world.attempt(folder, job="12", silent_s=QUIET_S + 5)
    assert not is_buried(folder, job)


def test_a_fresh_beat_is_waited_for(
    world: World, folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.attempt(folder, job="12", silent_s=QUIET_S / 2)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    assert is_buried(folder, ENDED, "waiting 10 s")
    assert len(slept) == 1


def test_a_heart_that_beats_on_is_not_buried(
    world: World, folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = world.attempt(folder, job="12", silent_s=1)
    monkeypatch.setattr(module.time, "sleep", lambda _: os.utime(attempt / "alive.json"))
    with pytest.raises(HarnessError, match="process 321 on n7 "):
        close_dead_attempts(world.root, {folder.id: ENDED}, lambda _: None)
    assert not (attempt / "ended.json").exists()
