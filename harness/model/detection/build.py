"""The detectors of the papers' tables, and a small one of the same parts for a laptop."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import torch

from harness.errors import RecipeError
from harness.model.backbones import Miniature, Residual, backbone
from harness.model.detection.box_head import BoxPredictor, RoISettings
from harness.model.detection.detector import Detector, FlatHead, Res5Head
from harness.model.detection.mask_head import MaskHead
from harness.model.detection.msra_layout import lay_out
from harness.model.detection.necks import C4, DilatedC5, Pyramid, widths
from harness.model.detection.pad_groups import PadGroupNorm
from harness.model.detection.rpn import RPN, RPNSettings
from harness.recipe.schema import Model
from harness.runtime import keyed

Kind = Literal["c4", "mask_c4", "dc5", "dc5_detectron2", "fpn", "mask_fpn", "small"]
"""c4, dc5: VOC (MoCo v1, Table 2); mask_fpn, mask_c4: COCO (Tables 5 and 6). dc5_detectron2 lacks
the paper's convolution to 512 channels. small: C4 for scenes of 48 to 181 pixels."""

LEVEL = (32.0, 64.0, 128.0, 256.0, 512.0)
"""Sizes of anchors, in pixels: all on one level, or one on each level of FPN."""

SMALL = RPNSettings(((12.0, 24.0, 48.0),), (), (1000, 500), (100, 100), sample=64)
SMALL_ROI = RoISettings(sample=32)
SMALL_SIDE = 8


def build_detector(
    kind: Kind,
    model: Model,
    classes: int,
    pad_group: int,
    *stream: int | str,
) -> Detector:
    """A detector with new weights that are a function of `stream`, e.g. (seed, "trial", 0).

    The backbone begins as it is drawn for pre-training; then load pre-trained weights into it.

    Args:
        model: the backbone and its width.
        classes: without background.
        pad_group: images that are padded together (2: an official run has two on each of 8 GPUs).

    Raises:
        RecipeError: the backbone lacks what this kind of detector needs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed.key(*stream, "weights") & ((1 << 63) - 1))
        return detector(kind, model, classes, pad_group)


def detector(kind: Kind, model: Model, classes: int, pad_group: int) -> Detector:
    """The same with weights from torch's global generator, e.g. on the meta device."""
    assert kind in get_args(Kind), kind
    net = backbone(model, PadGroupNorm)
    if kind == "small":
        return _c4(net, classes, pad_group, SMALL, SMALL_ROI, SMALL_SIDE, mask=False)
    if isinstance(net, Miniature):
        raise RecipeError(
            f"a detector of kind {kind} needs four stages, which backbone miniature has not; use "
            "kind small, or a resnet"
        )
    if model.layout == "msra":
        lay_out(net)
    if kind in ("c4", "mask_c4"):
        settings = RPNSettings((LEVEL,), (), (12000, 6000), (2000, 1000))
        return _c4(net, classes, pad_group, settings, RoISettings(), 14, mask=kind == "mask_c4")
    neck: DilatedC5 | Pyramid
    if kind in ("fpn", "mask_fpn"):
        neck = Pyramid(net)
        levels = tuple((size,) for size in LEVEL)
        settings = RPNSettings(levels, neck.strides, (2000, 1000), (1000, 1000))
    else:
        neck = DilatedC5(net, 512 if kind == "dc5" else None)
        settings = RPNSettings((LEVEL,), neck.strides, (12000, 6000), (2000, 1000))
    head = FlatHead(neck.channels)
    mask = MaskHead(neck.channels, classes, convolutions=4) if kind == "mask_fpn" else None
    box = BoxPredictor(head.channels, classes, RoISettings())
    return Detector(net, neck, RPN(neck.channels, settings), head, box, mask, pad_group)


def _c4(
    net: Miniature | Residual,
    classes: int,
    pad_group: int,
    settings: RPNSettings,
    roi: RoISettings,
    side: int,
    *,
    mask: bool,
) -> Detector:
    neck = C4(net)
    channels = widths(net)[-1]
    return Detector(
        net,
        neck,
        RPN(neck.channels, replace(settings, strides=neck.strides)),
        Res5Head(channels, side),
        BoxPredictor(channels, classes, roi),
        MaskHead(channels, classes, convolutions=0) if mask else None,
        pad_group,
    )
