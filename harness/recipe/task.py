"""The fields of every task: its data and, under `tasks:`, its parent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.errors import RecipeError
from harness.recipe.photos import PHOTOS, DataMetric, PhotoName
from harness.recipe.section import Positive, Section, Since
from harness.spec.named_code import load_section
from harness.spec.registry import tasks

SIDES = (8, 1024)
"""The smallest and the largest side of an image that an encoder sees, in pixels."""
Pixels = Annotated[int, Field(ge=SIDES[0], le=SIDES[1])]


def refuse_size(size: int | None) -> None:
    """Raise a RecipeError if `--size` is no side of an image; None: not given."""
    least, most = SIDES
    if size is not None and not least <= size <= most:
        raise RecipeError(f"--size {size}: images are {least} to {most} pixels wide")


class Data(Section):
    """The images, under the site's data root."""

    name: Literal["embedded", "cifar10", "cifar100", "stl10", "imagefolder", "pictures", PhotoName]
    """embedded: drawn by the harness itself; imagefolder: <folder>/{train,val}/<class>/<image>;
    pictures: images at any depth of a folder, without labels; the others are published data sets:
    docs/data.md."""
    folder: str | None = None
    """imagefolder and pictures only: the folder, relative to the data root (e.g. imagenet)."""
    split: Annotated[float | None, Field(gt=0, lt=1), Since("0.2")] = None
    """imagefolder of <folder>/<class>/<image>, without train and val: this share of each class's
    images is the test set (the same for every seed)."""
    images: Positive | None = None
    """Train on a fixed random subset of this many images (the same for every seed); null: all."""
    test: Annotated[str | None, Since("0.2")] = None
    """imagefolder only: a folder of test images instead of its val, relative to the data root: one
    folder for each class, which are all or some of the classes of train (ImageNet-R ...)."""
    test_view: Annotated[Literal["crop", "whole"], Since("0.2")] = "crop"
    """Of the images in `test`. crop: resize, and cut out the centre; whole: images that were cut
    before, as ImageNet-C's."""
    size: Annotated[Pixels, Field(title="image size in pixels")]
    """Side of the square that the encoder sees, in pixels (v1: 224)."""

    @property
    def labelled(self) -> bool:
        """Whether the images have labels."""
        return self.name != "pictures"

    @property
    def metric(self) -> DataMetric:
        """The metric that the data set is published with."""
        return PHOTOS[self.name].metric if self.name in PHOTOS else "top1"


@dataclass(frozen=True)
class Fitted:
    """A task's protocol for data that a recipe was not written for."""

    fields: Mapping[str, Any]
    """Of its section; those that are left out keep their defaults."""
    why: str
    """Where the values come from, in one line."""
    note: str = ""
    """What a reader of the numbers must know, as a sentence; "": it is the published protocol."""


class TaskSection(Section):
    """A further task on a run's weights: `kind` names what is done."""

    kind: str
    parent: Annotated[str, Field(min_length=1)] = "pretrain"
    """The task that it evaluates: pretrain, or the name of another task of the recipe."""
    data: Data | None = None
    """Its data; null: the run's data."""
    trials: Positive = 1
    """Number of repetitions, each with other random numbers."""

    @property
    def builds_msra(self) -> bool:
        """Whether it builds the backbone of model.layout msra."""
        return False

    def inputs(self) -> dict[str, str]:
        """Further inputs under the data root, by the field of a result's `inputs` that identifies
        them: {"masks": a data set with masks}, {"boxes": one with boxes}, {"images": one with
        several labels an image} or {"labels": a list's file}."""
        return {}

    def beyond(
        self, images: int, classes: int | None, smallest: int | None
    ) -> Iterator[tuple[str, str]]:
        """(field, message) of each number for which the data have too few labelled images.

        Args:
            images: labelled training images.
            classes: their classes; None: not known.
            smallest: images of the smallest class; None: not known.
        """
        del images, classes, smallest
        yield from ()

    def misfits(self, backbone: str) -> Iterator[tuple[str, str]]:
        """(field, message) of each field that does not fit model.backbone."""
        del backbone
        return iter(())

    @classmethod
    def fitted(cls, data: Data, bank: int | None) -> Fitted:
        """The protocol for this data. A task's own section overrides it where its defaults are not
        for all data.

        Args:
            bank: number of labelled training images; None: not known.
        """
        del data, bank
        return Fitted({}, "the task's own defaults")


def task_sections() -> tuple[type[TaskSection], ...]:
    """The section of every declared task that may stand under `tasks:`, sorted by kind.

    Raises:
        HarnessError: a task declares something that is no such section.
    """
    return tuple(
        load_section("task", kind, each.config, TaskSection)
        for kind, each in sorted(tasks().items())
        if each.config is not None
    )
