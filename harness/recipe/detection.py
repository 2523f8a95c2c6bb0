"""Detection: the images with boxes that a detector learns and is tested on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.section import Positive, Section

BoxName = Literal["scenes", "voc2007", "voc0712", "coco2017"]

BOX_FOLDERS: dict[BoxName, tuple[str, ...]] = {
    "scenes": (),
    "voc2007": ("VOCdevkit/VOC2007",),
    "voc0712": ("VOCdevkit/VOC2007", "VOCdevkit/VOC2012"),
    "coco2017": ("coco/train2017", "coco/val2017", "coco/annotations"),
}
"""The folders of each data set under the data root."""

COCO_METRIC: tuple[BoxName, ...] = ("coco2017",)
"""The data sets that are evaluated as COCO is; others as VOC 2007 is."""


class Boxes(Section):
    """Images with boxes, under the site's data root."""

    name: BoxName
    """scenes: drawn by the harness itself; voc2007: trainval and test; voc0712: trainval of 2007
    and 2012, tested on 2007's test (the papers'); coco2017: train2017 and val2017."""
    images: Positive | None = None
    """Train on the first scenes, or on a fixed subset of this many images (the same for every
    seed); null: all, of scenes 150."""
    tested: Positive | None = None
    """scenes only: number of test scenes; null: 200."""
    size: Annotated[int, Field(ge=24, le=181)] | None = None
    """scenes only: their side in pixels; null: 48."""

    def complaints(self, at: str) -> Iterator[tuple[str, str]]:
        """(field, message) of each mistake of the section, which is at `at`."""
        for field in ("tested", "size"):
            if self.name != "scenes" and getattr(self, field) is not None:
                yield f"{at}.{field}", f"of scenes only: {self.name} has its own; remove it"
