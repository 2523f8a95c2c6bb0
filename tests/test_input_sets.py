"""Inputs of data sets that have a name: their files and the lists of their images are compared."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness import input_notes
from harness.input_notes import Note
from harness.inputs import Inputs
from harness.recipe.schema import Data
from harness.store.layout import StageFolder
from harness.store.ledger import Entry
from harness.store.stale import why_changed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def recorded(root: Path, runs: Path, data: Data) -> Entry:
    """A result of the data as they are now."""
    result: dict[str, Any] = {"inputs": {"data": Inputs(root, runs).data(data)}}
    return Entry(StageFolder(runs / "x"), "finished", result=result)


def pets(root: Path) -> Path:
    place = root / "oxford-iiit-pet"
    for name in ("images/a.jpg", "annotations/trainval.txt", "annotations/test.txt"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"a 1 1 1")
    return place


def test_a_downloaded_set(root: Path, runs: Path) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (folder / name).write_bytes(b"1234")
    entry = recorded(root, runs, Data(name="cifar10", size=32))
    (folder / "readme.html").write_bytes(b"x")
    os.utime(folder / "test_batch")
    assert why_changed(entry, Inputs(root, runs)) == ""
    (folder / "test_batch").write_bytes(b"12345")
    then = (entry.result or {})["inputs"]["data"]["fingerprint"]
    assert then in why_changed(entry, Inputs(root, runs))
    shutil.rmtree(folder)
    assert why_changed(entry, Inputs(root, runs)) == ""


def test_generated_images_are_the_codes(root: Path, runs: Path) -> None:
    assert Inputs(root, runs).data(Data(name="embedded", size=16)) is None


def test_a_published_sets_lists_are_inputs_too(
    root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_notes, "SETTLED_NS", 0)
    place = pets(root)
    entry = recorded(root, runs, Data(name="pets", size=16))
    assert why_changed(entry, Inputs(root, runs)) == ""
    (place / "annotations/test.txt").write_bytes(b"a 2 1 1")
    assert "lists" in why_changed(entry, Inputs(root, runs))
    (place / "annotations/test.txt").write_bytes(b"a 1 1 1")
    (place / "images/b.jpg").write_bytes(b"1")
    assert "names and sizes" in why_changed(entry, Inputs(root, runs))


def test_a_list_that_is_a_pipe_is_not_waited_for(root: Path, runs: Path) -> None:
    place = pets(root)
    (place / "annotations/test.txt").unlink()
    os.mkfifo(place / "annotations/test.txt")
    with pytest.raises(OSError, match="not a regular file"):
        list(Note(runs, place).sums(place, ["annotations/test.txt"]))
