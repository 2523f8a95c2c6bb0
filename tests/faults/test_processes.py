"""Two attempts of one run at once: one runs it, the other is told, nothing is written twice."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest

from faults.attempts import Reference, RunningAttempt, judge, make
from faults.conftest import KILLS, QUICK
from faults.table import Row
from harness.errors import Busy

pytestmark = pytest.mark.faults
CASES = max(QUICK, KILLS // 20)


def test_two_at_once(tmp_path: Path, reference: Reference, row: Row, seed: int) -> None:
    row.fault, row.seed = "two processes are started on one run", seed
    draw = random.Random(seed)
    for number in range(CASES):
        folder = make(tmp_path / f"{number}")
        row.cases, row.runs = row.cases + 1, row.runs + 1
        first = RunningAttempt(folder, said=tmp_path / f"{number}-first.txt")
        lines = draw.choice((0, draw.randrange(1, len(reference.records) // 2)))
        journal = folder.path / "attempts/0001/metrics.jsonl"
        assert first.until(partial(_written, journal, lines)), first.said
        second = RunningAttempt(folder, said=tmp_path / f"{number}-second.txt")
        codes = [*first.end(), *second.end()]
        told = sorted(str(code) for code in codes) == ["0", str(Busy.exit_code)]
        refused = second if codes[0] == 0 else first
        told = told and refused.tells(str(folder.path))
        row.recovered += told
        judged = judge(folder, reference)
        row.identical += judged.identical
        row.lost += judged.lost
    assert row.whole


def _written(journal: Path, lines: int) -> bool:
    return lines == 0 or (journal.exists() and journal.read_bytes().count(b"\n") >= lines)
