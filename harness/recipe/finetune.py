"""Fine-tuning: classification with all layers, on all labels or on a share of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.section import Positive, PositiveFloat
from harness.recipe.training import TrainedTask


class FinetuneTask(TrainedTask):
    """Classification by the parent's backbone and a new linear classifier, where all layers
    train. The accuracy after the last epoch is reported.

    Sources: v1 Sec. 4.2 (iNaturalist 2018), SimCLR (arXiv:2002.05709) for 1 % and 10 % of the
    labels.
    """

    kind: Literal["finetune"]
    labels: Positive | Annotated[float, Field(gt=0, lt=1)] | None = None
    """Training images: a share below 1 (SimCLR: 0.01, 0.1), or a number for each class; drawn once,
    the same for every seed, trial and network. null: all."""
    labels_file: Annotated[str, Field(min_length=1)] | None = None
    """Instead, a list under the data root: the file name of one training image on each line
    (SimCLR's 1percent.txt and 10percent.txt); data.name: imagefolder only."""
    labels_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None = None
    """The list's SHA-256, or its first digits; it identifies the list."""
    crop_scale: tuple[
        Annotated[float, Field(ge=0, le=1)], Annotated[PositiveFloat, Field(le=1)]
    ] = (0.08, 1.0)
    """Area of a training view's random crop as a share of the image; a view is then flipped at
    random. Test views are central crops, both at data.size."""

    def inputs(self) -> dict[str, str]:
        return {"labels": self.labels_file} if self.labels_file is not None else {}

    def complaints(self) -> Iterator[tuple[str, str]]:
        yield from super().complaints()
        if self.labels is not None and self.labels_file is not None:
            yield "labels", "labels_file already names the images: remove one of the two"
        if (self.labels_file is None) != (self.labels_sha256 is None):
            missing = "labels_sha256" if self.labels_file is not None else "labels_file"
            yield missing, "missing: a list is given by labels_file and labels_sha256 together"
        if self.labels_file is not None and (
            self.labels_file.startswith(("/", "~")) or ".." in self.labels_file.split("/")
        ):
            yield "labels_file", "it is relative to the data root: no leading '/' and no '..'"
        if self.crop_scale[0] > self.crop_scale[1]:
            low, high = self.crop_scale
            yield "crop_scale", f"{low} to {high} is not a range: write the lower number first"
