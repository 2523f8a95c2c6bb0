"""Cases that detectron2 computed once, with weights, images and targets made by formulas.

detectron2.json holds what its own Python code (commit 02b5c4e; torchvision's operators took the
place of its compiled part) made of them, in float64, boxes in float32:

- its configurations Base-RCNN-C4, -DilatedC5 and -FPN, with NORM BN (and FPN.NORM BN), FREEZE_AT 0,
  STRIDE_IN_1X1 False, pixel mean 0 and deviation 1, and `rois` as BATCH_SIZE_PER_IMAGE and
  POST_NMS_TOPK_TEST. For C4, MoCo's Res5ROIHeadsExtraNorm. dc5: its res5 and then 3x3 convolution,
  norm and ReLU as the backbone.
- its weights are `fill` of the names that they have here;
- its `subsample_labels` counts as it does, but takes the first by `keyed.bits` of the image's key
  instead of torch.randperm;
- losses of one step in training mode; detections in evaluation mode, one image at a time, before
  (boxes, labels, scores, masks) and after (original, areas) its `detector_postprocess` to twice the
  size.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.model.detection.boxes import Target
from harness.model.detection.build import Kind, detector
from harness.model.detection.detector import Detector
from harness.recipe.schema import Model
from harness.runtime import keyed

WATCHED = ("backbone.conv1.weight", "backbone.layer2.0.bn1.weight", "rpn.conv.weight")
"""Parameters of whose gradients the norm is compared."""

_PERIOD = 65_521

_GAINS = {"rpn.deltas.weight": 0.2, "box.box.weight": 0.5, "head.layers.1.weight": 0.3}
"""Factors that keep boxes inside the images."""


@dataclass(frozen=True)
class Case:
    name: str
    kind: Kind
    backbone: str
    classes: int
    sides: tuple[tuple[int, int], tuple[int, int]]
    rois: int
    found: int = 20
    gradients: bool = False


LARGE = ((160, 160), (128, 160))
SMALL = ((96, 96), (64, 80))

CASES = [
    Case("small c4", "c4", "resnet50", 5, SMALL, 8),
    Case("small mask_c4", "mask_c4", "resnet50", 5, SMALL, 8),
    Case("small mask_fpn", "mask_fpn", "resnet18", 5, SMALL, 16, gradients=True),
    Case("small dc5", "dc5", "resnet50", 5, SMALL, 8),
    Case("c4", "c4", "resnet50", 20, LARGE, 64, gradients=True),
    Case("mask_c4", "mask_c4", "resnet50", 80, LARGE, 64),
    Case("mask_fpn", "mask_fpn", "resnet50", 80, LARGE, 64, gradients=True),
    Case("dc5_detectron2", "dc5_detectron2", "resnet50", 20, LARGE, 64),
    Case("dc5", "dc5", "resnet50", 20, LARGE, 64),
]


def case(name: str) -> Case:
    return next(each for each in CASES if each.name == name)


def wanted(name: str) -> dict[str, Any]:
    """What detectron2 computed."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("detectron2.json").read_text())
    return found[name]  # type: ignore[no-any-return]


def fill(name: str, shape: torch.Size) -> Tensor:
    """The weights of that name: uniform numbers, repeated with a period that fits no shape."""
    count = max(math.prod(shape), 1)
    table = keyed.uniform(keyed.key("fill", name), torch.arange(min(count, _PERIOD)))[:, 0]
    unit = table.repeat(-(-count // _PERIOD))[:count].view(shape) * 2 - 1
    if name.endswith("running_var"):
        return 1 + 0.5 * unit
    if len(shape) == 1:
        if not name.endswith("weight"):
            return 0.1 * unit
        last = name.endswith(("bn3.weight", "layer1.0.bn2.weight"))
        return 0.2 + 0.1 * unit if last else 1 + 0.5 * unit
    gain = _GAINS.get(name, 0.3 if name.startswith("neck.output") else 1.0)
    fan_in = count // shape[0]
    return unit * (gain * math.sqrt(6 / fan_in))


def filled(case: Case) -> Detector:
    """The case's detector with its weights, in float64."""
    model = Model.model_validate({"backbone": case.backbone, "bn_group": 2})
    with torch.device("meta"):
        made = detector(case.kind, model, case.classes, 2)
    made.to_empty(device="cpu")
    made.load_state_dict(
        {
            name: torch.zeros_like(each)
            if name.endswith("num_batches_tracked")
            else fill(name, each.shape)
            for name, each in made.state_dict().items()
        }
    )
    made.box.settings = replace(made.box.settings, sample=case.rois, most=case.found)
    before, after = made.rpn.settings.before, made.rpn.settings.after
    made.rpn.settings = replace(made.rpn.settings, before=before, after=(after[0], case.rois))
    return made.double()


def inputs(case: Case) -> tuple[list[Tensor], list[Target], list[int]]:
    """Two images, their targets with polygons, and their keys."""
    images, targets, keys = [], [], []
    for number, (height, width) in enumerate(case.sides):
        at = torch.arange(3 * height * width)
        noise = keyed.uniform(keyed.key("image", number), at).view(3, height, width).double()
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        image = noise - 0.5
        boxes, polygons = [], []
        draws = keyed.uniform(keyed.key("boxes", number), torch.arange(3 + number), 4)
        for n, (a, b, c, d) in enumerate(draws.double().tolist()):
            w, h = width * (0.2 + 0.4 * c), height * (0.2 + 0.4 * d)
            left, top = (width - w) * a, (height - h) * b
            inside = (x >= left) & (x < left + w) & (y >= top) & (y < top + h)
            image[n % 3] += 2.0 * inside
            boxes.append([left, top, left + w, top + h])
            corners = [(0.5, 0.0), (1.0, 0.4), (0.8, 1.0), (0.1, 0.9), (0.0, 0.3)]
            polygons.append([[v for p, q in corners for v in (left + p * w, top + q * h)]])
        labels = torch.arange(len(boxes)) * 2 % case.classes
        images.append(image)
        targets.append(Target(torch.tensor(boxes, dtype=torch.float32), labels, polygons))
        keys.append(keyed.key("golden", number))
    return images, targets, keys


def summary(mask: Tensor) -> list[float]:
    """Three numbers of a mask (M, M): its mean, and its means weighted by row and by column."""
    ramp = torch.linspace(0, 1, len(mask), dtype=mask.dtype)
    return [
        float(mask.mean()),
        float((mask * ramp[:, None]).mean()),
        float((mask * ramp).mean()),
    ]
