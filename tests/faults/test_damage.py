"""Checkpoints and journals that a disk has cut or changed between two attempts of a run."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from faults.attempts import Reference, RunningAttempt, judge, make
from faults.conftest import KILLS, QUICK
from faults.table import Row
from harness.runtime import checkpoint
from harness.store.layout import StageFolder

Harm = Callable[[random.Random, StageFolder], str]
"""Does it, and returns what the next attempt must say of it; "": nothing."""


def cut_checkpoint(draw: random.Random, folder: StageFolder) -> str:
    path = checkpoint.listed(folder.checkpoints)[0][1]
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])
    return f"{path.name}: damaged; "


def flipped_checkpoint(draw: random.Random, folder: StageFolder) -> str:
    path = checkpoint.listed(folder.checkpoints)[0][1]
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return f"{path.name}: damaged; "


def cut_journal(draw: random.Random, folder: StageFolder) -> str:
    path = folder.attempts()[-1] / "metrics.jsonl"
    begin, content = _since_the_older_checkpoint(folder)
    path.write_bytes(content[: draw.randrange(begin, len(content))])
    return ""


def flipped_journal(draw: random.Random, folder: StageFolder) -> str:
    path = folder.attempts()[-1] / "metrics.jsonl"
    begin, content = _since_the_older_checkpoint(folder)
    changed = bytearray(content)
    changed[draw.randrange(begin, len(changed))] ^= 1 << draw.randrange(8)
    path.write_bytes(changed)
    return ""


def _since_the_older_checkpoint(folder: StageFolder) -> tuple[int, bytes]:
    """Where in the newest attempt's journal what the older kept checkpoint covers ends, and all of
    the journal: what lies behind can be made again."""
    content = (folder.attempts()[-1] / "metrics.jsonl").read_bytes()
    step = checkpoint.listed(folder.checkpoints)[-1][0]
    at = content.find(f'{{"step":{step + 1},'.encode())
    return max(0, at), content


HARMS = {
    "the newest checkpoint cut": cut_checkpoint,
    "a bit of the newest checkpoint flipped": flipped_checkpoint,
    "the journal cut, also before the newest checkpoint": cut_journal,
    "a bit of the journal flipped, also before the newest checkpoint": flipped_journal,
}


def _saved_beyond(steps: int, folder: StageFolder) -> bool:
    return any(step > steps for step, _ in checkpoint.listed(folder.checkpoints))


def damage(row: Row, place: Path, reference: Reference, harm: Harm, wanted: int) -> None:
    """Kill a run after its third checkpoint, damage what it left, go on; so many times."""
    draw = random.Random(f"{row.seed} {harm.__name__}")
    for number in range(wanted):
        folder = make(place / f"{number}")
        row.runs += 1
        attempt = RunningAttempt(folder)
        steps = draw.randrange(8, 50)
        assert attempt.until(partial(_saved_beyond, steps, folder)), attempt.said
        attempt.kill()
        attempt.end()
        wanted_words = harm(draw, folder)
        row.cases += 1
        attempt = RunningAttempt(folder)
        assert attempt.end() == [0], attempt.said
        row.recovered += attempt.tells(wanted_words)
        judged = judge(folder, reference)
        row.identical += judged.identical
        row.lost += judged.lost


@pytest.mark.faults
@pytest.mark.parametrize("fault", HARMS)
def test_damage(tmp_path: Path, reference: Reference, row: Row, seed: int, fault: str) -> None:
    row.fault, row.seed = fault, seed
    damage(row, tmp_path, reference, HARMS[fault], max(QUICK, KILLS // 20))
    assert row.whole


def test_a_journal_that_was_cut_is_made_whole(
    tmp_path: Path, reference: Reference, row: Row
) -> None:
    row.seed = 1
    damage(row, tmp_path, reference, cut_journal, 1)
    assert row.whole
