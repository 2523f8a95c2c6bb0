"""A tracker that another package declares, beside the real wandb, which is offline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError, RecipeError
from harness.spec.registry import trackers
from harness.store import garbage
from harness.track import feed as feeds
from harness.track.bounded import watched
from harness.track.feed import Feed, access
from harness.track.follow import Follower, Followers, start
from harness.track.protocol import TrackerError
from harness.track.sync import sync

from .conftest import FakeWandb, Stage, feed, record
from .lines import installed
from .test_follow import PATIENCE_S, until
from .wandb import datastore

SECRET = "seven-words-of-none"


@pytest.fixture(autouse=True)
def _lines(tmp_path: Path) -> Iterator[None]:
    with installed(tmp_path / "site"):
        yield


def follower(followers: Followers, kind: str) -> Follower:
    (found,) = (each for each in followers.started if each.tracker.kind == kind)
    return found


def kill(followers: Followers) -> None:
    for each in followers.started:
        each.process.kill()
        each.process.wait()


def lines(stage: Stage) -> list[dict[str, Any]]:
    paths = list(stage.folder.path.glob("lines/*.jsonl"))
    assert len(paths) <= 1
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def steps(stage: Stage) -> list[int]:
    return [row["step"] for row in lines(stage)]


def test_each_gets_every_record_once_though_the_trainer_is_killed(runs: Path, stage: Stage) -> None:
    stage.attempt(1, record(1), record(2), record(3, loss=99.0))
    stage.checkpoint(2)
    program = f"""if True:
        import time
        from pathlib import Path
        from harness.track.follow import start
        followers = start(Path({str(runs)!r}), [{stage.folder.id!r}], poll_s=0.1)
        assert not followers.warning, followers.warning
        for each in followers.started:
            print(each.tracker.kind, each.log, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as trainer:
        assert trainer.stdout is not None
        logs = dict(trainer.stdout.readline().decode().split() for _ in range(2))
        until(lambda: len(lines(stage)) == 2)
        trainer.send_signal(signal.SIGKILL)
    assert list(logs) == ["wandb", "lines"]
    until(lambda: all("ended" in Path(log).read_text() for log in logs.values()))

    stage.attempt(2, record(3), record(4, **{"knn/top1": 41.0}))
    followers = start(runs, [stage.folder.id], poll_s=0.1)
    stage.finish(values={"knn/top1": 41.0})
    assert followers.wait(PATIENCE_S)
    assert steps(stage) == [1, 2, 3, 4]
    assert [row["values"]["train/loss"] for row in lines(stage)] == [0.1, 0.2, 0.3, 0.4]
    assert [row["number"] for row in lines(stage)] == [0, 1, 2, 3]
    assert len({row["process"] for row in lines(stage)}) == 2
    end = json.loads((stage.folder.path / "lines" / "end.json").read_text())
    assert end["values"]["knn/top1"] == 41.0
    assert end["axes"] == {"train/loss": "step", "knn/top1": "epoch"}
    mirrored = datastore.rows(runs)
    assert sorted(row["global_step"] for row in mirrored) == [1, 2, 3, 4]
    assert sorted(row["train/loss"] for row in mirrored) == [0.1, 0.2, 0.3, 0.4]

    assert stage.cursor["offline"]["complete"]
    cursor = json.loads((stage.folder.path / "lines.json").read_text())
    assert cursor["online"] == {**stage.cursor["offline"], "complete": True}
    said: list[str] = []
    assert [(o.tracker, o.state) for o in sync(runs, None, said.append)] == [
        ("wandb", "waiting"),
        ("lines", "already"),
    ]
    assert list(garbage.find(runs, [], [])) == []


def test_killed_itself_in_the_middle_of_a_row_it_goes_on(runs: Path, stage: Stage) -> None:
    stage.attempt(1, record(1), record(2), record(3))
    stage.checkpoint(2)
    first = start(runs, [stage.folder.id], poll_s=0.1)
    until(lambda: len(lines(stage)) == 2)
    kill(first)
    (path,) = stage.folder.path.glob("lines/*.jsonl")
    with path.open("a") as file:
        file.write('{"number": 2, "st')
    stage.attempt(1, record(4))
    second = start(runs, [stage.folder.id], poll_s=0.1)
    stage.finish()
    assert second.wait(PATIENCE_S)
    assert steps(stage) == [1, 2, 3, 4]
    mirrored = [row["global_step"] for row in datastore.rows(runs)]
    assert len(mirrored) == len(set(mirrored)), "a kill may leave rows out, never twice in it"


@pytest.mark.parametrize("fault", ["hangs", "fails", "exits", "dies"])
def test_trouble_of_one_leaves_the_other_alone(
    runs: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("LINES_FAULT", fault)
    monkeypatch.setenv("LINES_SECRET", SECRET)
    stage.attempt(1, record(1), record(2))
    followers = start(runs, [stage.folder.id], poll_s=0.1)
    stage.finish()
    try:
        assert follower(followers, "wandb").process.wait(PATIENCE_S) == 0
        assert stage.cursor["offline"]["complete"]
        assert [row["global_step"] for row in datastore.rows(runs)] == [1, 2]
        if fault == "hangs":
            assert followers.running == ["Lines"]
        else:
            assert followers.wait(PATIENCE_S)
    finally:
        kill(followers)
    log = follower(followers, "lines").log.read_text()
    assert SECRET not in log
    assert ("mirroring stopped" in log) == (fault == "fails")

    monkeypatch.delenv("LINES_FAULT")
    made_good = {each.tracker: each for each in sync(runs, None, lambda _: None)}
    assert (made_good["lines"].state, made_good["lines"].rows) == ("uploaded", 2)
    assert steps(stage) == [1, 2]


def test_a_follower_whose_tracker_hangs_ends(
    runs: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it was asked to stop, and nobody kills it."""
    monkeypatch.setenv("LINES_FAULT", "hangs")
    stage.finish()
    words = ["--tracker", "lines", "--runs", str(runs), "--stages", stage.folder.id]
    words += ["--until-pid", str(os.getpid()), "--poll", "0.1", "--quiet", "1"]
    command = [sys.executable, "-m", "harness.track.follow", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (1, "")
    assert "Lines: no answer" in done.stdout


def test_sync_leaves_a_tracker_that_hangs_and_goes_on_with_the_next(
    runs: Path, stage: Stage, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Stage(runs, "tiny-s1.pretrain-0123456789")
    for each in (stage, second):
        each.attempt(1, record(1))
        each.finish()
    monkeypatch.setenv("LINES_FAULT", "hangs")
    hung = Feed(trackers()["lines"], access(trackers()["lines"]))
    outcomes = sync(runs, None, lambda _: None, feeds=[hung, feed(wandb, "online")], quiet_s=0.5)
    assert [(o.tracker, o.state) for o in outcomes] == [
        *[("lines", "failed")] * 2,
        *[("wandb", "uploaded")] * 2,
    ]
    assert all("no answer" in o.message for o in outcomes[:2])


def test_what_one_is_asked_for_wrongly_is_told_and_the_others_are_synced(
    runs: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.attempt(1, record(1))
    stage.finish()
    monkeypatch.setenv("WANDB_MODE", "ofline")
    for check in (feeds.check, lambda: sync(runs, None, lambda _: None)):
        with pytest.raises(RecipeError, match="WANDB_MODE"):
            check()
    assert steps(stage) == [1]
    followers = start(runs, [stage.folder.id])
    assert "WANDB_MODE" in followers.warning
    assert [each.tracker.kind for each in followers.started] == ["lines"]
    followers.stop()
    assert followers.wait(PATIENCE_S)


def test_one_whose_mode_cannot_be_told_is_passed_over(
    runs: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "ACCESS_S", 0.2)
    monkeypatch.setenv("LINES_MODE", "hangs")
    feeds.check()
    assert list(feeds.online()) == []
    followers = start(runs, [stage.folder.id], poll_s=0.1)
    stage.finish()
    assert "Lines" in followers.warning
    assert [each.tracker.kind for each in followers.started] == ["wandb"]
    assert followers.wait(PATIENCE_S)
    said: list[str] = []
    done = {each.tracker: each.state for each in sync(runs, None, said.append)}
    assert done.keys() == {"wandb", "lines"}
    assert done["lines"] == "failed"
    assert any(line.startswith("lines: ") for line in said)


def test_whoever_gives_signs_of_life_may_take_long() -> None:
    def slow(beat: Any) -> int:
        for _ in range(8):
            time.sleep(0.1)
            beat()
        return 3

    assert watched(slow, 0.6, "slow") == 3


def test_what_was_left_behind_does_nothing_more() -> None:
    go, over, after = threading.Event(), threading.Event(), []

    def late(beat: Any) -> None:
        try:
            go.wait(PATIENCE_S)
            beat()
            after.append("went on")
        finally:
            over.set()

    with pytest.raises(TrackerError, match="no answer"):
        watched(late, 0.1, "late")
    go.set()
    assert over.wait(PATIENCE_S)
    assert after == []


def test_a_package_that_cannot_be_loaded_is_told(tmp_path: Path, runs: Path, stage: Stage) -> None:
    (tmp_path / "site" / "lines_tracker.py").write_text("raise ImportError('no such library')")
    with pytest.raises(HarnessError, match="no such library"):
        feeds.check()
    assert "no such library" in start(runs, [stage.folder.id]).warning
