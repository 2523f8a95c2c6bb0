"""The whole recipe, and the fields that are no part of a run's identity. The other sections are in
`sections`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Union

from pydantic import Field, model_validator

from harness.recipe.evaluation import Knn, Linear, LogisticTask
from harness.recipe.method import MAIN, MethodSection, sections
from harness.recipe.optim import Constant, Cosine, Decay, Optim, Schedule, Steps, any_optim
from harness.recipe.rules import contradictions
from harness.recipe.section import ByName, Key, Name, Positive, Section, Since, refuse
from harness.recipe.sections import Augment, Model, Text, View, Weights
from harness.recipe.task import Data, TaskSection, task_sections
from harness.spec.registry import metrics, task_of, tasks

__all__ = [
    "SCHEMA_VERSION",
    "About",
    "Augment",
    "Constant",
    "Contrast",
    "Cosine",
    "Cost",
    "Data",
    "Decay",
    "Knn",
    "Linear",
    "LogisticTask",
    "Model",
    "Optim",
    "Recipe",
    "Reported",
    "Schedule",
    "Steps",
    "Target",
    "View",
    "Watch",
    "Weights",
]

SCHEMA_VERSION = 1
"""Part of every stage's identity: raised when the meaning of a field changes. The layout of
stage.json has its own version, harness.store.version.STAGE."""

if TYPE_CHECKING:
    Reported = str
else:
    Reported = Literal[tuple(task_of())]
"""A metric that a declared task reports."""


if TYPE_CHECKING:
    Contrast = MethodSection
else:
    Contrast = Annotated[Union[sections()], Field(discriminator="kind")]  # noqa: UP007
"""The pretext task: which keys a query is compared with, and how they are maintained."""


if TYPE_CHECKING:
    AnyOptim = Optim
else:
    AnyOptim = any_optim()


if TYPE_CHECKING:
    FurtherTask = TaskSection
else:
    FurtherTask = Annotated[Union[task_sections()], Field(discriminator="kind")]  # noqa: UP007
"""A further task on the run's weights."""


class Watch(Section):
    """How often to look. Never part of a run's identity."""

    log_steps: Positive = 50
    """Steps whose losses leave the device together and are written to the journal."""
    knn_epochs: Annotated[int, Field(ge=0)] = 1
    """Monitor kNN after every so many epochs; 0: only after the last."""
    checkpoint_steps: Positive = 1000
    """Steps between checkpoints (one more is written at each epoch's end)."""
    keep: Annotated[int, Field(ge=2)] = 2
    """Newest checkpoints that stay on disk."""


class Target(Section):
    """What a recipe must reach for `check` to pass."""

    metric: Reported
    task: Key | None = None
    """Of which task under `tasks:`; null: of what stands in a section of its own."""
    value: float
    """Expected value, in the metric's unit: percent of accuracies."""
    tolerance: Annotated[float, Field(ge=0)]
    """How far below `value` a result may lie, in the same unit."""
    epoch: Positive | None = None
    """Of the kNN monitor after this epoch, so that a run that arrives late is seen; null: of the
    last epoch's result."""
    source: Annotated[str, Field(min_length=1)]
    """Who measured `value`, over how many seeds."""

    @model_validator(mode="after")
    def _monitored(self) -> Target:
        if self.epoch is not None and self.metric != "knn/top1":
            refuse([("epoch", "only kNN is monitored during training: leave it out")])
        if not (metric := metrics()[self.metric]).possible(self.value):
            bounds = f"{metric.least:g} to {metric.most:g} {metric.unit}"
            refuse([("value", f"{self.value:g}: {self.metric} is {bounds}")])
        return self


class Cost(Section):
    """What one run costs, by a source; `plan` shows it until this machine has measured its own."""

    hours: Annotated[float, Field(gt=0)]
    on: str
    gpus: Annotated[int, Field(ge=0)] = 0
    source: str


class About(Section):
    """Where a recipe comes from. Never part of a run's identity."""

    title: str = ""
    source: str = ""
    """The paper or code that the recipe follows; of given weights, where they are had."""
    notes: tuple[str, ...] = ()
    """Deviations from the source, and whatever a reader should know."""
    cost: Cost | None = None
    targets: tuple[Target, ...] = ()


class Recipe(Section):
    """One training run described whole."""

    name: Name
    seed: Annotated[int, Field(ge=0)] = 0
    continue_from: Annotated[Text | None, Since("0.2"), ByName()] = None
    """A finished pre-training that this one goes on from, with its queue, its optimiser's momentum
    and its step: the id of its stage, or its folder, relative to the run root. All but `optim` is
    as there, and `optim` says the whole: its epochs count from the other's start."""
    data: Data
    augment: Augment
    views: Annotated[dict[Key, View], Since("0.2")] = {}
    """Further kinds of views by name, where the method asks for them."""
    model: Model
    contrast: Contrast
    optim: AnyOptim
    precision: Annotated[Literal["fp32", "bf16", "fp16"], Field(title="precision")] = "fp32"
    """Of the encoders' arithmetic; logits, queue and moving average stay in float32."""
    knn: Knn = Knn()
    linear: Linear | None = Linear()
    """null: no linear probe."""
    tasks: Annotated[dict[Key, FurtherTask], Since("0.2")] = {}
    """Further tasks by name, e.g. a probe on other data."""
    watch: Watch = Watch()
    about: About = About()

    def drawn(self) -> tuple[View, ...]:
        """How each view of an image in a step of pre-training is drawn, in order."""
        main = self.augment.at(self.data.size)
        return tuple(main if kind == MAIN else self.views[kind] for kind in self.contrast.views())

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        refuse(
            contradictions(
                continue_from=self.continue_from,
                data=self.data,
                augment=self.augment,
                views=self.views,
                model=self.model,
                contrast=self.contrast,
                optim=self.optim,
                knn=self.knn,
                linear=self.linear,
                further=self.tasks,
                own=[kind for kind, each in tasks().items() if each.asked(self)],
            )
        )
        return self
