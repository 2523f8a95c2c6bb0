from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.store import journal
from harness.track.tail import Progress, Tail, newest_checkpoint

from .conftest import Stage, record


def test_only_what_no_attempt_can_rewind_is_given_out(stage: Stage) -> None:
    tail = Tail(stage.folder, Progress())
    stage.attempt(1, record(1), record(2), record(3), torn='{"step": 4, "tr')
    assert tail.settled(newest_checkpoint(stage.folder)) == []
    stage.checkpoint(2)
    assert [r["step"] for r in tail.settled(newest_checkpoint(stage.folder))] == [1, 2]
    stage.attempt(2, record(3, loss=7.0), record(4))
    assert [(r["step"], r["train/loss"]) for r in tail.settled(None)] == [(3, 7.0), (4, 0.4)]


def test_of_a_finished_stage_the_last_line_needs_no_end(stage: Stage) -> None:
    stage.attempt(1, record(1), torn=json.dumps(record(2)))
    tail = Tail(stage.folder, Progress())
    assert [r["step"] for r in tail.settled(2)] == [1]
    assert [r["step"] for r in tail.settled(None)] == [2]
    assert [r["step"] for r in journal.read(stage.folder)] == [1, 2]
    assert tail.settled(None) == []


def test_what_joins_a_mirrored_step_later_is_given_out_alone(stage: Stage) -> None:
    tail = Tail(stage.folder, Progress())
    stage.attempt(1, record(1))
    tail.settled(1)
    stage.attempt(1, {"step": 1, "epoch": 0.25, "knn/top1": 40.0})
    assert tail.settled(1) == [{"step": 1, "epoch": 0.25, "knn/top1": 40.0}]
    assert Tail(stage.folder, tail.progress.copy()).settled(None) == []


def test_a_record_that_overtook_others_is_put_in_order(stage: Stage) -> None:
    stage.attempt(1, record(1), {"step": 4, "epoch": 1.0, "knn/top1": 40.0}, record(2), record(4))
    found = Tail(stage.folder, Progress()).settled(4)
    assert [r["step"] for r in found] == [1, 2, 4, 4]


@settings(max_examples=25, deadline=None)
@given(
    lives=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 3)), min_size=1, max_size=5),
    restart=st.booleans(),
)
def test_read_on_or_at_once_it_is_the_journal(lives: list[tuple[int, int]], restart: bool) -> None:
    """Each life goes on from the newest checkpoint, writes some steps, and checkpoints some."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        tail = Tail(stage.folder, Progress())
        given_out = []
        saved = 0
        for number, (length, kept) in enumerate(lives, 1):
            stage.attempt(number, torn="")
            for step in range(saved + 1, saved + length + 1):
                stage.attempt(number, record(step))  # an exact resume repeats the values
                if step <= saved + min(kept, length):
                    given_out += tail.settled(newest_checkpoint(stage.folder))
            saved += min(kept, length)
            stage.checkpoint(saved)
            if restart:
                tail = Tail(stage.folder, tail.progress.copy())
            stage.attempt(number, torn='{"step":')
        assert given_out + tail.settled(None) == journal.read(stage.folder)
