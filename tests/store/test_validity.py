"""What a valid result is: its own stage's, possible, and what its journal says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.store import journal
from harness.store.attempt import begin
from harness.store.layout import StageFolder
from harness.store.ledger import everything, read_entry
from harness.store.version import STAGE

PER_EPOCH, EPOCHS = 10, 6

Record = dict[str, Any]


def records(finetune: str = "finetune") -> list[Record]:
    """Of a task that no version has: a loss at each step, an accuracy and an error an epoch."""
    found: list[Record] = []
    for step in range(1, PER_EPOCH * EPOCHS + 1):
        at = {"step": step, "epoch": round(step / PER_EPOCH, 4), "t": 1e9 + step}
        found.append(at | {f"{finetune}/loss": 5 - step / 17})
        if step % PER_EPOCH == 0:
            epoch = step // PER_EPOCH
            found.append(at | {f"{finetune}/top1": 50.0 - (epoch - 4) ** 2, "segment/miou": 0.3})
    return found


def result_of(found: list[Record]) -> dict[str, Any]:
    losses = [r["finetune/loss"] for r in found if "finetune/loss" in r][-PER_EPOCH:]
    values = {"finetune/loss": sum(losses) / PER_EPOCH}
    values |= {name: found[-1][name] for name in ("finetune/top1", "segment/miou")}
    return {"state": "finished", "step": found[-1]["step"], "values": values, "message": ""}


def finish(folder: StageFolder, *, sealed: bool = True, state: str = "finished") -> Path:
    """Run the task to its end; returns its journal."""
    folder.create({"schema": STAGE} | (folder.described or {}))
    attempt = begin(folder)
    attempt.record(records())
    attempt.finish(result_of(records()) | {"state": state} | (attempt.seal() if sealed else {}))
    attempt.end(state)
    return attempt.path / "metrics.jsonl"


def change(folder: StageFolder, **values: Any) -> None:
    path = folder.path / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def states(folder: StageFolder) -> list[tuple[str, str]]:
    """What each way of looking says of the stage."""
    (found,) = everything(folder.path.parent)
    return [(entry.state, entry.detail) for entry in (read_entry(folder), found)]


def assert_damaged(folder: StageFolder, *words: object) -> None:
    for state, why in states(folder):
        assert state == "damaged"
        for word in words:
            assert str(word) in why, why


@pytest.mark.parametrize("sealed", [True, False])
def test_what_was_run_is_valid(folder: StageFolder, sealed: bool) -> None:
    finish(folder, sealed=sealed)
    assert states(folder) == [("finished", "")] * 2


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("finetune/top1", 91.2),
        ("finetune/top1", 50.0),  # the best, not the last
        ("finetune/loss", 5 - 60 / 17),  # the last, not the last epoch's mean
        ("finetune/loss", 0.1),
        ("segment/miou", 0.31),
    ],
)
def test_a_value_that_the_journal_contradicts_is_named_with_both(
    folder: StageFolder, sealed: bool, name: str, value: float
) -> None:
    finish(folder, sealed=sealed)
    values = result_of(records())["values"]
    change(folder, values=values | {name: value})
    assert_damaged(folder, folder.path / "result.json", name, value, str(values[name])[:10])


def test_a_step_and_a_median_that_the_journal_contradicts(folder: StageFolder) -> None:
    attempt = begin(folder)
    found = records()
    for record, speed in zip(found, (10.0, 30.0, 20.0), strict=False):
        record["train/images_per_s"] = speed
    attempt.record(found)
    whole = result_of(found) | {"attempt": 1, "images_per_s": 20.0} | attempt.seal()
    attempt.finish(whole)
    attempt.end("finished")
    assert read_entry(folder).state == "finished"
    for value in (31.5, 900):
        change(folder, images_per_s=value)
        assert_damaged(folder, "images_per_s", value, "10 to 30")
    change(folder, images_per_s=20.0, step=61)
    assert_damaged(folder, "step", 61, 60)


MADE: dict[str, Any] = {
    "edition": "123456789abc",
    "processes": 2,
    "data": {"name": "cifar10", "fingerprint": "0123456789ab", "train": 50_000, "classes": 10},
    "inputs": {"data": {"name": "cifar10", "fingerprint": "ba9876543210"}},
}


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("device", {"device": "H100"}),
        ("processes", {"processes": 8}),
        ("data.classes", {"data": MADE["data"] | {"classes": 100}}),
        ("data.train", {"data": MADE["data"] | {"train": 99}}),
        ("inputs.data.fingerprint", {"inputs": {"data": {"fingerprint": "000000000000"}}}),
        ("edition", {"edition": "cba987654321"}),
    ],
)
def test_what_the_attempt_noted_otherwise_is_named(
    folder: StageFolder, name: str, other: dict[str, Any]
) -> None:
    folder.create({"schema": STAGE})
    attempt = begin(folder)
    attempt.describe(MADE | {"machine": {"device": "cpu"}})
    attempt.record(records())
    whole = result_of(records()) | MADE | {"device": "cpu", "attempt": 1} | attempt.seal()
    attempt.finish(whole | {"edition": f"000000000000+{MADE['edition']}"})
    attempt.end("finished")
    assert states(folder) == [("finished", "")] * 2
    change(folder, **other)
    assert_damaged(folder, folder.path / "result.json", f"{name} is")


def test_an_epoch_that_is_cut_short_has_two_monitors_and_the_last_counts(
    folder: StageFolder,
) -> None:
    found = [r for r in records() if r["step"] <= 53]
    found.append({"step": 53, "epoch": 5.3, "finetune/top1": 41.0, "segment/miou": 0.2})
    attempt = begin(folder)
    attempt.record(found)
    attempt.finish(result_of(found) | attempt.seal())
    attempt.end("finished")
    assert read_entry(folder).state == "finished"
    change(folder, values=result_of(found)["values"] | {"finetune/top1": 45.0})  # their mean
    assert_damaged(folder, "finetune/top1", 45.0, 41.0)


def line(path: Path, step: int) -> tuple[list[str], int]:
    """The journal's lines, and which one is the step's."""
    lines = path.read_text().splitlines(keepends=True)
    return lines, next(n for n, text in enumerate(lines) if f'"step":{step},' in text)


def repeat(lines: list[str], n: int) -> list[str]:
    return [*lines[: n + 1], *lines[n:]]


def drop(lines: list[str], n: int) -> list[str]:
    return [*lines[:n], *lines[n + 1 :]]


def swap(lines: list[str], n: int) -> list[str]:
    return [*lines[:n], lines[n + 1], lines[n], *lines[n + 2 :]]


def change_loss(lines: list[str], n: int) -> list[str]:
    record = json.loads(lines[n])
    return [*lines[:n], json.dumps(record | {"finetune/loss": 4.5}) + "\n", *lines[n + 1 :]]


def impossible(value: object) -> Callable[[list[str], int], list[str]]:
    def put(lines: list[str], _: int) -> list[str]:
        n = next(n for n, text in enumerate(lines) if "top1" in text)
        record = json.loads(lines[n]) | {"finetune/top1": value}
        return [*lines[:n], json.dumps(record) + "\n", *lines[n + 1 :]]

    return put


EDITS = {
    "repeated": (repeat, "step 23 occurs twice"),
    "dropped": (drop, "no line between steps 22 and 24"),
    "swapped": (swap, "step 23 comes after step 24"),
    "170": (impossible(170), "170"),
    "-3": (impossible(-3), "-3"),
    "NaN": (impossible(float("nan")), "NaN"),
    "text": (impossible("high"), "high"),
}


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_journal_is_named_with_what_is_wrong(
    folder: StageFolder, edit: str, sealed: bool
) -> None:
    path = finish(folder, sealed=sealed)
    how, says = EDITS[edit]
    path.write_text("".join(how(*line(path, 23))))
    assert_damaged(folder, path, says)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def more(path: Path) -> None:
    path.write_text(path.read_text() + '{"step":61,"finetune/top1":99.0}\n')


def one_loss(path: Path) -> None:
    path.write_text("".join(change_loss(*line(path, 23))))


def another_attempt(path: Path) -> None:
    later = path.parent.with_name("0002")
    later.mkdir()
    (later / path.name).write_text('{"step":60,"finetune/top1":46.0,"segment/miou":0.3}\n')


@pytest.mark.parametrize("edit", [cut, more, one_loss, another_attempt, Path.unlink])
def test_checksums_find_any_change(folder: StageFolder, edit: Callable[[Path], None]) -> None:
    path = finish(folder)
    edit(path)
    assert_damaged(folder, "metrics.jsonl")


def test_the_last_checkpoints_checksum_is_used_where_there_is_no_other(
    folder: StageFolder,
) -> None:
    attempt = begin(folder)
    attempt.record(records())
    attempt.mark(PER_EPOCH * EPOCHS, attempt.journal.mark)
    attempt.finish(result_of(records()))
    attempt.end("finished")
    assert read_entry(folder).state == "finished"
    one_loss(attempt.path / "metrics.jsonl")
    assert_damaged(folder, attempt.path / "metrics.jsonl")


def test_a_resumed_stage_is_valid_as_it_ended(folder: StageFolder) -> None:
    found = records()
    first = begin(folder)
    first.record(found[:30])
    first.journal.append([])
    with (first.path / "metrics.jsonl").open("a") as file:
        file.write('{"step":28,"epo')  # torn by a kill
    first.end("interrupted")
    second = begin(folder)
    second.record([r for r in found if r["step"] > 20])
    second.finish(result_of(found) | second.seal())
    second.end("finished")
    assert states(folder) == [("finished", "")] * 2
    cut(first.path / "metrics.jsonl")
    assert_damaged(folder, "0001/metrics.jsonl")


def test_a_diverged_run_ends_with_what_is_no_number(folder: StageFolder) -> None:
    for sealed in (True, False):
        attempt = begin(folder)
        bad = {"step": 24, "epoch": 2.4, "finetune/loss": float("nan")}
        attempt.record([*(r for r in records() if r["step"] < 24), bad])
        end = {"state": "diverged", "step": 24, "values": {}, "message": "nan"}
        attempt.finish(end | (attempt.seal() if sealed else {}))
        attempt.end("diverged")
        assert read_entry(folder).state == "diverged"
        (folder.path / "result.json").unlink()


def test_an_older_record_whose_journal_is_short_or_gone_is_unknown(folder: StageFolder) -> None:
    path = finish(folder, sealed=False)
    cut(path)
    assert read_entry(folder).state == "finished"
    path.unlink()
    assert read_entry(folder).state == "finished"


def test_blocks_of_published_records_are_compared_as_far_as_they_tell(
    folder: StageFolder,
) -> None:
    """A block that reaches into the last epoch leaves its mean open, not much."""
    path = finish(folder, sealed=False)
    losses = [r for r in records() if "finetune/loss" in r]
    blocks: Iterable[list[Record]] = (losses[n : n + 4] for n in range(0, len(losses), 4))
    thin = [
        {
            "step": block[-1]["step"],
            "steps": len(block),
            "epoch": sum(r["epoch"] for r in block) / len(block),
            "finetune/loss": sum(r["finetune/loss"] for r in block) / len(block),
        }
        for block in blocks
    ]
    kept = [*thin, *(r for r in records() if "finetune/top1" in r)]
    kept.sort(key=lambda r: r["step"])
    path.write_text("".join(json.dumps(r) + "\n" for r in kept))
    assert read_entry(folder).state == "finished"
    values = result_of(records())["values"]
    change(folder, values=values | {"finetune/loss": 2.6})
    assert_damaged(folder, "finetune/loss", 2.6)
    change(folder, values=values)
    path.write_text("".join(json.dumps(r) + "\n" for r in kept if r["step"] != 24))
    assert_damaged(folder, "no line between steps 20 and 25")


@pytest.mark.parametrize("whole", [True, False])
def test_a_copy_of_a_result_names_its_owner(folder: StageFolder, whole: bool) -> None:
    finish(folder)
    other = StageFolder(folder.path.with_name("tiny-s1.pretrain-0123456789"))
    other.create({"id": other.id, "kind": "pretrain", "parent": None, "recipe": {}})
    for path in folder.path.rglob("*") if whole else [folder.path / "result.json"]:
        to = other.path / path.relative_to(folder.path)
        if path.is_dir():
            to.mkdir(exist_ok=True)
        elif path.name != "stage.json":
            to.write_bytes(path.read_bytes())
    assert read_entry(other).state == "damaged"
    assert f'a copy of "{folder.id}"' in read_entry(other).detail
    assert read_entry(folder).state == "finished"


def test_a_copy_of_a_journal_alone_is_named(folder: StageFolder) -> None:
    path = finish(folder)
    found = [r | {"finetune/loss": 4.0} if "finetune/loss" in r else r for r in records()]
    path.write_text("".join(json.dumps(r, separators=(",", ":")) + "\n" for r in found))
    assert_damaged(folder, path, "changed")


@pytest.mark.parametrize("noted", [3, [], {"0001": 3}, {"0001": ["a", 1]}, "x"])
def test_checksums_that_are_none_are_named(folder: StageFolder, noted: Any) -> None:
    finish(folder)
    change(folder, journal=noted)
    assert read_entry(folder).state == "damaged"


def test_a_mark_is_of_the_whole_file(tmp_path: Path) -> None:
    assert journal.mark_of(tmp_path) == (0, 0)
    (tmp_path / "metrics.jsonl").write_bytes(b"abc")
    assert journal.mark_of(tmp_path) == journal.mark(b"abc") == (3, 0x352441C2)


def test_a_value_that_the_journal_does_not_have_is_named(folder: StageFolder) -> None:
    finish(folder)
    values = result_of(records())["values"]
    change(folder, values=values | {"finetune/top1@k20": 60.0})
    assert_damaged(folder, "finetune/top1@k20", 60.0)


def test_values_that_were_taken_out_are_named(folder: StageFolder) -> None:
    finish(folder)
    change(folder, values={})
    assert_damaged(folder, "finetune/top1")


@pytest.mark.parametrize(("was", "said"), [("finished", "diverged"), ("diverged", "finished")])
def test_another_state_than_the_attempt_ended_in_is_named(
    folder: StageFolder, was: str, said: str
) -> None:
    finish(folder, state=was)
    change(folder, attempt=1)
    assert [state for state, _ in states(folder)] == [was] * 2
    change(folder, state=said)
    assert_damaged(folder, was, said)


@pytest.mark.parametrize("place", ["stage.json", "result.json", "attempts/0001/metrics.jsonl"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.write_text("{")])
def test_another_thing_in_place_of_a_file_is_damage_and_nobody_waits_for_it(
    folder: StageFolder, place: str, make: Callable[[Path], None]
) -> None:
    finish(folder)
    path = folder.path / place
    path.unlink()
    make(path)
    assert_damaged(folder, path)
    assert not any("read" in why.replace(str(path), "") for _, why in states(folder))
    if place.endswith(".jsonl") and make is os.mkfifo:
        with pytest.raises(StoreError, match="pipe"):
            journal.read(folder)
        assert journal.last(folder) is None
