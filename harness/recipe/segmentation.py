"""Semantic segmentation: all layers of a network with the parent's backbone train on masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.section import PositiveFloat
from harness.recipe.training import SCENE_SIDE, OwnImages, TrainedTask

MaskName = Literal["scenes", "voc2007", "voc2012", "voc2012_aug", "cityscapes"]

MASK_FOLDERS: dict[MaskName, tuple[str, ...]] = {
    "scenes": (),
    "voc2007": ("VOCdevkit/VOC2007",),
    "voc2012": ("VOCdevkit/VOC2012",),
    "voc2012_aug": ("VOCdevkit/VOC2012", "sbd"),
    "cityscapes": ("cityscapes/leftImg8bit", "cityscapes/gtFine"),
}
"""The folders of each data set under the data root."""

NEEDS_SCIPY: MaskName = "voc2012_aug"
"""SBD's masks are .mat files."""

SCENES_TRAIN = 100
"""Training scenes unless the recipe says otherwise. Few labels: with many, random weights catch
up."""


class Masks(OwnImages):
    """Images with a class for each pixel, under the site's data root."""

    name: MaskName
    """scenes: drawn by the harness itself; voc2012_aug: VOC 2012 with SBD's masks, tested on val
    (MoCo v1); voc2012: train and val; voc2007: trainval and test; cityscapes: train_fine and
    val."""


class SegmentationTask(TrainedTask):
    """Semantic segmentation by an FCN-16s on the parent's backbone, where all layers train. The
    mean IoU on whole test images after the last step is reported.

    Sources: v1 Appendix A. VOC: lr 0.003, 30k steps, crop 513. Cityscapes: lr 0.01, 90k steps,
    crop 769. Both: 16 images a step, weight decay 1e-4, the rate times 0.1 at 70 % and 90 %.
    """

    kind: Literal["segmentation"]
    masks: Masks
    """The task's own data; the parent's images are not used."""
    batch: Annotated[int, Field(ge=2)] = 16
    """Images per step, over all processes; an epoch's last, smaller batch is dropped."""
    crop: Annotated[int, Field(ge=8)]
    """Side of a training view in pixels (v1: 513 on VOC, 769 on Cityscapes)."""
    scale: tuple[PositiveFloat, PositiveFloat] = (0.5, 2.0)
    """Range of the factor by which an image is resized before it is cropped."""
    flip_p: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability that a view is mirrored."""

    def inputs(self) -> dict[str, str]:
        return {"masks": self.masks.name}

    def complaints(self) -> Iterator[tuple[str, str]]:
        yield from super().complaints()
        if self.data is not None:
            yield "data", "segmentation learns from masks: remove it, and name the set in `masks`"
        yield from self.masks.complaints("masks", self.batch, SCENES_TRAIN)
        if (
            self.masks.name == "scenes"
            and self.crop > (side := self.masks.size or SCENE_SIDE) * self.scale[1]
        ):
            why = f"views of {self.crop} pixels, but scenes have {side} pixels, scaled at most "
            yield "crop", f"{why}{self.scale[1]:g} times; take a smaller crop or larger masks.size"
        if self.scale[0] > self.scale[1]:
            low, high = self.scale
            yield "scale", f"{low} to {high} is not a range: write the lower number first"
