"""Boxes among a result's inputs: what changed since then makes it stale."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data import box_layouts as layouts

from harness import box_files, input_notes, inputs
from harness.data.detection import open_detection
from harness.inputs import Inputs
from harness.recipe.detection import BOX_FOLDERS, BoxName, DetectionTask
from harness.recipe.svm import SvmLowShotTask, SvmTask
from harness.store.layout import StageFolder
from harness.store.ledger import Entry
from harness.store.stale import why_changed

NAMES: tuple[BoxName, ...] = ("voc2007", "voc0712", "coco2017")


def detection(name: str) -> DetectionTask:
    return DetectionTask.model_validate(
        {
            "kind": "detection",
            "detector": "c4",
            "boxes": {"name": name},
            "shortest": (64,),
            "epochs": 1,
            "lr": 0.1,
            "schedule": {"kind": "constant"},
        }
    )


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_notes, "SETTLED_NS", 0)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def write(name: str, root: Path) -> None:
    if name == "coco2017":
        layouts.coco(root, 2, 2)
        return
    layouts.voc(root, 2007, 2, 2)
    if name == "voc0712":
        layouts.voc(root, 2012, 2)


def made_from(name: str, root: Path, runs: Path) -> Callable[[Any], str]:
    """Why a result that is made now is stale, seen with a data root."""
    found = Inputs(root, runs).further(detection(name))
    assert all(found.values())
    entry = Entry(StageFolder(runs / "x"), "finished", result={"inputs": found})
    return lambda seen: why_changed(entry, Inputs(seen, runs))


@pytest.mark.parametrize("name", NAMES)
def test_each_file_that_is_read_counts(
    name: BoxName, tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(name, tmp_path)
    why = made_from(name, tmp_path, runs)
    assert why(tmp_path) == ""
    (tmp_path / BOX_FOLDERS[name][0] / "other.txt").write_bytes(b"1")
    assert why(tmp_path) == ""
    parts, images = box_files.files_of(name, tmp_path)
    data = open_detection(name, tmp_path)
    assert images == len(data.train) + len(data.test)
    for path in itertools.chain(*parts):
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        assert f"of other boxes than {name} contains now (contents" in why(tmp_path)
        path.write_bytes(before + b" ")
        assert f"of other boxes than {name} contains now (names and sizes" in why(tmp_path)
        path.write_bytes(before)
    assert why(tmp_path) == ""
    monkeypatch.setattr(inputs, "LIGHT", 10)
    path.write_bytes(before[:-1] + b" ")
    assert why(tmp_path) == "", "of many bytes only sizes are compared"


def test_a_new_image_of_coco_makes_it_stale(tmp_path: Path, runs: Path) -> None:
    write("coco2017", tmp_path)
    why = made_from("coco2017", tmp_path, runs)
    (tmp_path / "coco" / "train2017" / "new.jpg").write_bytes(b"1")
    assert "names and sizes" in why(tmp_path)
    assert why(tmp_path / "elsewhere") != "", "where it was read"


@pytest.mark.parametrize(("kind", "name"), [(SvmTask, "svm"), (SvmLowShotTask, "svm_low_shot")])
def test_svms_are_of_the_images_and_annotations_of_voc(
    kind: type[SvmTask | SvmLowShotTask], name: str, tmp_path: Path, runs: Path
) -> None:
    write("voc2007", tmp_path)
    shots = {"shots": (1,)} if kind is SvmLowShotTask else {}
    section = kind.model_validate({"kind": name} | shots)
    found = Inputs(tmp_path, runs).further(section)
    entry = Entry(StageFolder(runs / "x"), "finished", result={"inputs": found})
    assert why_changed(entry, Inputs(tmp_path, runs)) == ""
    for path in itertools.chain(*box_files.files_of("voc2007", tmp_path)[0]):
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        said = why_changed(entry, Inputs(tmp_path, runs))
        assert said.startswith("of other images than voc2007 contains now (contents")
        path.write_bytes(before)
    scenes = kind.model_validate(section.model_dump() | {"images": {"name": "scenes"}})
    assert Inputs(tmp_path, runs).further(scenes) == {"images": None}


def test_scenes_are_the_codes(tmp_path: Path, runs: Path) -> None:
    scenes = DetectionTask.model_validate(
        detection("voc2007").model_dump() | {"boxes": {"name": "scenes"}}
    )
    assert Inputs(tmp_path, runs).further(scenes) == {"boxes": None}
