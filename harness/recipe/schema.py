"""What a recipe says, section by section, with units and sources.

Sources: v1 = MoCo v1 (arXiv:1911.05722), v2 = MoCo v2 (arXiv:2003.04297), code = the official
implementation (facebookresearch/moco at 7397dfe), demo = the official CIFAR-10 notebook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Union

from pydantic import Field, model_validator

from harness.recipe.evaluation import Knn as Knn
from harness.recipe.evaluation import Linear as Linear
from harness.recipe.method import MAIN, MethodSection, sections
from harness.recipe.optim import Optim, any_optim
from harness.recipe.rules import contradictions
from harness.recipe.section import Key, Name, Positive, PositiveFloat, Section, Since, refuse
from harness.recipe.task import Data as Data
from harness.recipe.task import Pixels, TaskSection, task_sections
from harness.spec.registry import metrics, task_of

SCHEMA_VERSION = 1
"""Part of every stage's identity: raised when the meaning of a field changes. How stage.json is
laid out has a version of its own, harness.store.version.STAGE."""

Fraction = Annotated[float, Field(ge=0, le=1)]

if TYPE_CHECKING:
    Reported = str
else:
    Reported = Literal[tuple(task_of())]
"""A metric that some declared task reports."""


class Augment(Section):
    """How a view is drawn from an image: two independent draws make the query and the key view.

    The order is crop, [grayscale, jitter] or [jitter, grayscale], blur, flip (code: main_moco.py).
    """

    crop_scale: tuple[Fraction, Fraction] = (0.2, 1.0)
    """Area of the random crop as a share of the image (code: 0.2 to 1; demo: 0.08 to 1)."""
    crop_ratio: tuple[PositiveFloat, PositiveFloat] = (3 / 4, 4 / 3)
    """Aspect ratio of the random crop, drawn log-uniformly (torchvision's default)."""
    jitter: tuple[
        Annotated[float, Field(ge=0)],
        Annotated[float, Field(ge=0)],
        Annotated[float, Field(ge=0)],
        Annotated[float, Field(ge=0, le=0.5)],
    ] = (0.4, 0.4, 0.4, 0.4)
    """Strengths for brightness, contrast, saturation, hue (v1: .4 .4 .4 .4; v2: .4 .4 .4 .1)."""
    jitter_p: Fraction = 1.0
    """Probability of the colour jitter (v1: 1; v2 and demo: 0.8)."""
    grayscale_p: Fraction = 0.2
    """Probability of grayscale (0.2 in v1, v2 and demo)."""
    grayscale_first: bool = True
    """Grayscale before the jitter (v1) or after it (v2 and demo)."""
    blur_p: Fraction = 0.0
    """Probability of the Gaussian blur (v1: 0; v2: 0.5)."""
    blur_sigma: tuple[PositiveFloat, PositiveFloat] = (0.1, 2.0)
    """Standard deviation of the blur in pixels, drawn uniformly (v2: 0.1 to 2)."""
    flip_p: Fraction = 0.5
    """Probability of the horizontal flip."""

    def at(self, size: int) -> View:
        """Views that are drawn so, of that size in pixels."""
        return View(size=size, **{name: getattr(self, name) for name in Augment.model_fields})


class View(Augment):
    """Another kind of view, of a size of its own: some methods compare small crops with large."""

    size: Pixels
    """Side of the square that the encoder sees, in pixels."""


class Weights(Section):
    """Weights to begin with: released ones, as a control of the evaluation."""

    file: Annotated[str, Field(min_length=1)]
    """A checkpoint under the data root, official (module.encoder_q.*) or torchvision's."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None = None
    """Its SHA-256, or the beginning of it: the identity of what is evaluated."""
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{8,32}$")] | None = None
    """Its MD5, or the beginning of it, for files whose publisher gives no other (code's README)."""


class Model(Section):
    """Query and key encoder: a backbone, and a head that is thrown away after pre-training."""

    backbone: Literal[
        "miniature",
        "resnet18",
        "resnet18_cifar",
        "resnet34",
        "resnet50",
        "resnet50_cifar",
        "resnext50_32x8d",
    ]
    """_cifar: 3x3 stem of stride 1 and no max-pooling (demo); miniature: 3 blocks, for CPUs."""
    width: Positive = 1
    """Multiplies every layer's channels: 2 and 4 give v1 Table 1's R50w2x and R50w4x."""
    head: Literal["fc", "mlp"] = "fc"
    """fc: one linear layer (v1); mlp: linear, ReLU, linear, with the features' width (v2)."""
    dim: Positive = 128
    """Width of the embedding that is compared (v1 Sec. 3.3: 128)."""
    bn_group: Positive
    """Images normalised together by batch norm (v1: 32, one GPU's share of a batch of 256); the
    whole batch: synchronised over all processes."""
    running_stats: Literal["first_group", "mean"] = "first_group"
    """Whose running statistics are kept: the first group's (code) or the groups' mean (demo)."""
    weights: Weights | None = None
    """null: random initial weights. With optim.epochs 0 given weights are evaluated as they are."""


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
"""What is done besides with the run's weights."""


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
    data: Data
    augment: Augment
    views: Annotated[dict[Key, View], Since("0.2")] = {}
    """Further kinds of views by name, where the method asks for them."""
    model: Model
    contrast: Contrast
    optim: AnyOptim
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the encoders' arithmetic; logits, queue and moving average stay in float32."""
    knn: Knn = Knn()
    linear: Linear | None = Linear()
    """null: no linear probe."""
    tasks: Annotated[dict[Key, FurtherTask], Since("0.2")] = {}
    """Further tasks by name, e.g. a probe on other data."""
    watch: Watch = Watch()
    about: About = About()

    def drawn(self) -> tuple[View, ...]:
        """How each view of an image that a step of pre-training sees is drawn, in their order."""
        main = self.augment.at(self.data.size)
        return tuple(main if kind == MAIN else self.views[kind] for kind in self.contrast.views())

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        refuse(contradictions(self))
        return self
