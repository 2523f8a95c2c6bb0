"""Rounds are counted, taken in turns, and warmed up; the untimed part is not timed."""

from __future__ import annotations

import time

import pytest
import torch

from harness.bench.clock import Timed, measure

CPU = torch.device("cpu")


def test_things_take_turns_and_the_warm_up_does_not_count() -> None:
    order: list[str] = []
    found = measure(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, CPU, rounds=3, warm_up=2
    )
    assert order == ["a", "b"] * 5
    assert {timing.rounds for timing in found.values()} == {3}
    assert all(t.low <= t.median <= t.high for t in found.values())


def test_what_comes_before_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def takes(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    things = {"act": Timed(lambda: takes(2.0), before=lambda: takes(100.0))}
    assert measure(things, CPU, rounds=3, warm_up=1)["act"].high == 2.0


def test_a_median_needs_a_round() -> None:
    with pytest.raises(ValueError, match="one round"):
        measure({}, CPU, rounds=0, warm_up=1)
