from __future__ import annotations

import json
from typing import Any

import pytest

from harness.store import latest
from harness.store.latest import Latest
from harness.store.layout import StageFolder

WANTED = ("train/loss", "knn/top1")


def write(folder: StageFolder, number: int, records: list[dict[str, Any]], rest: str = "") -> None:
    """Append to an attempt's journal."""
    path = folder.path / "attempts" / f"{number:04d}"
    path.mkdir(exist_ok=True)
    with (path / "metrics.jsonl").open("a") as file:
        file.write("".join(json.dumps(r, separators=(",", ":")) + "\n" for r in records) + rest)


def steps(first: int, last: int, t: float = 0.0) -> list[dict[str, Any]]:
    """Two steps a second, ten an epoch."""
    return [
        {"step": n, "epoch": n / 10, "t": t + n / 2, "train/loss": 1 / n}
        for n in range(first, last + 1)
    ]


def test_nothing_yet(folder: StageFolder) -> None:
    reader = Latest(folder, WANTED)
    assert reader.read() == latest.Figures()
    write(folder, 1, [])
    assert reader.read() == latest.Figures()
    write(folder, 1, steps(1, 3))
    assert reader.read().step == 3, "what comes after is read"


def test_the_newest_of_each(folder: StageFolder) -> None:
    write(folder, 1, [*steps(1, 40), {"step": 40, "epoch": 4.0, "t": 20.0, "knn/top1": 33.0}])
    write(folder, 1, steps(41, 57))
    found = Latest(folder, WANTED).read()
    assert (found.step, found.epoch) == (57, 5.7)
    assert found.values == {"train/loss": pytest.approx(1 / 57), "knn/top1": 33.0}
    assert found.rate == pytest.approx(2.0)


@pytest.mark.parametrize("block", [128, 300, 1 << 18])
def test_far_back(folder: StageFolder, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(latest, "BLOCK", block)
    write(folder, 1, [{"step": 1, "epoch": 0.1, "knn/top1": 9.0}, *steps(2, 5)])
    write(folder, 1, [{"step": 5, "epoch": 0.5, "t": 2.5, "knn/top1": 33.0}])
    write(folder, 1, steps(6, 80))
    found = Latest(folder, WANTED).read()
    assert (found.step, found.values["knn/top1"]) == (80, 33.0)


def test_an_earlier_attempts_value_counts_unless_it_was_rewound(folder: StageFolder) -> None:
    write(folder, 1, [*steps(1, 40), {"step": 40, "epoch": 4.0, "t": 1.0, "knn/top1": 33.0}])
    write(folder, 2, steps(41, 45))
    assert Latest(folder, WANTED).read().values["knn/top1"] == 33.0
    write(folder, 3, steps(20, 25))
    found = Latest(folder, WANTED).read()
    assert (found.step, found.values.get("knn/top1")) == (25, None)


def test_it_reads_on(folder: StageFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 1, steps(1, 10))
    reader = Latest(folder, WANTED)
    reader.read()
    read: list[int] = []
    real = latest._read

    def counted(*words: Any) -> bytes:
        data = real(*words)
        read.append(len(data))
        return data

    monkeypatch.setattr(latest, "_read", counted)
    write(folder, 1, steps(11, 12))
    assert reader.read().step == 12
    assert sum(read) < 150
    write(folder, 2, steps(5, 6))
    assert reader.read().step == 6, "a new attempt begins where its checkpoint was"
    assert reader.read().rate == pytest.approx(2.0)


def test_a_line_that_is_being_written(folder: StageFolder) -> None:
    write(folder, 1, steps(1, 3), rest='{"step":4,"train')
    reader = Latest(folder, WANTED)
    assert reader.read().step == 3
    write(folder, 1, [], rest='/loss":0.5}\n')
    found = reader.read()
    assert (found.step, found.values["train/loss"]) == (4, 0.5)


def test_an_impossible_accuracy_is_not_shown(folder: StageFolder) -> None:
    write(folder, 1, [{"step": 1, "knn/top1": 40.0}, {"step": 2, "train/loss": 3.0}])
    for value in (170.0, -1.0, float("nan")):
        write(folder, 1, [{"step": 3, "knn/top1": value, "train/loss": 2.0}])
        for wanted in ((), ("knn/top1",)):
            figures = Latest(folder, wanted).read()
            assert figures.values == {"knn/top1": 40.0, "train/loss": 2.0}


@pytest.mark.parametrize("text", ["", "\n\n", "{", "null\n", "\x00" * 500, "x" * 5000])
def test_no_content_is_an_error(
    folder: StageFolder, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest, "BLOCK", 100)
    write(folder, 1, [], rest=text)
    assert Latest(folder, WANTED).read() == latest.Figures()


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_stage_that_is_run_anew_begins_anew(folder: StageFolder, attempts: int) -> None:
    for number in range(1, attempts + 1):
        write(folder, number, steps(1, 50))
    reader = Latest(folder, WANTED)
    assert reader.read().step == 50
    folder.set_aside()
    folder.create({"id": folder.id, "kind": "pretrain", "parent": None, "recipe": {}})
    assert reader.read() == latest.Figures()
    write(folder, 1, steps(1, 3))
    found = reader.read()
    assert (found.step, found.values) == (3, {"train/loss": pytest.approx(1 / 3)})


def test_a_block_of_steps_is_written_at_one_moment(folder: StageFolder) -> None:
    block = [{"step": n, "epoch": 0.0, "t": 10.0} for n in range(1, 11)]
    write(folder, 1, block)
    reader = Latest(folder, WANTED)
    assert reader.read().rate is None
    write(folder, 1, [{**record, "step": record["step"] + 10, "t": 15.0} for record in block])
    assert reader.read().rate == pytest.approx(2.0)
