"""The whole recipe, and the fields that are no part of a run's identity. The other sections are in
`sections`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field, model_validator

from harness.errors import HarnessError
from harness.recipe.claims import CONTROL
from harness.recipe.evaluation import Knn, Linear, LogisticTask
from harness.recipe.method import MAIN, MethodSection, sections
from harness.recipe.optim import Constant, Cosine, Decay, Optim, Schedule, Steps, any_optim
from harness.recipe.rules import contradictions
from harness.recipe.section import ByName, Key, Name, Positive, Section, Since, refuse
from harness.recipe.sections import Augment, Model, Text, View, Weights
from harness.recipe.task import Data, TaskSection, task_sections
from harness.recipe.warning_keys import WarningKey
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
    """How often to log, monitor and save. Never part of a run's identity."""

    log_steps: Positive = 50
    """Steps between writes to the journal, which has every step's loss."""
    knn_epochs: Annotated[int, Field(ge=0)] = 1
    """Monitor kNN after every so many epochs; 0: only after the last."""
    knn_task: Annotated[Key | None, Since("0.2")] = None
    """Where `knn` is null: the kNN task under `tasks:` by whose protocol, and on whose data, kNN is
    monitored; null: it is not."""
    health_epochs: Annotated[int | None, Field(ge=0), Since("0.2")] = None
    """Measure the health of the features after every so many epochs and after the last; 0: never;
    null: with the kNN monitor if it encodes the same images, else as often as it costs under 1 %
    of the time."""
    control: Annotated[bool, Since("0.2")] = True
    """Also measure kNN of the untrained network, once for all recipes with the same network, data
    and seed. An ablation recipe has its own `control`."""
    look: Annotated[bool, Since("0.2")] = True
    """Keep what reports show of a run once it has finished: views, nearest neighbours and other
    small pictures of its images."""
    evaluations: Annotated[Positive, Since("0.2")] = 10
    """About how often a task that trains is evaluated; the last evaluation is its result."""
    checkpoint_steps: Positive = 1000
    """Steps between checkpoints (one more is written at each epoch's end)."""
    keep: Annotated[int, Field(ge=2)] = 2
    """Number of newest checkpoints that are kept."""


class Target(Section):
    """What a recipe must reach for `check` to pass: a band, or a minimum."""

    metric: Reported
    task: Key | None = None
    """Name of a task under `tasks:`; null: the task of the recipe's own section."""
    value: float
    """Expected value, in the metric's unit (accuracies: percent)."""
    tolerance: Annotated[float, Field(ge=0)]
    """How far below or above `value` a result may lie, in the same unit."""
    minimum: bool = False
    """Whether a result may lie above the band too, because `value` is only what is enough."""
    epoch: Positive | None = None
    """Compare the kNN monitor after this epoch, to detect slower learning; null: the last
    result."""
    source: Annotated[str, Field(min_length=1)]
    """Who measured `value`, over how many seeds."""

    @model_validator(mode="after")
    def _monitored(self) -> Target:
        if self.epoch is not None and self.metric != "knn/top1":
            refuse([("epoch", "leave it out: only kNN is measured during training")])
        if not (metric := metrics()[self.metric]).possible(self.value):
            bounds = f"{metric.least:g} to {metric.most:g} {metric.unit}"
            refuse([("value", f"{self.value:g}: {self.metric} is {bounds}")])
        return self


class Cost(Section):
    """Cost of one run as a source gives it; `plan` shows it until this machine has its own
    times."""

    hours: Annotated[float, Field(gt=0)]
    on: str
    gpus: Annotated[int, Field(ge=0)] = 0
    source: str


class About(Section):
    """Where a recipe comes from. Never part of a run's identity."""

    title: str = ""
    source: str = ""
    """The paper or code that the recipe follows; for given weights, where to get them."""
    notes: tuple[str, ...] = ()
    """Deviations from the source, and whatever a reader should know."""
    curves: Annotated[str | None, Since("0.2")] = None
    """TABLE.CELL of ablations/: the cell whose printed curves reports draw beside this run's."""
    cost: Cost | None = None
    targets: tuple[Target, ...] = ()
    accept: Annotated[tuple[WarningKey, ...], Since("0.2")] = ()
    """Keys of warnings that do not apply here, or are meant; `plan` then only counts them
    (docs/preflight.md)."""


class Recipe(Section):
    """One training run described whole."""

    name: Name
    seed: Annotated[int, Field(ge=0)] = 0
    continue_from: Annotated[Text | None, Since("0.2"), ByName()] = None
    """A finished pre-training that this one continues, with its queue, optimiser momentum and
    step: its stage id, or its folder relative to the run root. All sections but `optim` must be
    equal; epochs in `optim` count from the start of that run."""
    data: Data
    augment: Augment
    views: Annotated[dict[Key, View], Since("0.2")] = {}
    """Further kinds of views by name, for methods that use them."""
    model: Model
    contrast: Contrast
    optim: AnyOptim
    precision: Annotated[Literal["fp32", "bf16", "fp16"], Field(title="precision")] = "fp32"
    """Precision of the encoders; logits, queue and moving average stay in float32."""
    knn: Knn | None = Knn()
    """null: no kNN on the run's own data, as always where they have no labels."""
    linear: Linear | None = Linear()
    """null: no linear probe, as always where the run's own data have no labels."""
    tasks: Annotated[dict[Key, FurtherTask], Since("0.2")] = {}
    """Further tasks by name, e.g. a probe on other data."""
    watch: Watch = Watch()
    about: About = About()

    def drawn(self) -> tuple[View, ...]:
        """How each view of an image in a step of pre-training is drawn, in order."""
        main = self.augment.at(self.data.size)
        return tuple(main if kind == MAIN else self.views[kind] for kind in self.contrast.views())

    @classmethod
    def completed(cls, said: Any) -> Any:
        """Evaluations of the run's own data are not asked for by default if these have no
        labels."""
        data = said.get("data") if isinstance(said, dict) else None
        if isinstance(data, dict) and data.get("name") == "pictures":
            return {"knn": None, "linear": None, **said}
        return said

    @property
    def reads_output(self) -> bool:
        """Whether the recipe's own kNN reads the head's output."""
        return self.knn is not None and self.knn.layer == "output"

    @property
    def monitor(self) -> Knn | None:
        """The protocol by which kNN is monitored during training; a KnnTask names its data. None:
        it is not monitored."""
        if self.knn is not None or self.watch.knn_task is None:
            return self.knn
        found = self.tasks[self.watch.knn_task]
        return found if isinstance(found, Knn) else None

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.name == CONTROL:
            refuse([("name", f"{CONTROL} is the control of every table; choose another name")])
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
                watched=self.watch.knn_task,
                health=self.watch.health_epochs,
            )
        )
        return self


def _refuse_unknown_sections() -> None:
    """Raise a HarnessError if a task is declared to read what no recipe has."""
    for kind, each in tasks().items():
        wanted = (*each.reads, *([each.section] if each.section is not None else []))
        if absent := [name for name in wanted if name not in Recipe.model_fields]:
            raise HarnessError(f"the task {kind}: {absent[0]} is no section of a recipe")


_refuse_unknown_sections()
