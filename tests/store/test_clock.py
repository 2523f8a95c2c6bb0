from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.store import clock


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """No difference is known from elsewhere."""
    monkeypatch.setattr(clock, "_ahead", {})


@pytest.mark.parametrize("wrong", [-3600.0, 0.0, 3600.0])
def test_the_servers_clock_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + wrong)
    assert clock.now(tmp_path) == pytest.approx(real(), abs=10)
    assert list(tmp_path.iterdir()) == []


def test_a_small_difference_is_none(tmp_path: Path) -> None:
    before = time.time()
    assert before <= clock.now(tmp_path) <= time.time()


def test_it_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock.now(tmp_path)
    monkeypatch.setattr(Path, "touch", None)
    clock.now(tmp_path)


@pytest.mark.parametrize("step", [-600.0, 600.0])
def test_it_is_asked_again_if_our_clock_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    before = clock.now(tmp_path)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step)
    assert clock.now(tmp_path) == pytest.approx(before, abs=30)


def test_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "touch", refuse)
    before = time.time()
    assert before <= clock.now(tmp_path) <= time.time()
    tmp_path.rmdir()
    with pytest.raises(FileNotFoundError):
        clock.now(tmp_path)
