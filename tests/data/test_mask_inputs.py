"""Masks and lists of labels among a result's inputs: what changed since then makes it stale."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data import mask_layouts as layouts

from harness import input_notes, inputs
from harness.data.scene_files import write_voc
from harness.data.segmentation import open_segmentation
from harness.data_roots import joined
from harness.inputs import Inputs
from harness.recipe.finetune import FinetuneTask
from harness.recipe.segmentation import SegmentationTask
from harness.recipe.task import TaskSection
from harness.store.layout import StageFolder
from harness.store.ledger import Entry
from harness.store.stale import why_changed

CONSTANT: dict[str, Any] = {"epochs": 1, "lr": 0.1, "schedule": {"kind": "constant"}}


def segmentation(name: str) -> SegmentationTask:
    said = {"kind": "segmentation", "crop": 16, "masks": {"name": name}, **CONSTANT}
    return SegmentationTask.model_validate(said)


def listing(name: str) -> FinetuneTask:
    said = {"kind": "finetune", "labels_file": name, "labels_sha256": "0" * 8, **CONSTANT}
    return FinetuneTask.model_validate(said)


def write(name: str, root: Path) -> None:
    if name == "cityscapes":
        layouts.cityscapes(root)
    elif name == "voc2007":
        write_voc(root / "VOCdevkit", "train", 2)
        write_voc(root / "VOCdevkit", "test", 1)
    else:
        voc = layouts.voc2012(root)
        layouts.sbd(root, voc, ["b1", "b2"], ["b3"])


NAMES = ("voc2007", "voc2012", "voc2012_aug", "cityscapes")


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_notes, "SETTLED_NS", 0)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def made_from(section: TaskSection, root: Any, runs: Path) -> Callable[[Any], str]:
    """Why a result that is made now is stale, seen with a data root."""
    found = Inputs(root, runs).further(section)
    assert all(found.values())
    entry = Entry(StageFolder(runs / "x"), "finished", result={"inputs": found})
    return lambda seen: why_changed(entry, Inputs(seen, runs))


@pytest.mark.parametrize("name", ["voc2007", "voc2012", "cityscapes"])
def test_the_fingerprint_is_that_of_what_a_stage_opens(
    name: Any, tmp_path: Path, runs: Path
) -> None:
    write(name, tmp_path)
    data = open_segmentation(name, tmp_path)
    said = Inputs(tmp_path, runs).further(segmentation(name))["masks"]
    assert said is not None
    assert said["fingerprint"] == data.fingerprint
    assert said["images"] == len(data.train) + len(data.test)


@pytest.mark.parametrize("name", NAMES)
def test_each_file_that_is_read_counts_and_no_other(
    name: str, tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(name, tmp_path)
    why = made_from(segmentation(name), tmp_path, runs)
    assert why(tmp_path) == ""
    (tmp_path / inputs.MASK_FOLDERS[name][0] / "other.jpg").write_bytes(b"1")  # type: ignore[index]
    assert why(tmp_path) == ""
    pairs = itertools.chain(*inputs.mask_files.pairs_of(name, tmp_path))  # type: ignore[arg-type]
    for path in itertools.chain(*pairs):
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        assert f"of other masks than {name} contains now (contents" in why(tmp_path)
        path.write_bytes(before + b" ")
        assert f"of other masks than {name} contains now (names and sizes" in why(tmp_path)
        path.write_bytes(before)
    assert why(tmp_path) == ""
    monkeypatch.setattr(inputs, "LIGHT", 10)
    path.write_bytes(before[:-1] + b" ")
    assert why(tmp_path) == "", "of many bytes only sizes are compared"


def test_images_that_change_sides_are_other_masks(tmp_path: Path, runs: Path) -> None:
    lists = layouts.voc2012(tmp_path) / "ImageSets" / "Segmentation"
    why = made_from(segmentation("voc2012"), tmp_path, runs)
    train, val = ((lists / f"{split}.txt").read_text().split() for split in ("train", "val"))
    (lists / "train.txt").write_text("\n".join([*train[:-1], val[0]]))
    (lists / "val.txt").write_text("\n".join([*val[1:], train[-1]]))
    assert "names and sizes" in why(tmp_path)


def test_masks_that_moved_are_the_same(tmp_path: Path, runs: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    write("voc2012_aug", one)
    other.mkdir()
    (one / "sbd").rename(other / "sbd")
    why = made_from(segmentation("voc2012_aug"), joined([one, other]), runs)
    assert why(None) == "", "where they were read"
    assert why(tmp_path) == ""
    (other / "sbd").rename(one / "sbd")
    assert why(one) == ""
    (one / "sbd/dataset/cls/b1.mat").write_bytes(b"1")
    assert why(one) != ""
    shutil.rmtree(one)
    assert why(one) == "", "not on this machine"


def test_scenes_are_the_codes(tmp_path: Path, runs: Path) -> None:
    assert Inputs(tmp_path, runs).further(segmentation("scenes")) == {"masks": None}


def test_too_many_files_for_the_time_are_told(tmp_path: Path, runs: Path) -> None:
    write("voc2012", tmp_path)
    section = segmentation("voc2012")
    said = Inputs(tmp_path, runs).further(section)["masks"]
    assert said is not None
    late = Inputs(tmp_path, runs, limit_s=-1.0)
    assert late("masks", said) is None
    assert late.unfinished == [f"voc2012 in {tmp_path}"]


def test_a_changed_list_of_labels(tmp_path: Path, runs: Path) -> None:
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists" / "1percent.txt"
    path.write_text("a.png\nb.png\n")
    why = made_from(listing("lists/1percent.txt"), tmp_path, runs)
    assert why(tmp_path) == ""
    path.write_text("a.png\nc.png\n")
    assert "of other labels than lists/1percent.txt contains now (sha256" in why(tmp_path)
    path.unlink()
    assert why(tmp_path) == ""
