"""The follower as a process of its own, with the real wandb, offline or before a local server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.track import follow as following
from harness.track.follow import Followers, follow, start, watcher
from harness.track.sync import sync
from harness.track.wandb.probe import objection

from .conftest import FakeWandb, Stage, feed, mirror, record
from .wandb.server import serve

KEY = "local-" + "5ec4e7" * 7
PATIENCE_S = 100.0
"""How long a test waits for what must come; never how long it may take."""


def ended(followers: Followers) -> str:
    """The follower's log, once it has ended."""
    assert followers.warning == ""
    (follower,) = followers.started
    assert followers.wait(PATIENCE_S)
    return follower.log.read_text()


def assert_no_secret(runs: Path) -> None:
    files = [path for path in runs.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def until(happened: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.05)):
        if happened():
            return
        pause.wait(0.05)
    raise AssertionError("it never happened")


def test_it_mirrors_offline_and_ends_by_itself(runs: Path, stage: Stage) -> None:
    followers = start(runs, [stage.folder.id], poll_s=0.1)
    stage.attempt(1, *(record(step) for step in range(1, 6)))
    stage.finish()
    assert "ended" in ended(followers)
    (file,) = runs.glob("wandb/offline-run-*/*.wandb")
    assert stage.cursor["id"] in file.name
    assert b"train/loss" in file.read_bytes()
    assert stage.cursor["offline"]["complete"]


def test_it_ends_after_the_trainer_was_killed(runs: Path, stage: Stage) -> None:
    stage.attempt(1, record(1), record(2), record(3))
    stage.checkpoint(2)
    program = f"""
        import time
        from pathlib import Path
        from harness.track.follow import start
        followers = start(Path({str(runs)!r}), [{stage.folder.id!r}], poll_s=0.1)
        print(followers.started[0].process.pid, flush=True)
        time.sleep(600)
    """
    env = {**os.environ, "PYTHONPATH": str(Path(following.__file__).parents[2])}
    trainer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, env=env
    )
    with trainer:
        assert trainer.stdout is not None
        is_running = watcher(int(trainer.stdout.readline()))
        assert is_running()
        trainer.send_signal(signal.SIGKILL)
    until(lambda: not is_running())
    assert stage.cursor["offline"]["rows"] == 2
    assert not stage.cursor["offline"]["complete"]


def test_no_server_means_offline(runs: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    stage.attempt(1, record(1))
    followers = start(runs, [stage.folder.id], poll_s=0.1)
    stage.finish()
    log = ended(followers)
    assert "mirrored offline (http://127.0.0.1:9 cannot be reached" in log
    assert stage.cursor["offline"]["complete"]
    assert not stage.cursor["online"]["complete"]
    said: list[str] = []
    (outcome,) = sync(runs, None, said.append)
    assert outcome.state == "failed"
    assert "cannot be reached" in said[0]
    assert_no_secret(runs)


def test_online_each_row_once_and_sync_has_nothing_left(
    runs: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the first follower was killed before W&B had confirmed anything."""
    with serve() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        stage.attempt(1, record(1), record(2), record(3, loss=99.0))
        stage.checkpoint(2)
        first = start(runs, [stage.folder.id], poll_s=0.1)
        until(lambda: bool(server.history))
        first.stop()
        ended(first)
        (name,) = server.history
        assert [row["global_step"] for row in server.history[name]] == [1, 2]
        cursor = stage.folder.path / "wandb.json"
        told = (
            cursor.read_text().replace('"rows": 2', '"rows": 0').replace('"step": 2', '"step": -1')
        )
        cursor.write_text(told.replace('"train/loss"', ""))

        stage.attempt(2, record(3), record(4, **{"knn/top1": 41.0}))
        second = start(runs, [stage.folder.id], poll_s=0.1)
        stage.finish(values={"knn/top1": 41.0})
        ended(second)
        rows = server.history[name]
        assert [row["global_step"] for row in rows] == [1, 2, 3, 4]
        assert [row["train/loss"] for row in rows] == [0.1, 0.2, 0.3, 0.4]
        assert server.exits[name] == [1, 0]
        assert server.variables[name]["groupName"] == "momentum"
        assert server.variables[name]["jobType"] == "pretrain"
        assert stage.cursor["online"]["complete"]
        assert [outcome.state for outcome in sync(runs)] == ["already"]
    assert_no_secret(runs)


def test_what_speaks_against_online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with serve() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        assert objection(PATIENCE_S) == ""
        server.refuse = 401
        assert "refuses the key" in objection(PATIENCE_S)
        server.refuse = 503
        assert "503" in objection(PATIENCE_S)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{hung.getsockname()[1]}")
        assert "timed out" in objection(0.1)


def test_a_run_that_cannot_be_opened_online_is_opened_offline(
    runs: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server knows the key, but refuses the run; wandb then holds on to the run's id."""
    with serve() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        server.refuse_runs = 403
        stage.attempt(1, record(1))
        followers = start(runs, [stage.folder.id], poll_s=0.1)
        stage.finish()
        log = ended(followers)
    assert "mirrored offline" in log
    assert stage.cursor["offline"]["complete"]
    assert_no_secret(runs)


def test_switched_off_it_does_nothing(
    runs: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    stage.finish()
    before = sorted(runs.rglob("*"))
    followers = start(runs, [stage.folder.id])
    assert (followers.started, followers.warning, followers.wait(0)) == ((), "", True)
    words = ["--tracker", "wandb", "--runs", str(runs), "--stages", stage.folder.id]
    command = [sys.executable, "-m", "harness.track.follow", *words]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stderr) == (0, "")
    assert sorted(runs.rglob("*")) == before


def test_a_follower_that_cannot_start_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    assert "sync" in start(tmp_path / "file", ["a"]).warning
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".wandb-follow").symlink_to(tmp_path)
    assert ".wandb-follow" in start(tmp_path / "linked", ["a"]).warning
    assert not list(tmp_path.glob("*.log"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    followers = start(tmp_path, ["a"])
    assert "sync" in followers.warning
    assert not followers.running


def test_it_waits_for_stages_that_are_not_there_yet(runs: Path, wandb: FakeWandb) -> None:
    """Both are mirrored: the one that came later, and the one whose trainer died."""
    first = Stage(runs, "a")
    first.attempt(1, record(1), record(2))
    first.checkpoint(1)
    looks = iter([True, True, False])

    def alive() -> bool:
        more = next(looks)
        if not more:
            second = Stage(runs, "b")
            second.attempt(1, record(1))
            second.finish()
        return more

    mirrors = follow(
        runs,
        ["a", "b", "a"],
        feed=feed(wandb, "offline"),
        say=lambda _: None,
        alive=alive,
        stop=threading.Event(),
        poll_s=0.0,
    )
    assert [(m.folder.id, m.standing, m.added) for m in mirrors] == [
        ("a", "open", 1),
        ("b", "complete", 1),
    ]
    assert [run.closed for run in wandb.offline.values()] == [[False], [True]]


def test_a_stage_that_is_run_again_is_followed_once_its_old_result_is_gone(
    runs: Path, wandb: FakeWandb
) -> None:
    """Whether or not the old one was mirrored."""
    ids, before = ["a", "b"], [Stage(runs, "a"), Stage(runs, "b")]
    for old in before:
        old.attempt(1, record(1))
        old.finish()
    mirror(before[0], wandb).advance()
    left = list(before)

    def alive() -> bool:
        if left:
            folder = left.pop(0).folder
            folder.set_aside()
            new = Stage(runs, folder.id)
            new.attempt(1, record(1), record(2))
            new.finish()
        return True

    mirrors = follow(
        runs,
        ids,
        feed=feed(wandb, "offline"),
        say=lambda _: None,
        alive=alive,
        stop=threading.Event(),
        poll_s=0.0,
        again=ids,
    )
    assert [(m.folder.id, m.standing, m.added) for m in mirrors] == [
        ("a", "complete", 2),
        ("b", "complete", 2),
    ]
    assert len(wandb.offline) == 3


def test_a_result_that_stays_is_mirrored_when_the_trainer_ends(
    runs: Path, stage: Stage, wandb: FakeWandb
) -> None:
    stage.attempt(1, record(1))
    stage.finish()
    (mirrored,) = follow(
        runs,
        [stage.folder.id],
        feed=feed(wandb, "offline"),
        say=lambda _: None,
        alive=lambda: False,
        stop=threading.Event(),
        poll_s=0.0,
        again=[stage.folder.id],
    )
    assert (mirrored.standing, mirrored.added) == ("complete", 1)


def test_only_old_logs_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may still write to a new one."""
    monkeypatch.setattr(following, "LOGS", 2)
    logs = [tmp_path / f"2026112{n}-000000-1-ab.log" for n in range(4)]
    for log in logs:
        log.touch()
    for log in (logs[0], logs[3]):
        os.utime(log, (0, 0))
    following._new_log(tmp_path)
    assert [log.exists() for log in logs] == [False, True, True, True]


def test_wandb_is_not_imported_before_it_is_needed() -> None:
    modules = ["metadata", "mirror_state", "feed", "follow", "mirror", "protocol", "sync", "tail"]
    modules += ["alerts", "lineage", "machine_use", "report_run"]
    modules += [f"wandb.{name}" for name in ("config", "mode", "probe", "run")]
    program = "import sys\n" + "".join(f"import harness.track.{name}\n" for name in modules)
    program += "assert not {'wandb', 'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(Path(following.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", program], check=True, env=env)
