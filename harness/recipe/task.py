"""The fields of every task: its data and, under `tasks:`, its parent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.photos import PHOTOS, DataMetric, PhotoName
from harness.recipe.section import Positive, Section, Since
from harness.spec.declarations import load
from harness.spec.registry import tasks

Pixels = Annotated[int, Field(ge=8, le=1024)]


class Data(Section):
    """Which images; they are looked for under the site's data root."""

    name: Literal["embedded", "cifar10", "cifar100", "stl10", "imagefolder", PhotoName]
    """embedded: drawn by the harness itself; imagefolder: <folder>/{train,val}/<class>/<image>; the
    others are published data sets: docs/data.md."""
    folder: str | None = None
    """imagefolder only: its folder, relative to the data root (e.g. imagenet)."""
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
    def metric(self) -> DataMetric:
        """The metric that the data set is published with."""
        return PHOTOS[self.name].metric if self.name in PHOTOS else "top1"


class TaskSection(Section):
    """A further task on a run's weights: `kind` names what is done."""

    kind: str
    parent: Annotated[str, Field(min_length=1)] = "pretrain"
    """What it builds on: pretrain, or the name of another task of the recipe."""
    data: Data | None = None
    """Its own data; null: that of the run."""
    trials: Positive = 1
    """How often it is done, each time with other random numbers."""


def task_sections() -> tuple[type[TaskSection], ...]:
    """The section of every declared task that may stand under `tasks:`, sorted by kind.

    Raises:
        TypeError: a task declares something that is no such section.
    """
    found = []
    for kind, each in sorted(tasks().items()):
        if each.config is None:
            continue
        section: object = load(each.config)
        if not (isinstance(section, type) and issubclass(section, TaskSection)):
            raise TypeError(f"the task {kind} declares {section}, which is no TaskSection")
        found.append(section)
    return tuple(found)
