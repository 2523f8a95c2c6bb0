"""VOC classification by linear SVMs on frozen features: with all labels, and low-shot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.recipe.draws import DrawnTask
from harness.recipe.section import Positive, PositiveFloat, Section, refuse
from harness.recipe.task import Pixels, TaskSection

LabelledName = Literal["voc2007", "scenes"]

LABELLED_FOLDERS: dict[LabelledName, tuple[str, ...]] = {
    "voc2007": ("VOCdevkit/VOC2007",),
    "scenes": (),
}
"""The folders of each data set under the data root."""

SCENES_TRAIN, SCENE_CLASSES = 400, 10
"""Training scenes unless the recipe says otherwise, and the classes of the figures in them."""

SCENE_SIDES = (24, 181)
"""The smallest and the largest side of a scene in pixels."""


class LabelledImages(Section):
    """Images that show several classes each, under the site's data root."""

    name: LabelledName = "voc2007"
    """voc2007: trained on trainval, tested on test; scenes: drawn by the harness itself."""
    images: Positive | None = None
    """scenes only: number of training scenes; null: 400."""
    tested: Positive | None = None
    """scenes only: number of test scenes; null: 400."""
    size: Pixels | None = None
    """Side of the square that the encoder sees, in pixels (224); null: the run's data.size."""
    view: Literal["stretch", "crop"] = "stretch"
    """voc2007 only. stretch: the short side resized to 8/7 of size, then the whole image to a
    square (VISSL, mmselfsup); crop: the centre is cut out instead (VirTex)."""


class Svm(Section):
    """One linear SVM for each class, against all other classes (LinearSVC of scikit-learn, squared
    hinge, dual), on frozen features. Images in which all objects of a class are marked as difficult
    neither train nor test its SVM.

    Sources: Goyal et al. (arXiv:1905.01235), mmselfsup.
    """

    images: LabelledImages = LabelledImages()
    """The task's own data; the parent's images are not used."""
    layer: Literal["backbone", "output"] = "backbone"
    """backbone: pooled features; output: the head's output."""
    normalise: Literal["none", "l2"] = "l2"
    """none: features as they are; l2: each divided by its length."""
    positive_weight: PositiveFloat = 2.0
    """Weight of the images that show the class; the others have 1."""
    iterations: Positive = 2000
    """Most iterations of a fit."""
    tolerance: PositiveFloat = 1e-4
    """Of the stopping criterion of LinearSVC."""


def _complaints(task: SvmTask | SvmLowShotTask) -> Iterator[tuple[str, str]]:
    """(field, message) of each impossible combination of the fields that both tasks have."""
    if task.data is not None:
        yield "data", f"{task.kind} has labels of its own: remove it, and name the set in `images`"
    images = task.images
    if images.name == "scenes":
        if images.view != "stretch":
            yield "images.view", "scenes are squares of the right size: remove it"
        low, high = SCENE_SIDES
        if images.size is not None and not low <= images.size <= high:
            yield "images.size", f"scenes are {low} to {high} pixels wide"
        return
    for field in ("images", "tested"):
        if getattr(images, field) is not None:
            yield f"images.{field}", f"of scenes only: {images.name} has its own; remove it"


class SvmTask(TaskSection, Svm):
    """VOC 2007 classification with all labels of trainval. C of each class is chosen by
    cross-validation; the mean over the classes of the average precision (AP) on test is
    reported."""

    kind: Literal["svm"]
    c: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (
        *(2.0**-n for n in range(19, 3, -1)),
        *(1.0, 10.0, 100.0),
    )
    """Inverse strengths of the L2 penalty that are tried for each class (code of mmselfsup: 2^-19
    to 2^-4, and 1, 10, 100); a single one is taken as it is."""
    folds: Annotated[int, Field(ge=2)] = 3
    """Parts of the training images for the cross-validation, with equal shares of those that show
    the class; the C with the highest mean AP is taken."""

    def inputs(self) -> dict[str, str]:
        return {"images": self.images.name}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        refuse(_complaints(self))
        if len(set(self.c)) < len(self.c):
            refuse([("c", "a value stands there twice")])
        return self


class SvmLowShotTask(DrawnTask, Svm):
    """Low-shot VOC 2007 classification: as svm, but each class has only k images that show it and
    (classes - 1) k that do not. The mean AP over classes and draws is reported."""

    kind: Literal["svm_low_shot"]
    shots: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 4, 8, 16, 32, 64, 96)
    """k, the number of images that show a class; the first is the one reported, the others show
    sensitivity (Goyal et al.: 1 to 96)."""
    draws: Annotated[int, Field(ge=2)] = 5
    """Number of draws (Goyal et al.: 5). They depend on the data alone: seeds and networks share
    them, and a smaller k is a part of a larger one."""
    c: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1.0,)
    """Inverse strength of the L2 penalty. A single one is taken as it is; of several, each class's
    is chosen by cross-validation inside the images of each draw. (The code of Goyal et al. takes
    the one that is best on the test images.)"""

    def inputs(self) -> dict[str, str]:
        return {"images": self.images.name}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        refuse([*_complaints(self), *self._beyond_scenes()])
        return self

    def _beyond_scenes(self) -> Iterator[tuple[str, str]]:
        """More images a draw than there are scenes; whether enough of them show a class is seen
        when they are drawn."""
        k, scenes = max(self.shots), self.images.images or SCENES_TRAIN
        if self.images.name == "scenes" and k * SCENE_CLASSES > scenes:
            yield (
                "shots",
                f"k = {k} takes {k} images that show a class and {k * (SCENE_CLASSES - 1):,} that "
                f"do not, but there are {scenes:,} training scenes: use fewer, or raise "
                "images.images",
            )
