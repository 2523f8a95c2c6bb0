from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.store import journal
from harness.store.layout import StageFolder


def attempt(folder: StageFolder, number: int) -> Path:
    path = folder.path / "attempts" / f"{number:04d}"
    path.mkdir(parents=True)
    return path


def whole(data: bytes) -> list[dict[str, Any]]:
    """The oracle: the lines that were written to their end, the last one's newline aside."""
    lines = data.split(b"\n")
    return [json.loads(line) for line in lines[:-1] + [x for x in lines[-1:] if x[-1:] == b"}"]]


@st.composite
def lives(draw: st.DrawFn) -> list[bytes]:
    """What the attempts of one stage leave: each goes on after a step that is on disk (from an
    older checkpoint, perhaps), and is killed at any byte."""
    left: list[bytes] = []
    reached = 0
    for number in range(draw(st.integers(1, 5))):
        begun = draw(st.integers(0, reached))
        steps = range(begun + 1, begun + 1 + draw(st.integers(0, 8)))
        text = "".join(
            json.dumps({"step": step, "t": 1.5 * number, "train/loss": [number, step]}) + "\n"
            for step in steps
        ).encode()
        text = text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text
        left.append(text)
        if whole(text):
            reached = whole(text)[-1]["step"]
    return left


@given(lives())
def test_each_step_once_and_the_newest_wins(left: list[bytes]) -> None:
    expected: dict[int, Any] = {}
    with tempfile.TemporaryDirectory() as root:
        folder = StageFolder(Path(root))
        for number, data in enumerate(left, 1):
            (attempt(folder, number) / "metrics.jsonl").write_bytes(data)
            records = whole(data)
            if records:  # what an abandoned life did beyond this point did not happen
                expected = {s: r for s, r in expected.items() if s < records[0]["step"]}
                expected |= {record["step"]: record for record in records}
        found = journal.read(folder)
    assert [record["step"] for record in found] == list(range(1, len(expected) + 1))
    assert found == [expected[step] for step in sorted(expected)]


def test_two_records_of_one_step_stay_together(folder: StageFolder) -> None:
    train = [{"step": step, "train/loss": 0.5} for step in (1, 2)]
    knn = {"step": 2, "knn/top1": 50.0}
    last = {"step": 3, "train/loss": 9}
    attempts: list[list[journal.Record]] = [[*train, knn, last], []]
    for number, records in enumerate(attempts, 1):
        writer = journal.Writer(attempt(folder, number) / "metrics.jsonl")
        writer.append(records)
        writer.close()
    assert journal.read(folder) == attempts[0]
    writer = journal.Writer(attempt(folder, 3) / "metrics.jsonl")
    writer.append([{"step": 3, "train/loss": 0.4}])
    assert journal.read(folder) == [*train, knn, {"step": 3, "train/loss": 0.4}]
    writer.close()


def test_a_diverged_loss_comes_back_as_it_was(folder: StageFolder) -> None:
    path = folder.path / "metrics.jsonl"
    writer = journal.Writer(path)
    writer.append([{"step": 1, "a": math.nan, "b": math.inf, "c": -math.inf}])
    writer.close()
    (record,) = journal.read_file(path)
    assert math.isnan(record["a"])
    assert (record["b"], record["c"]) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b'{"step": 1', b"[]", b"3", b"null", b'{"step": "1"}', b'{"step": 1.5}', b"{}",
     b"\x00" * 40, b"\xff\xfe{}", b"[" * 100_000, b"9" * 5000],
)  # fmt: skip
def test_what_is_no_record_is_left_out(line: bytes) -> None:
    assert journal.parse(line) is None


@given(st.binary(max_size=200))
def test_no_bytes_are_an_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "metrics.jsonl"
        path.write_bytes(b'{"step":1}\n' + data + b'\n{"step":2}\n')
        steps = [record["step"] for record in journal.read_file(path)]
    assert (steps[0], steps[-1]) == (1, 2)


def test_an_absent_file_is_empty_and_an_unreadable_one_named(tmp_path: Path) -> None:
    assert journal.read_file(tmp_path / "none") == []
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(StoreError, match=r"metrics\.jsonl"):
        journal.read_file(tmp_path / "metrics.jsonl")


def test_a_block_is_one_call_and_a_short_write_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = journal.Writer(tmp_path / "metrics.jsonl")
    calls = []
    write = os.write

    def short(fd: int, data: bytes) -> int:
        calls.append(len(data))
        return write(fd, data[: 7 if len(calls) > 1 else None])

    monkeypatch.setattr(os, "write", short)
    records = [{"step": step, "train/loss": 0.25} for step in range(9)]
    writer.append(records)
    assert len(calls) == 1
    writer.append(records)
    monkeypatch.undo()
    writer.close()
    assert journal.read_file(tmp_path / "metrics.jsonl") == records * 2


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_is_told(tmp_path: Path, breaks: Any, call: str) -> None:
    writer = journal.Writer(tmp_path / "metrics.jsonl")
    breaks(call)

    def work() -> None:
        writer.append([{"step": 1}])
        writer.sync()

    with pytest.raises(StoreError, match="the disk is full"):
        work()


def test_a_disk_that_fills_tears_one_line(mount: Any) -> None:
    path = mount("size=64k") / "metrics.jsonl"
    writer = journal.Writer(path)
    step = 0

    def fill() -> None:
        nonlocal step
        while True:
            writer.append([{"step": step + n, "note": "x" * 100} for n in range(100)])
            step += 100

    with pytest.raises(StoreError, match="the disk is full"):
        fill()
    writer.close()
    assert step >= 300
    steps = [record["step"] for record in journal.read_file(path)]
    assert steps == list(range(len(steps)))
    assert step <= len(steps) < step + 100


def test_no_place_for_a_journal(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        journal.Writer(tmp_path / "none" / "metrics.jsonl")


def test_series() -> None:
    records: list[journal.Record] = [
        {"step": 1, "epoch": 0.5, "a": 2.0},
        {"step": 2, "b": 1},
        {"step": 3, "a": 4},
    ]
    assert journal.series(records, "a") == [(1, 0.5, 2.0), (3, 0.0, 4)]


def test_the_last_record_is_read_from_the_end(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path)
    assert journal.last(folder) is None
    for number, text in (
        ("0001", '{"step":1}\n{"step":2}\n' + '{"step":3,"x":"' + "y" * 99),
        ("0002", ""),
    ):
        attempt = tmp_path / "attempts" / number
        attempt.mkdir(parents=True)
        (attempt / "metrics.jsonl").write_text(text)
    assert journal.last(folder) == {"step": 2}
    long = "".join(json.dumps({"step": n, "x": "y" * 50}) + "\n" for n in range(2000))
    (tmp_path / "attempts" / "0002" / "metrics.jsonl").write_text(long)
    last = journal.last(folder)
    assert last is not None
    assert last["step"] == 1999


@pytest.mark.parametrize(
    "lines",
    [
        [b'{"step":1}', b"", b'{"step":2}'],
        [b'{"step":1}', b'{"step":2,"x', b'{"step":3}'],
        [b'{"step":1', b'"x":2}'],  # whole only if joined
        [b'{"step":1},{"step":2}', b'{"step":3', b'"x":1}'],  # as many by chance
        [b"3", b'{"step":1}'],
        [b'{"step":1,"x":NaN}'],
        [b"\xff\xfe", b'{"step":1}'],
        [],
    ],
)
def test_many_lines_are_read_as_each_alone(lines: list[bytes]) -> None:
    alone = [record for line in lines if (record := journal.parse(line)) is not None]
    assert repr(journal.parse_all(lines)) == repr(alone)
