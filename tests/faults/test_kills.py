"""SIGKILL at random instants: all processes of a run, or one of two."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from faults.attempts import (
    Reference,
    RunningAttempt,
    judge,
    make,
    make_looks,
    shared,
    undisturbed,
)
from faults.conftest import KILLS, QUICK
from faults.table import Row
from harness.store import journal

MOST = 60
"""Attempts that a run is given; then it is left alone to finish."""
RECORDS = 8
"""Of the journal, when one of several is killed: checkpoints are written, most steps
are to come."""


def kills(
    row: Row, place: Path, reference: Reference, *, wanted: int, processes: int, one: bool
) -> None:
    """Kill runs until it was done `wanted` times; let the last one finish."""
    draw = random.Random(f"{row.seed} {processes} {one}")
    reach = reference.startup + reference.seconds / 4  # the latest instant; as fast as it runs now
    while row.cases < wanted:
        folder = make(place / f"{row.runs}")
        row.runs += 1
        pending = 0  # kills whose run has not yet shown that it goes on
        for number in range(MOST + 1):
            attempt = RunningAttempt(folder, processes=processes)
            alone = number == MOST or row.cases >= wanted
            until = time.monotonic() + draw.uniform(0, reach)
            while not alone and attempt.alive and time.monotonic() < until:
                time.sleep(0.001)
            killed = not alone and attempt.kill(draw.randrange(processes) if one else None)
            codes = attempt.end()
            assert None not in codes, f"a process hung\n{attempt.said}"
            if killed and folder.result is None:
                row.cases += 1
                pending += 1
                reach *= 1.1
            elif folder.result is not None:  # one of two may be killed when all is done
                assert killed or set(codes) == {0}, attempt.said
                reach *= 1 if alone else 0.7
                break
            else:
                assert killed, attempt.said
        assert folder.result is not None, attempt.said
        row.recovered += pending
        make_looks(folder)
        judged = judge(folder, reference)
        row.identical += judged.identical
        row.lost += judged.lost


@pytest.mark.faults
def test_one_process(tmp_path: Path, reference: Reference, row: Row, seed: int) -> None:
    row.fault, row.seed = "SIGKILL at random instants, one process", seed
    kills(row, tmp_path, reference, wanted=KILLS // 2, processes=1, one=False)
    assert row.whole


@pytest.mark.faults
@pytest.mark.parametrize("one", [False, True])
def test_two_processes(tmp_path: Path, row: Row, seed: int, one: bool) -> None:
    whom = "one of two processes" if one else "both of two processes"
    row.fault, row.seed = f"SIGKILL at random instants, {whom}", seed
    whole = undisturbed(tmp_path / "whole", processes=2)
    kills(row, tmp_path, whole, wanted=KILLS // 4, processes=2, one=one)
    assert row.whole


def test_a_few(tmp_path: Path, reference: Reference, row: Row) -> None:
    row.seed = 1
    kills(row, tmp_path, reference, wanted=QUICK, processes=1, one=False)
    assert row.whole


@pytest.mark.parametrize("processes", [3, 4, pytest.param(8, marks=pytest.mark.faults)])
def test_one_of_several(tmp_path: Path, row: Row, processes: int) -> None:
    """From three on a sum's bits depend on its order, which no attempt may choose anew."""
    row.fault, row.cases, row.runs = f"SIGKILL of one of {processes} processes", 1, 1
    text = shared(processes)
    whole = undisturbed(tmp_path / "whole", processes=processes, text=text)
    folder = make(tmp_path / "killed", text)
    attempt = RunningAttempt(folder, processes=processes)
    assert attempt.until(lambda: len(journal.read(folder)) >= RECORDS), attempt.said
    assert attempt.kill(processes - 1)
    assert None not in attempt.end(), attempt.said
    assert folder.result is None, "it was over before"
    last = RunningAttempt(folder, processes=processes)
    assert set(last.end()) == {0}, last.said
    row.recovered += len(folder.attempts()) == 2
    judged = judge(folder, whole)
    row.identical += judged.identical
    row.lost += judged.lost
    assert row.whole
