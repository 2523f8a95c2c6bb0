"""Disks that fill or turn read-only under a run, and come back."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from faults.attempts import Reference, RunningAttempt, judge, make
from faults.conftest import KILLS, QUICK
from faults.table import Row
from harness.errors import StoreError
from harness.store import journal
from harness.store.layout import StageFolder

pytestmark = pytest.mark.faults
CASES = max(QUICK, KILLS // 20)
STORE = StoreError.exit_code
SIZE = 64 << 20


@contextmanager
def disk(place: Path) -> Iterator[None]:
    """A disk of its own; the test is skipped without the right to mount one."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    try:
        subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a tmpfs cannot be mounted here: it takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def reached(folder: StageFolder, step: int) -> bool:
    """Whether the run has recorded the step."""
    last = journal.last(folder)
    return last is not None and last["step"] >= step


def finish(row: Row, folder: StageFolder, reference: Reference, told: bool) -> None:
    """Start it again, with what was wrong put right."""
    attempt = RunningAttempt(folder)
    assert attempt.end() == [0], attempt.said
    row.recovered += told
    judged = judge(folder, reference)
    row.identical += judged.identical
    row.lost += judged.lost


def test_full(tmp_path: Path, reference: Reference, row: Row, seed: int) -> None:
    """The disk fills at a random step, and has room again before the next attempt."""
    row.fault, row.seed = "the disk fills", seed
    draw = random.Random(seed)
    for number in range(CASES):
        place = tmp_path / f"disk{number}"
        with disk(place):
            folder = make(place / "run")
            row.cases, row.runs = row.cases + 1, row.runs + 1
            attempt = RunningAttempt(folder)
            step = draw.randrange(2, 60)
            assert attempt.until(partial(reached, folder, step)), attempt.said
            filler = place / "filler"
            with filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"\0" * (1 << 12))
                except OSError:
                    pass
            codes = attempt.end()
            told = codes == [STORE] and attempt.tells("the disk is full")
            filler.unlink()
            finish(row, folder, reference, told)
    assert row.whole


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))


def test_too_large_a_file(tmp_path: Path, reference: Reference, row: Row) -> None:
    """A limit on the size of files, as quotas of clusters set one: no checkpoint fits."""
    row.fault = "files may not grow as large as a checkpoint (RLIMIT_FSIZE)"
    folder = make(tmp_path / "run")
    row.cases, row.runs = 1, 1
    attempt = RunningAttempt(folder, before=_limit)
    codes = attempt.end()
    finish(row, folder, reference, codes == [STORE])
    assert row.whole


def _obey_modes() -> None:
    """Root, too, may then write only where the modes allow it (without CAP_DAC_OVERRIDE)."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        sets = (ctypes.c_uint32 * 6)()
        if libc.capget(header, sets):
            raise OSError(ctypes.get_errno(), "capget")
        for part in (0, 1, 2):
            sets[part] &= ~0b10  # bit 1 is CAP_DAC_OVERRIDE
        if libc.capset(header, sets):
            raise OSError(ctypes.get_errno(), "capset")


def test_read_only(tmp_path: Path, reference: Reference, row: Row, seed: int) -> None:
    """The run folder turns read-only at a random step, and is writable again for the next."""
    row.fault, row.seed = "the run folder turns read-only", seed
    draw = random.Random(seed)
    for number in range(CASES):
        folder = make(tmp_path / f"{number}")
        row.cases, row.runs = row.cases + 1, row.runs + 1
        attempt = RunningAttempt(folder, before=_obey_modes)
        step = draw.randrange(2, 60)
        assert attempt.until(partial(reached, folder, step)), attempt.said
        every = [folder.path, *(p for p in folder.path.rglob("*") if p.is_dir())]
        for path in every:
            path.chmod(0o555)
        codes = attempt.end()
        told = codes == [STORE] and attempt.tells("it cannot be written")
        for path in every:
            path.chmod(0o755)
        finish(row, folder, reference, told)
    assert row.whole


def test_a_read_only_disk(tmp_path: Path, reference: Reference, row: Row) -> None:
    """An attempt that begins on a disk that is mounted read-only says so and leaves no trace."""
    row.fault = "a run goes on from a disk that is mounted read-only"
    place = tmp_path / "disk"
    with disk(place):
        folder = make(place / "run")
        row.cases, row.runs = 1, 1
        attempt = RunningAttempt(folder)
        assert attempt.until(lambda: reached(folder, 20)), attempt.said
        attempt.kill()
        attempt.end()
        again = ["mount", "-o", "remount,ro", str(place)]
        subprocess.run(again, check=True, capture_output=True)
        before = sorted(place.rglob("*"))
        said = tmp_path / "said.txt"
        attempt = RunningAttempt(folder, said=said)
        codes = attempt.end()
        told = codes == [STORE] and attempt.tells(str(folder.path))
        told = told and sorted(place.rglob("*")) == before
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True, capture_output=True)
        finish(row, folder, reference, told)
    assert row.whole
