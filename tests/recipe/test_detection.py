"""The sections of detection and instance segmentation: what cannot be, and who shares a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import RecipeError
from harness.recipe.detection import BOX_FOLDERS, Boxes, BoxName, DetectionTask, InstanceTask
from harness.recipe.load import load_recipe

RECIPE = """\
name: x
data: {name: embedded, size: 32}
augment: {}
model: {backbone: BACKBONE, bn_group: 32}
contrast: {kind: moco, queue: 4096, momentum: 0.99, temperature: 0.1}
optim: {epochs: 10, batch: 256, lr: 0.06, schedule: {kind: cosine}}
tasks:
  det: {KIND, steps: 6, lr: 0.02, schedule: {kind: constant}}
"""
BOXES = "kind: detection, detector: small, boxes: {name: scenes}"
MASKS = "kind: instances, detector: mask_fpn, boxes: {name: scenes}"
COMMON: dict[str, Any] = {"steps": 1, "lr": 0.1, "schedule": {"kind": "constant"}}


def load(folder: Path, kind: str, backbone: str = "resnet18") -> DetectionTask:
    path = folder / "x.yaml"
    path.write_text(RECIPE.replace("KIND", kind).replace("BACKBONE", backbone))
    found = load_recipe(path).tasks["det"]
    assert isinstance(found, DetectionTask)
    return found


@pytest.mark.parametrize("name", BOX_FOLDERS)
def test_only_scenes_have_a_size_and_a_number_of_test_images(name: BoxName) -> None:
    wrong = [
        field
        for field, _ in Boxes(name=name, size=48, tested=9).complaints("tasks.det.boxes", 16, 150)
    ]
    fields = ["tasks.det.boxes.tested", "tasks.det.boxes.size"]
    assert wrong == ([] if name == "scenes" else fields)
    assert list(Boxes(name=name, images=9).complaints("tasks.det.boxes", 9, 150)) == []


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (f"{BOXES}, data: {{name: embedded, size: 32}}", "data"),
        (f"{BOXES}, batch: 3", "batch"),
        (f"{BOXES}, batch: 4, pad_group: 3", "batch"),
        (f"{BOXES}, shortest: []", "shortest"),
        (f"{BOXES}, precision: bf16", "precision"),
        (f"{BOXES}, shortest: [32, 64], longest: 63", "longest"),
        (f"{BOXES}, shortest: [1344]", "shortest"),
        (f"{BOXES}, shortest: [64], tested_at: 1344", "tested_at"),
        (f"{BOXES}, shortest: [64], tested_at: 96, longest: 95", "longest"),
        (f"{BOXES}, longest: 47", "longest"),
        (BOXES.replace("scenes", "scenes, images: 15"), "batch"),
        (f"{BOXES}, batch: 152", "batch"),
        (f"{MASKS}, batch: 152", "batch"),
        (BOXES.replace("scenes", "voc2007"), "shortest"),
        (BOXES.replace("scenes", "voc2007, size: 48"), "boxes.size"),
        (BOXES.replace("small", "mask_fpn"), "detector"),
        (f"{MASKS.replace('scenes', 'voc0712')}, shortest: [480]", "boxes.name"),
        (MASKS.replace("mask_fpn", "small"), "detector"),
        (BOXES.replace("boxes: {name: scenes}", "flip_p: 0.5"), "boxes"),
    ],
)
def test_impossible_fields_are_refused(tmp_path: Path, kind: str, field: str) -> None:
    with pytest.raises(RecipeError, match=rf"tasks\.det\.{field}: "):
        load(tmp_path, kind)


def test_a_longer_side_below_the_shorter_one_is_refused_at_its_line(tmp_path: Path) -> None:
    spread = BOXES.replace(", ", ",\n    ") + ",\n    shortest: [32, 64],\n    longest: 63"
    with pytest.raises(RecipeError, match=r"x\.yaml:12: tasks\.det\.longest: "):
        load(tmp_path, spread)
    assert load(tmp_path, spread.replace("63", "64")).longest == 64


@pytest.mark.parametrize("size", [24, 48, 181])
def test_scenes_are_as_long_as_they_are_short(tmp_path: Path, size: int) -> None:
    sized = BOXES.replace("scenes", f"scenes, size: {size}, images: 16")
    assert load(tmp_path, f"{sized}, longest: {size}").batch == 16
    with pytest.raises(RecipeError, match=r"tasks\.det\.longest: "):
        load(tmp_path, f"{sized}, longest: {size - 1}")


def test_a_backbone_of_three_stages_carries_the_small_detector_only(tmp_path: Path) -> None:
    assert load(tmp_path, BOXES, "miniature").detector == "small"
    for kind in (BOXES.replace("small", "c4"), MASKS):
        assert load(tmp_path, kind)
        with pytest.raises(RecipeError, match=r"tasks\.det\.detector: "):
            load(tmp_path, kind, "miniature")


def test_processes_share_whole_pad_groups() -> None:
    task = DetectionTask.model_validate(
        {"kind": "detection", "detector": "c4", "boxes": {"name": "scenes"}, "batch": 12, **COMMON}
    )
    for processes in range(1, 13):
        said = task.unshareable(processes)
        assert bool(said) == (processes not in (1, 2, 3, 6))
        assert not said or "1, 2, 3, 6" in said


def test_masks_and_coco_are_evaluated_as_coco_is() -> None:
    def boxes(name: str) -> DetectionTask:
        said = {"kind": "detection", "detector": "c4", "boxes": {"name": name}}
        return DetectionTask.model_validate({**said, "shortest": (480,), **COMMON})

    masks = InstanceTask.model_validate(
        {"kind": "instances", "detector": "mask_c4", "boxes": {"name": "scenes"}, **COMMON}
    )
    assert masks.is_evaluated_as_coco
    assert boxes("coco2017").is_evaluated_as_coco
    for name in ("scenes", "voc2007", "voc0712"):
        assert not boxes(name).is_evaluated_as_coco
