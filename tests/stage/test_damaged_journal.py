"""A journal that was damaged between two lives: what a checkpoint lets make again is made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.runtime import checkpoint
from harness.store import journal
from harness.store.attempt import marks
from harness.store.layout import StageFolder

from .tiny import final_state, run, same, write

PRETRAIN = ("pretrain",)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny.yaml; its pre-training in whole/, and one in runs/ that ended after step 7 of 15, with
    checkpoints of steps 6 and 7."""
    folder = tmp_path_factory.mktemp("made")
    recipe, looks = write(folder), iter(range(1000))
    run(recipe, folder / "whole", kinds=PRETRAIN)
    run(recipe, folder / "runs", kinds=PRETRAIN, stopping=lambda: next(looks) >= 6)
    kept = checkpoint.listed(pretraining(folder, "runs").checkpoints)
    assert [step for step, _ in kept] == [7, 6]
    return folder


def pretraining(folder: Path, runs: str) -> StageFolder:
    (found,) = (folder / runs).glob("tiny-s0.pretrain-*")
    return StageFolder(found)


@pytest.fixture
def stopped(made: Path, tmp_path: Path) -> StageFolder:
    """A copy of the one in runs/."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    return pretraining(tmp_path, "runs")


def figures(folder: StageFolder) -> list[dict[str, object]]:
    clock = ("t", "train/images_per_s")
    return [{k: v for k, v in r.items() if k not in clock} for r in journal.read(folder)]


def test_the_state_of_the_journal_is_noted(stopped: StageFolder) -> None:
    folder = stopped
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
def test_a_damaged_note_says_nothing(stopped: StageFolder, text: str) -> None:
    (stopped.path / "attempts/0001/marks.json").write_text(text)
    assert journal.altered(stopped, marks(stopped, 7)) == ""


@pytest.mark.parametrize("damage", ["the last line lost", "the last line changed", "all lost"])
def test_it_goes_on_from_the_checkpoint_before(
    made: Path, stopped: StageFolder, damage: str
) -> None:
    folder, whole = stopped, pretraining(made, "whole")
    path = folder.path / "attempts/0001/metrics.jsonl"
    *before, last = path.read_bytes().splitlines(keepends=True)
    if damage == "all lost":
        path.write_bytes(b"")
    else:
        changed = b"" if "lost" in damage else last.replace(b'"step":7', b'"step":9')
        assert changed != last
        path.write_bytes(b"".join(before) + changed)
    run(made / "tiny.yaml", folder.path.parent, kinds=PRETRAIN)
    assert same(final_state(folder), final_state(whole))
    if damage == "all lost":  # no checkpoint is that old: its steps are not thrown away for it
        assert figures(folder)[0]["step"] == 8
    else:
        assert figures(folder) == figures(whole)
