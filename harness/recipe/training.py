"""The fields of every task that trains a network further: its length, rates, decays and norms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.recipe.optim import Constant
from harness.recipe.section import Positive, PositiveFloat, Section, refuse
from harness.recipe.task import TaskSection


def divisors(count: int) -> list[int]:
    """The numbers of processes that share `count` things equally."""
    return [n for n in range(1, count + 1) if count % n == 0]


def unshareable_groups(batch: int, group: int, processes: int) -> str:
    """Why so many processes cannot share a batch of pre-training in whole batch-norm groups, each
    on one process; "" if they can. A batch that is one group is normalised over all processes."""
    shares = divisors(batch if group >= batch else batch // group)
    if processes in shares:
        return ""
    return (
        f"{processes} processes cannot share a batch of {batch} in batch-norm groups of {group}; "
        f"use {', '.join(map(str, shares))} processes. Another batch or group is another experiment"
    )


class Warmup(Section):
    """The rate grows linearly to its full value over the first steps."""

    steps: Positive
    factor: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Share of the rate at the first step (detectron2: 1/1000)."""


class Drops(Section):
    """The rate is multiplied by `factor` at each drop."""

    kind: Literal["step"]
    drops: tuple[Positive, ...]
    """Counted from 0: epochs if the task's length is given in epochs, else steps."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1


class HalfCosine(Section):
    """Half a cosine period from the full rate to zero, set at every step."""

    kind: Literal["cosine"]


TaskSchedule = Annotated[Constant | Drops | HalfCosine, Field(discriminator="kind")]


SCENE_SIDE = 48
"""Side of a scene in pixels unless the recipe says otherwise."""


class OwnImages(Section):
    """A task's own images, under the site's data root or drawn by the harness itself."""

    name: str
    images: Positive | None = None
    """Train on the first scenes, or on a fixed subset of this many images (the same for every
    seed); null: all, of scenes 150 with boxes and 100 with
    masks."""
    tested: Positive | None = None
    """scenes only: number of test scenes; null: 200."""
    size: Annotated[int, Field(ge=24, le=181)] | None = None
    """scenes only: their side in pixels; null: 48."""

    def complaints(self, at: str, batch: int, scenes: int) -> Iterator[tuple[str, str]]:
        """(field, message) of each mistake of the section, which is at `at`.

        Args:
            batch: images of a step.
            scenes: the number of training scenes unless `images` says it.
        """
        for field in ("tested", "size"):
            if self.name != "scenes" and getattr(self, field) is not None:
                yield f"{at}.{field}", f"of scenes only: {self.name} has its own; remove it"
        trained = self.images or scenes
        if self.name == "scenes" and batch > trained:
            why = f"{batch} images per step, but there are {trained} training scenes"
            yield "batch", f"{why}: lower it, or raise {at}.images"


class TrainedTask(TaskSection):
    """A task that trains the parent's network further, all layers, by SGD. Its batch norm is
    synchronised over the whole batch."""

    epochs: Positive | None = None
    """Length in passes over the task's training images; give this or `steps`."""
    steps: Positive | None = None
    """Length in steps; give this or `epochs`."""
    batch: Annotated[int, Field(ge=2)] = 256
    """Images per step, over all processes; an epoch's last, smaller batch is dropped."""
    lr: PositiveFloat
    """Learning rate of the parent's layers, after the warm-up."""
    head_lr: PositiveFloat = 1.0
    """Learning rate of the new layers, as a multiple of `lr` (mmselfsup tries 1, 10 and 100)."""
    schedule: TaskSchedule
    warmup: Warmup | None = None
    """null: none."""
    sgd_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    """Nesterov's form of the momentum (VISSL's semi-supervised protocol)."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """L2 penalty on all parameters, biases included."""
    norm_decay: Annotated[float, Field(ge=0)] | None = None
    """L2 penalty on the weights and biases of norms (detectron2: 0); null: weight_decay."""
    precise_bn: Annotated[int, Field(ge=0)] = 0
    """After the last step, replace the running statistics by their mean over this many further
    training batches (MoCo's detection: 200); 0: keep them."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the network; the loss and the weights stay in float32."""

    @model_validator(mode="after")
    def _possible(self) -> TrainedTask:
        refuse(self.complaints())
        return self

    def complaints(self) -> Iterator[tuple[str, str]]:
        """(field, message) of each impossible combination of the section's own fields."""
        if (self.epochs is None) == (self.steps is None):
            both = "both" if self.epochs is not None else "neither"
            yield "epochs", f"{both} epochs and steps: give one of them, the length"
        length = self.epochs or self.steps or 0
        unit = "epochs" if self.epochs is not None else "steps"
        if self.schedule.kind == "step":
            drops = self.schedule.drops
            if list(drops) != sorted(set(drops)):
                yield "schedule.drops", f"{list(drops)}: {unit} must increase"
            elif drops and length and drops[-1] >= length:
                why = f"the drop at {drops[-1]} is never reached in {length} {unit}"
                yield "schedule.drops", why
        if self.warmup is not None and self.steps is not None and self.warmup.steps > self.steps:
            yield "warmup.steps", f"{self.warmup.steps}, but there are only {self.steps} steps"
        if self.nesterov and not self.sgd_momentum:
            yield "nesterov", "it needs sgd_momentum above 0"

    def unshareable(self, processes: int) -> str:
        """Why so many processes cannot share a batch; "" if they can."""
        if self.batch % processes == 0:
            return ""
        fitting = ", ".join(map(str, divisors(self.batch)))
        return (
            f"{processes} processes cannot share a batch of {self.batch} equally; use {fitting} "
            "processes, or another batch"
        )

    def total(self, per_epoch: int) -> int:
        """The number of steps, of which `per_epoch` are one pass over the images."""
        return self.steps if self.steps is not None else (self.epochs or 0) * per_epoch
