"""Whole detectors by the names and shapes that detectron2's own have, with nothing left over."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from harness.errors import RecipeError
from harness.export.detector import TrainedDetector, refuse
from harness.export.detectron2_detector import SETTINGS, detectron2_name, files, settings
from harness.export.to_detectron2 import WEIGHTS
from harness.model.detection.build import detector
from harness.recipe.detection import DetectionTask, InstanceTask
from harness.recipe.schema import Model

BACKBONE = Path(__file__).with_name("detectron2_resnet50.txt")
HEADS = Path(__file__).with_name("detectron2_detectors.txt")
"""Recorded from detectron2 at 02b5c4e: the state of build_model, without counters and without the
blocks and the stem, which are those of BACKBONE behind a prefix. Three classes; Base-RCNN-C4 with
MoCo's Res5ROIHeadsExtraNorm, -DilatedC5 and -FPN, all with NORM BN."""
KINDS = ("c4", "mask_c4", "dc5_detectron2", "fpn", "mask_fpn")
CLASSES = 3


def golden(kind: str) -> dict[str, str]:
    """detectron2's names, and shapes as 64x3x7x7."""
    found = {}
    for line in BACKBONE.read_text().splitlines():
        name, shape = line.split()
        of_head = name.startswith("res5") and kind in ("c4", "mask_c4")
        below = "backbone.bottom_up." if "fpn" in kind else "backbone."
        found[("roi_heads." if of_head else below) + name] = shape
    _, _, own = HEADS.read_text().partition(f"[{kind}]\n")
    return found | dict(line.split() for line in own.partition("[")[0].splitlines())


def section(kind: str, boxes: str = "coco2017", **more: Any) -> DetectionTask:
    masks = kind.startswith("mask")
    said: dict[str, Any] = {
        "kind": "instances" if masks else "detection",
        "detector": kind,
        "boxes": {"name": boxes},
        "steps": 1,
        "lr": 0.1,
        "schedule": {"kind": "constant"},
    }
    if boxes != "scenes":
        said |= {"shortest": (640, 800), "longest": 1000}
    return (InstanceTask if masks else DetectionTask).model_validate(said | more)


def built(kind: str, backbone: str = "resnet50", **more: Any) -> TrainedDetector:
    """Shapes alone."""
    model = Model.model_validate({"backbone": backbone, "bn_group": 2, **more})
    own = section(kind)
    with torch.device("meta"):
        made = detector(own.detector, model, CLASSES, 2)
    return TrainedDetector(model, own, CLASSES, made.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_shapes_are_detectron2s(kind: str) -> None:
    made = built(kind)
    found = {
        detectron2_name(name, made): "x".join(map(str, tensor.shape))
        for name, tensor in made.tensors.items()
        if not name.endswith("num_batches_tracked")
    }
    assert found == golden(kind)


def test_the_file_holds_each_tensor_under_its_name() -> None:
    made = built("mask_fpn", "resnet18")
    generator = torch.Generator().manual_seed(2)
    small = {
        name: torch.randn([min(side, 3) for side in tensor.shape], generator=generator)
        for name, tensor in made.tensors.items()
    }
    content = files(TrainedDetector(made.model, made.section, CLASSES, small))
    found = pickle.loads(content[WEIGHTS])
    assert set(found) == {"model", "__author__"}  # nothing is to be matched by heuristics
    arrays = found["model"]
    kept = {name: x for name, x in small.items() if not name.endswith("num_batches_tracked")}
    assert len(arrays) == len(kept)
    for name, tensor in kept.items():
        assert torch.equal(torch.from_numpy(arrays[detectron2_name(name, made)]), tensor)
    pairs = {
        "roi_heads.box_head.fc2.bias": "head.layers.3.bias",
        "roi_heads.mask_head.mask_fcn4.weight": "mask.6.weight",
        "roi_heads.mask_head.deconv.weight": "mask.8.weight",
        "roi_heads.mask_head.predictor.bias": "mask.10.bias",
        "backbone.fpn_output5.norm.running_var": "neck.output.3.1.running_var",
        "backbone.bottom_up.res3.0.shortcut.norm.weight": "backbone.layer2.0.downsample.1.weight",
        "proposal_generator.rpn_head.anchor_deltas.weight": "rpn.deltas.weight",
    }
    for theirs, ours in pairs.items():
        assert torch.equal(torch.from_numpy(arrays[theirs]), small[ours])
    assert yaml.safe_load(content[SETTINGS]) == settings(made)


@pytest.mark.parametrize("kind", KINDS)
def test_the_settings_that_go_with_it(kind: str) -> None:
    found = settings(built(kind))
    model, inputs = found["MODEL"], found["INPUT"]
    assert model["MASK_ON"] == kind.startswith("mask")
    assert model["ROI_HEADS"]["NUM_CLASSES"] == CLASSES
    assert model["RESNETS"]["NORM"] == "naiveSyncBN"
    assert model["RESNETS"]["STRIDE_IN_1X1"] is False
    assert model["BACKBONE"]["FREEZE_AT"] == 0
    extra = model["ROI_HEADS"]["NAME"] == "Res5ROIHeadsExtraNorm"
    assert extra == (kind in ("c4", "mask_c4"))
    assert ("FPN" in model) == ("fpn" in kind)
    assert ("RES5_DILATION" in model["RESNETS"]) == kind.startswith("dc5")
    assert (inputs["FORMAT"], inputs["MIN_SIZE_TEST"], inputs["MAX_SIZE_TEST"]) == (
        "RGB",
        800,
        1000,
    )
    assert model["PIXEL_MEAN"] == [123.675, 116.28, 103.53]  # detectron2's own for RGB
    assert model["PIXEL_STD"] == [58.395, 57.12, 57.375]
    assert found["DATASETS"]["TEST"] == ["coco_2017_val"]


def test_the_settings_of_msras_layout_are_detectron2s_defaults() -> None:
    found = settings(built("c4", layout="msra"))
    assert found["INPUT"]["FORMAT"] == "BGR"
    assert found["MODEL"]["PIXEL_MEAN"] == [103.53, 116.28, 123.675]
    assert found["MODEL"]["PIXEL_STD"] == [1.0, 1.0, 1.0]
    assert found["MODEL"]["RESNETS"]["STRIDE_IN_1X1"] is True


@pytest.mark.parametrize(
    ("kind", "backbone"),
    [
        ("small", "miniature"),
        ("small", "resnet18"),
        ("dc5", "resnet50"),
        ("c4", "resnet18"),
        ("mask_c4", "resnet34"),
        ("dc5_detectron2", "resnet18"),
        ("fpn", "resnet50_cifar"),
    ],
)
def test_what_detectron2_cannot_build(kind: str, backbone: str) -> None:
    model = Model.model_validate({"backbone": backbone, "bn_group": 2})
    with pytest.raises(RecipeError, match=re.escape(f"detector {kind} on {backbone}")):
        refuse(model, section(kind, "scenes"))
    for good in ("fpn", "mask_fpn"):
        refuse(Model.model_validate({"backbone": "resnet18", "bn_group": 2}), section(good))
