"""Other processes beside this one: one that fails is named, none is waited for without end."""

from __future__ import annotations

import sys
import time

import pytest

from harness.errors import HarnessError
from harness.launch import spawn as module
from harness.launch.spawn import Lost, spawned


def test_one_that_fails_before_the_meeting_is_named_with_its_exit_code() -> None:
    with spawned([sys.executable, "-c", "raise SystemExit(3)"], 2) as (placement, lost):
        assert (placement.rank, placement.size) == (0, 2)
        with pytest.raises(HarnessError, match="rank 1 of 2 ended with exit code 3"):
            ask_for_a_minute(lost)


def ask_for_a_minute(lost: Lost) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        lost()
        time.sleep(0.01)


def test_one_that_lives_or_has_done_its_work_is_not_lost() -> None:
    with spawned([sys.executable, "-c", ""], 2) as (_, lost):
        lost()
    lost()
    with spawned(["nothing is begun"], 1) as (placement, lost):
        lost()
    assert placement.size == 1


def test_all_share_the_time_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAREWELL_S", 0.5)
    with spawned(["sleep", "60"], 9):
        began = time.monotonic()
    assert time.monotonic() - began < 3, "not half a second for each of eight"
