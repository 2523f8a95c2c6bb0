from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.track import mirror_state
from harness.track.mirror import StageMirror
from harness.track.protocol import Mode
from harness.track.sync import sync

from .conftest import FakeWandb, Run, Stage, feed, mirror, record

KEY = "local-" + "5ec4e7" * 7


def only(held: dict[str, Run]) -> Run:
    (run,) = held.values()
    return run


def two_attempts(stage: Stage) -> None:
    """Steps 1-3 with a checkpoint at 2, then a second life from 3 on."""
    stage.attempt(1, record(1), record(2), record(3, loss=99.0), torn='{"step": 4')
    stage.checkpoint(2)
    stage.attempt(2, record(3), record(4, **{"knn/top1": 41.0, "knn/top1@k20": 40.0}))


def test_each_step_is_mirrored_once_with_its_axes(stage: Stage, wandb: FakeWandb) -> None:
    two_attempts(stage)
    stage.finish(values={"knn/top1": 41.0})
    mirrored = mirror(stage, wandb)
    mirrored.advance()
    assert mirrored.standing == "complete"
    run = only(wandb.offline)
    assert [row["global_step"] for row in run.rows] == [1, 2, 3, 4]
    assert [row["train/loss"] for row in run.rows] == [0.1, 0.2, 0.3, 0.4]
    assert [row["epoch"] for row in run.rows] == [0.25, 0.5, 0.75, 1.0]
    assert run.rows[0]["_timestamp"] == 1e9 + 1
    assert run.axes == {"train/loss": "step", "knn/top1": "epoch", "knn/top1@k20": "epoch"}
    assert run.closed == [True]


def test_how_a_value_was_measured_is_no_metric(stage: Stage, wandb: FakeWandb) -> None:
    stage.attempt(1, {**record(1, **{"knn/top1": 41.0}), "protocol": {"k": [20]}})
    stage.finish()
    mirror(stage, wandb).advance()
    run = only(wandb.offline)
    assert run.axes == {"train/loss": "step", "knn/top1": "epoch"}
    assert [row.get("protocol") for row in run.rows] == [None]


def test_the_run_says_what_it_is(
    stage: Stage, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    two_attempts(stage)
    stage.finish("diverged", {"knn/top1": 41.0})
    mirror(stage, wandb).advance()
    run = only(wandb.offline)
    metadata = run.metadata
    assert metadata.id.startswith(stage.folder.id)
    assert (metadata.group, metadata.job_type, metadata.project) == ("momentum", "pretrain", "mine")
    assert metadata.folder == stage.folder.path
    assert metadata.config["optim"] == {"lr": 0.03}
    assert metadata.config["stage"]["seed"] == 0
    assert metadata.config["provenance"] == {
        "edition": "abc123",
        "data": {"name": "digits"},
        "commit": "f00",
        "dirty": False,
        "device": "cpu",
    }
    assert metadata.tags == ("pretrain", "tiny", "edition abc123")
    assert run.summary == {
        "knn/top1": 41.0,
        "result/state": "diverged",
        "result/step": 9,
        "result/message": "",
    }
    assert run.tags == ("diverged",)


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_restart_in_the_middle_repeats_nothing(
    stage: Stage, wandb: FakeWandb, mode: Mode
) -> None:
    stage.attempt(1, record(1), record(2), record(3, loss=99.0))
    stage.checkpoint(2)
    killed = mirror(stage, wandb, mode)
    killed.advance()
    killed.advance()
    killed._lock.release()  # as the system does when it dies
    stage.attempt(2, record(3), record(4))
    stage.checkpoint(4)
    second = mirror(stage, wandb, mode)
    second.advance()
    second.close()
    stage.attempt(2, record(5))
    stage.finish()
    third = mirror(stage, wandb, mode)
    third.advance()
    run = only(wandb.online if mode == "online" else wandb.offline)
    assert [row["train/loss"] for row in run.rows] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert run.numbers == [0, 1, 2, 3, 4]
    assert run.closed == [False, True]
    assert stage.cursor[mode] == {
        "rows": 5,
        "step": 5,
        "names": ["train/loss"],
        "complete": True,
        "alerts": [],
    }
    again = mirror(stage, wandb, mode)
    again.advance()
    assert again.standing == "complete"
    assert len(wandb.opened) == 3


def test_a_refused_online_run_goes_offline_and_says_so(stage: Stage, wandb: FakeWandb) -> None:
    two_attempts(stage)
    stage.finish()
    wandb.refuse = "opening the run: no answer in 60 s"
    said: list[str] = []
    mirrored = mirror(stage, wandb, "online", said.append)
    mirrored.advance()
    assert (mirrored.standing, mirrored.mode) == ("complete", "offline")
    assert len(only(wandb.offline).rows) == 4
    assert "no answer" in said[0]
    assert stage.cursor["mode"] == "offline"


def test_two_followers_do_not_mirror_one_stage(stage: Stage, wandb: FakeWandb) -> None:
    two_attempts(stage)
    first = mirror(stage, wandb)
    second = mirror(stage, wandb)
    first.advance()
    second.advance()
    assert (first.standing, second.standing) == ("open", "busy")
    first.close()
    stage.finish()
    second.advance()
    assert second.standing == "complete"
    assert [row["global_step"] for row in only(wandb.offline).rows] == [1, 2, 3, 4]


def moved_aside(stage: Stage, wandb: FakeWandb) -> StageMirror:
    """The mirror of a stage whose folder is moved aside while it is mirrored."""
    two_attempts(stage)
    stage.checkpoint(4)
    followed = mirror(stage, wandb, "online")
    followed.advance()
    stage.folder.set_aside()
    return followed


def test_a_stage_that_is_run_anew_gets_a_run_of_its_own(
    runs: Path, stage: Stage, wandb: FakeWandb
) -> None:
    """The follower had begun with the folder that was then moved aside."""
    followed = moved_aside(stage, wandb)
    followed.advance()
    again = Stage(runs)
    again.attempt(1, record(1, loss=7.0), record(2, loss=6.0))
    again.finish()
    followed.advance()
    followed.close()
    old, new = wandb.online.values()
    assert [row["train/loss"] for row in old.rows] == [0.1, 0.2, 0.3, 0.4]
    assert [row["train/loss"] for row in new.rows] == [7.0, 6.0]
    assert (old.closed, new.closed) == ([False], [True])
    found = mirror_state.stored_state(again.folder, "wandb")
    assert found is not None
    assert (found.id, found.online.rows, found.online.complete) == (new.metadata.id, 2, True)


def test_what_was_moved_aside_while_it_was_followed_is_not_noted_in_its_place(
    runs: Path, stage: Stage, wandb: FakeWandb
) -> None:
    followed = moved_aside(stage, wandb)
    again = Stage(runs)
    followed.close()
    assert mirror_state.stored_state(again.folder, "wandb") is None


def test_trouble_ends_the_mirror_and_nothing_else(stage: Stage, wandb: FakeWandb) -> None:
    two_attempts(stage)
    (stage.folder.path / "wandb.json").write_text("{")
    said: list[str] = []
    mirrored = mirror(stage, wandb, "offline", said.append)
    mirrored.advance()
    mirrored.advance()
    mirrored.close()
    assert mirrored.standing == "failed"
    assert len(said) == 1
    assert "wandb.json" in said[0]


def test_ids_are_what_wandb_accepts() -> None:
    assert mirror_state.safe_id("a/b#c-s0", "f00") == "a-b-c-s0-f00"
    long = [mirror_state.safe_id("x" * 200 + tail, "f00") for tail in "ab"]
    assert all(len(name) <= 128 for name in long)
    assert long[0] != long[1]


def test_sync_rebuilds_online_what_was_mirrored_offline(
    runs: Path, stage: Stage, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_attempts(stage)
    stage.finish()
    mirror(stage, wandb).advance()
    said: list[str] = []
    (waiting,) = sync(runs, None, said.append, feeds=[feed(wandb)])
    assert waiting.state == "waiting"
    assert "wandb login" in said[0]

    monkeypatch.setenv("WANDB_API_KEY", KEY)
    (outcome,) = sync(runs, None, said.append, feeds=[feed(wandb)])
    assert (outcome.state, outcome.rows) == ("uploaded", 4)
    assert outcome.url == stage.cursor["url"] != ""
    assert [row["global_step"] for row in only(wandb.online).rows] == [1, 2, 3, 4]
    opened = len(wandb.opened)
    assert [o.state for o in sync(runs, None, said.append, feeds=[feed(wandb)])] == ["already"]
    assert len(wandb.opened) == opened


def test_sync_makes_good_a_lost_upload(
    runs: Path, stage: Stage, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    two_attempts(stage)
    stage.finish()
    wandb.lose = True
    (lost,) = sync(runs, [stage.folder.id], lambda _: None, feeds=[feed(wandb)])
    assert (lost.state, stage.cursor["online"]["rows"]) == ("failed", 0)
    run = only(wandb.online)
    del run.rows[2:], run.numbers[2:]
    wandb.lose = False
    (made_good,) = sync(runs, [stage.folder.id], lambda _: None, feeds=[feed(wandb)])
    assert made_good.state == "uploaded"
    assert [row["global_step"] for row in run.rows] == [1, 2, 3, 4]


def test_sync_of_what_is_not_done_or_not_there(
    runs: Path, stage: Stage, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    two_attempts(stage)
    ids = [stage.folder.id, Stage(runs, "new-s0.pretrain-1").folder.id, "absent"]
    for rows in (2, 0):
        outcomes = sync(runs, ids, lambda _: None, feeds=[feed(wandb)])
        assert [o.state for o in outcomes] == ["partly", "nothing", "failed"]
        assert outcomes[0].rows == rows
    assert wandb.opened == ["online"]


@pytest.mark.parametrize(("worker", "shown"), [(71, 71), (72, None), (None, None)])
def test_the_use_of_the_machine_is_that_of_the_process_at_work(
    stage: Stage, wandb: FakeWandb, worker: int | None, shown: int | None
) -> None:
    """The process that started several stages at once works on none of them."""
    two_attempts(stage)
    newest = stage.folder.attempts()[-1]
    text = json.dumps({"pid": worker}) if worker else "torn"
    (newest / "alive.json").write_text(text)
    StageMirror(stage.folder, feed(wandb, "online"), lambda _: None, pid=71).advance()
    assert only(wandb.online).metadata.pid == shown
