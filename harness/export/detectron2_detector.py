"""A whole detector for detectron2: its names, and the settings with which detectron2 builds it."""

from __future__ import annotations

import re
from typing import Any

from harness.data.detection import GREY, IMAGENET
from harness.export.detector import TrainedDetector
from harness.export.to_detectron2 import WEIGHTS, pickled, renamed, resnet_settings
from harness.recipe.detection import BoxName
from harness.recipe.training import SCENE_SIDE
from harness.recipe.yaml_text import render

SETTINGS = "config.yaml"

_HEADS = (
    (r"rpn\.conv\.(\w+)", r"proposal_generator.rpn_head.conv.\1"),
    (r"rpn\.objectness\.(\w+)", r"proposal_generator.rpn_head.objectness_logits.\1"),
    (r"rpn\.deltas\.(\w+)", r"proposal_generator.rpn_head.anchor_deltas.\1"),
    (r"head\.norm\.(\w+)", r"roi_heads.res5.norm.\1"),
    (r"head\.layers\.1\.(\w+)", r"roi_heads.box_head.fc1.\1"),
    (r"head\.layers\.3\.(\w+)", r"roi_heads.box_head.fc2.\1"),
    (r"box\.score\.(\w+)", r"roi_heads.box_predictor.cls_score.\1"),
    (r"box\.box\.(\w+)", r"roi_heads.box_predictor.bbox_pred.\1"),
)
"""Names of which the weights are the same: background is the last class of both, anchors are in one
order, and no mask is background's."""

_DATA: dict[BoxName, tuple[list[str], list[str]]] = {
    "voc2007": (["voc_2007_trainval"], ["voc_2007_test"]),
    "voc0712": (["voc_2007_trainval", "voc_2012_trainval"], ["voc_2007_test"]),
    "coco2017": (["coco_2017_train"], ["coco_2017_val"]),
}
"""detectron2's names of the data sets, to train on and to test on."""


def files(network: TrainedDetector) -> dict[str, bytes]:
    """The weights, and the settings as a file that detectron2's `merge_from_file` reads."""
    arrays = {
        detectron2_name(name, network): tensor.numpy()
        for name, tensor in network.tensors.items()
        if not name.endswith("num_batches_tracked")
    }
    content = {"model": arrays, "__author__": "moco-harness"}
    return {WEIGHTS: pickled(content), SETTINGS: render(settings(network)).encode()}


def detectron2_name(name: str, network: TrainedDetector) -> str:
    """detectron2's name for a tensor of the detector."""
    kind = network.section.detector
    part, _, rest = name.partition(".")
    if part == "backbone":
        own = renamed(rest)
        if own.startswith("res5.") and kind in ("c4", "mask_c4"):
            return f"roi_heads.{own}"
        return f"backbone.bottom_up.{own}" if "fpn" in kind else f"backbone.{own}"
    if found := re.fullmatch(r"neck\.(lateral|output)\.(\d)\.([01])\.(\w+)", name):
        norm = ".norm" if found[3] == "1" else ""
        return f"backbone.fpn_{found[1]}{int(found[2]) + 2}{norm}.{found[4]}"
    if found := re.fullmatch(r"mask\.(\d+)\.(\w+)", name):
        return f"roi_heads.mask_head.{_of_mask_head(int(found[1]), kind)}.{found[2]}"
    for ours, theirs in _HEADS:
        if re.fullmatch(ours, name):
            return re.sub(ours, theirs, name)
    raise KeyError(name)


def _of_mask_head(at: int, kind: str) -> str:
    """The layer at this place of the head, where a ReLU follows each but the last."""
    convolutions = 4 if kind == "mask_fpn" else 0
    if at // 2 < convolutions:
        return f"mask_fcn{at // 2 + 1}"
    return "deconv" if at // 2 == convolutions else "predictor"


def settings(network: TrainedDetector) -> dict[str, Any]:
    """What differs from detectron2's defaults: its Base-RCNN files, MoCo's changes, and how images
    are prepared."""
    model, section = network.model, network.section
    mean, std = GREY if section.boxes.name == "scenes" else IMAGENET
    msra = model.layout == "msra"
    pixels = {
        "PIXEL_MEAN": [round(255 * x, 4) for x in (mean[::-1] if msra else mean)],
        "PIXEL_STD": [1.0] * 3 if msra else [round(255 * x, 4) for x in std],
    }
    kind = section.detector
    body, heads = _parts(kind)
    resnets = resnet_settings(model) | {"NORM": "naiveSyncBN"} | body.pop("RESNETS", {})
    found: dict[str, Any] = {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "WEIGHTS": WEIGHTS,
        "MASK_ON": section.outlines,
        **pixels,
        "BACKBONE": {"FREEZE_AT": 0} | body.pop("BACKBONE", {}),
        "RESNETS": resnets,
        **body,
        "ROI_HEADS": {"NUM_CLASSES": network.classes, **heads.pop("ROI_HEADS")},
        **heads,
    }
    tested = section.tested_at or max(section.shortest or (section.boxes.size or SCENE_SIDE,))
    train, test = _DATA.get(section.boxes.name, ([], []))
    views = {
        "FORMAT": "BGR" if msra else "RGB",
        "MIN_SIZE_TRAIN": list(section.shortest or (tested,)),
        "MAX_SIZE_TRAIN": section.longest,
        "MIN_SIZE_TEST": tested,
        "MAX_SIZE_TEST": section.longest,
    }
    named = {"DATASETS": {"TRAIN": train, "TEST": test}} if train else {}
    return {"MODEL": found, "INPUT": views, **named, "VERSION": 2}


def _parts(kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings of the backbone and the proposals, of the heads) of each kind of detector."""
    mask = {"NAME": "MaskRCNNConvUpsampleHead", "POOLER_RESOLUTION": 14}
    if kind in ("c4", "mask_c4"):
        return (
            {"RPN": {"PRE_NMS_TOPK_TEST": 6000, "POST_NMS_TOPK_TEST": 1000}},
            {
                "ROI_HEADS": {"NAME": "Res5ROIHeadsExtraNorm"},
                "ROI_MASK_HEAD": mask | {"NUM_CONV": 0},
            },
        )
    flat = {
        "ROI_BOX_HEAD": {"NAME": "FastRCNNConvFCHead", "NUM_FC": 2, "POOLER_RESOLUTION": 7},
        "ROI_MASK_HEAD": mask | {"NUM_CONV": 4},
    }
    if kind == "dc5_detectron2":
        proposals = {"PRE_NMS_TOPK_TEST": 6000, "POST_NMS_TOPK_TEST": 1000}
        return (
            {
                "RESNETS": {"OUT_FEATURES": ["res5"], "RES5_DILATION": 2},
                "RPN": {"IN_FEATURES": ["res5"], **proposals},
            },
            {"ROI_HEADS": {"NAME": "StandardROIHeads", "IN_FEATURES": ["res5"]}, **flat},
        )
    stages, levels = (["res2", "res3", "res4", "res5"], ["p2", "p3", "p4", "p5", "p6"])
    counts = {"PRE_NMS_TOPK_TRAIN": 2000, "PRE_NMS_TOPK_TEST": 1000}
    counts |= {"POST_NMS_TOPK_TRAIN": 1000, "POST_NMS_TOPK_TEST": 1000}
    return (  # the same list twice would be an alias in YAML
        {
            "BACKBONE": {"NAME": "build_resnet_fpn_backbone"},
            "RESNETS": {"OUT_FEATURES": stages},
            "FPN": {"IN_FEATURES": list(stages), "NORM": "naiveSyncBN"},
            "ANCHOR_GENERATOR": {
                "SIZES": [[32], [64], [128], [256], [512]],
                "ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
            },
            "RPN": {"IN_FEATURES": levels, **counts},
        },
        {"ROI_HEADS": {"NAME": "StandardROIHeads", "IN_FEATURES": levels[:-1]}, **flat},
    )
