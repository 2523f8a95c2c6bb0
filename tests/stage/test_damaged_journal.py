"""A journal that was damaged between two lives: what a checkpoint lets make again is made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.runtime import checkpoint
from harness.store import journal
from harness.store.attempt import marks
from harness.store.layout import StageFolder

from .tiny import final_state, run, same, write


def stopped(recipe: Path, runs: Path) -> StageFolder:
    """A pre-training that ended after step 7 of 15, with checkpoints of steps 6 and 7."""
    looks = iter(range(1000))
    folder = run(recipe, runs, stopping=lambda: next(looks) >= 6)["pretrain"]
    assert [step for step, _ in checkpoint.listed(folder.checkpoints)] == [7, 6]
    return folder


def figures(folder: StageFolder) -> list[dict[str, object]]:
    clock = ("t", "train/images_per_s")
    return [{k: v for k, v in r.items() if k not in clock} for r in journal.read(folder)]


def test_the_state_of_the_journal_is_noted(tmp_path: Path) -> None:
    folder = stopped(write(tmp_path), tmp_path / "runs")
    path = folder.path / "attempts/0001/metrics.jsonl"
    content = path.read_bytes()
    assert marks(folder, 7)["0001"][0] == len(content)
    assert marks(folder, 3) == {}
    assert journal.altered(folder, marks(folder, 7)) == ""
    path.write_bytes(content + b'{"step":8}\n')
    assert journal.altered(folder, marks(folder, 7)) == "", "what comes later was not noted"
    for damaged in (content[:-1], content.replace(b"0", b"1", 1), b""):
        path.write_bytes(damaged)
        assert journal.altered(folder, marks(folder, 7)) == "0001"
    path.unlink()
    assert journal.altered(folder, marks(folder, 7)) == "0001"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"7": 3}', '{"7": {"0001": [1]}}', '{"7": {"x": 1}}']
)
def test_a_damaged_note_says_nothing(tmp_path: Path, text: str) -> None:
    folder = stopped(write(tmp_path), tmp_path / "runs")
    (folder.path / "attempts/0001/marks.json").write_text(text)
    assert journal.altered(folder, marks(folder, 7)) == ""


@pytest.mark.parametrize("damage", ["the last line lost", "the last line changed", "all lost"])
def test_it_goes_on_from_the_checkpoint_before(tmp_path: Path, damage: str) -> None:
    recipe = write(tmp_path)
    whole = run(recipe, tmp_path / "whole")["pretrain"]
    folder = stopped(recipe, tmp_path / "runs")
    path = folder.path / "attempts/0001/metrics.jsonl"
    *before, last = path.read_bytes().splitlines(keepends=True)
    if damage == "all lost":
        path.write_bytes(b"")
    else:
        changed = b"" if "lost" in damage else last.replace(b'"step":7', b'"step":9')
        assert changed != last
        path.write_bytes(b"".join(before) + changed)
    run(recipe, tmp_path / "runs")
    assert same(final_state(folder), final_state(whole))
    if damage == "all lost":  # no checkpoint is that old: its steps are not thrown away for it
        assert figures(folder)[0]["step"] == 8
    else:
        assert figures(folder) == figures(whole)
