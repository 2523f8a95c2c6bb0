"""Detection and instance segmentation: all layers of a detector train on boxes, or on masks too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.section import Positive
from harness.recipe.training import SCENE_SIDE, OwnImages, TrainedTask, divisors

BoxName = Literal["scenes", "voc2007", "voc0712", "coco2017"]

BOX_FOLDERS: dict[BoxName, tuple[str, ...]] = {
    "scenes": (),
    "voc2007": ("VOCdevkit/VOC2007",),
    "voc0712": ("VOCdevkit/VOC2007", "VOCdevkit/VOC2012"),
    "coco2017": ("coco/train2017", "coco/val2017", "coco/annotations"),
}
"""The folders of each data set under the data root."""

SCENES_TRAIN = 150
"""Training scenes unless the recipe says otherwise. Few labels: with many, random weights catch
up."""

Pixels = Annotated[int, Field(ge=8, le=4096)]


class Boxes(OwnImages):
    """Images with boxes, under the site's data root."""

    name: BoxName
    """scenes: drawn by the harness itself; voc2007: trainval and test; voc0712: trainval of 2007
    and 2012, tested on 2007's test (the papers'); coco2017: train2017 and val2017."""


class DetectionTask(TrainedTask):
    """Detection on the parent's backbone, where all layers train. The average precision on all test
    images after the last step is reported: VOC 2007's, or COCO's on COCO.

    Sources: v1 Sec. 4.2 and Appendix A; the official repository's detection configs for detectron2.
    """

    kind: Literal["detection"]
    boxes: Boxes
    """The task's own data; the parent's images are not used."""
    detector: Literal["c4", "dc5", "dc5_detectron2", "fpn", "small"]
    """c4, dc5: Faster R-CNN of v1's tables on VOC; dc5_detectron2: dc5 without the paper's
    convolution to 512 channels; fpn: with a feature pyramid; small: c4 for scenes."""
    batch: Annotated[int, Field(ge=1)] = 16
    """Images per step, over all processes: whole pad groups. An epoch's images that fill no batch
    are the next epoch's first."""
    pad_group: Positive = 2
    """Images that are padded together, on any number of processes (detectron2: those of one GPU,
    2)."""
    shortest: tuple[Pixels, ...] | None = None
    """Lengths of an image's shorter side in training, of which one is drawn (VOC: 480 to 800 in
    steps of 32); null: scenes as they are."""
    tested_at: Pixels | None = None
    """Length of the shorter side in the test; null: the longest of `shortest`."""
    longest: Pixels = 1333
    """Of the longer side, at most."""
    flip_p: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability that an image is mirrored."""

    @property
    def outlines(self) -> bool:
        """Whether masks are learnt."""
        return False

    @property
    def builds_msra(self) -> bool:
        return self.boxes.name != "scenes"  # whose images are normalised otherwise

    @property
    def is_evaluated_as_coco(self) -> bool:
        """As COCO is, by its own package; otherwise as VOC 2007 is, which has no masks."""
        return self.outlines or self.boxes.name == "coco2017"

    def inputs(self) -> dict[str, str]:
        return {"boxes": self.boxes.name}

    def misfits(self, backbone: str) -> Iterator[tuple[str, str]]:
        if self.detector != "small" and backbone == "miniature":
            why = f"{self.detector} needs four stages, which model.backbone miniature has not: "
            mend = "choose a resnet" if self.outlines else "choose small, or a resnet"
            yield "detector", why + mend

    def unshareable(self, processes: int) -> str:
        if self.batch % (processes * self.pad_group) == 0:
            return ""
        groups = self.batch // self.pad_group
        return (
            f"{processes} processes cannot share a batch of {self.batch} in whole pad groups of "
            f"{self.pad_group}; use {', '.join(map(str, divisors(groups)))} processes, another "
            "batch, or a smaller pad_group"
        )

    def complaints(self) -> Iterator[tuple[str, str]]:
        yield from super().complaints()
        if self.data is not None:
            yield "data", "detection learns from boxes: remove it, and name the set in `boxes`"
        yield from self.boxes.complaints("boxes", self.batch, SCENES_TRAIN)
        if self.batch % self.pad_group:
            yield "batch", f"{self.batch} images are not whole pad groups of {self.pad_group}"
        if self.shortest is None and self.boxes.name != "scenes":
            yield "shortest", f"missing: the sizes at which {self.boxes.name} is learnt"
        if self.shortest == ():
            yield "shortest", "no size: give one or more"
        yield from self._beyond_longest()
        if self.precision != "fp32":
            yield "precision", f"{self.precision}: detectors train in fp32 only"

    def _beyond_longest(self) -> Iterator[tuple[str, str]]:
        """Shorter sides that no image can have, as its longer one would be above `longest`."""
        sides = {
            "shortest": max(self.shortest or (0,)),
            "tested_at": self.tested_at or 0,
            "boxes.size": (self.boxes.size or SCENE_SIDE) if self.shortest is None else 0,
        }
        for field, side in sides.items():
            if side > self.longest:
                at = "longest" if "longest" in self.model_fields_set else field
                yield (
                    at,
                    f"the longer side has at most {self.longest} pixels, but {field} is {side} "
                    f"for the shorter one: raise longest, or lower {field}",
                )


class InstanceTask(DetectionTask):
    """Detection with a mask for each object (Mask R-CNN). The average precisions of boxes and of
    masks are reported, COCO's on every data set.

    Sources: v1 Sec. 4.2.2; the official repository's detection configs for detectron2.
    """

    kind: Literal["instances"]  # type: ignore[assignment]
    detector: Literal["mask_c4", "mask_fpn"]  # type: ignore[assignment]
    """Mask R-CNN of v1's tables on COCO: on res4 and res5, or with a feature pyramid."""

    @property
    def outlines(self) -> bool:
        return True

    def complaints(self) -> Iterator[tuple[str, str]]:
        yield from super().complaints()
        if self.boxes.name in ("voc2007", "voc0712"):
            yield "boxes.name", f"{self.boxes.name} has boxes but no masks of objects"
