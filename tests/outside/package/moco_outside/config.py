"""What a package outside of the harness declares: a task, a method, an optimiser, a launcher and a
tracker."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.method import MAIN, MethodSection
from harness.recipe.optim import Optim
from harness.recipe.section import Positive
from harness.recipe.task import TaskSection
from harness.spec.declarations import Launcher, Method, Metric, Optimiser, Task, Tracker, accuracy

Beta = Annotated[float, Field(ge=0, lt=1)]

TASK = Task(
    kind="brightness",
    function="moco_outside.brightness:run",
    reads=(),
    parent="pretrain",
    metrics=(
        Metric(
            "brightness/error",
            "levels",
            "epoch",
            "mean absolute error of the brightness that is read off the features",
            "lower",
            label="brightness error",
            short="error {:.1f}",
            least=0,
        ),
        accuracy("brightness/near", "images whose error is below 16 levels", label="within 16"),
    ),
    reported=("brightness/error", "brightness/near"),
    config="moco_outside.config:Brightness",
    hours=0.5,
    watched=("brightness/error",),
)

METHOD = Method(
    kind="agreement",
    config="moco_outside.config:Agreement",
    build="moco_outside.agreement:build",
)

OPTIMISER = Optimiser(
    kind="adamw",
    config="moco_outside.config:AdamWOptim",
    build="moco_outside.adamw:AdamW",
)


LAUNCHER = Launcher(
    kind="crate",
    title="the crate",
    opener="moco_outside.crate:Crate",
    jobs="moco_outside.crate:Crates",
    section="moco_outside.crate:CrateSite",
    inside="moco_outside.crate:own_job",
    variables=("CRATE_JOB",),
)

TRACKER = Tracker(
    kind="notebook",
    title="the notebook",
    opener="moco_outside.notebook:opener",
    access="moco_outside.notebook:access",
    off=("NOTEBOOK", "off"),
)


class Brightness(TaskSection):
    """A linear map from features to an image's mean brightness."""

    kind: Literal["brightness"]
    steps: Positive = 6
    rate: Annotated[float, Field(gt=0)] = 0.1


class Agreement(MethodSection):
    """Views of an image shall agree, through a predictor, without negatives: each of several small
    crops with each of two large ones, and these with each other."""

    kind: Literal["agreement"]
    hidden: Positive = 16
    """Width of the predictor."""
    crops: Positive = 2
    """Small crops of each image, drawn as `views.crop` says."""

    def views(self) -> tuple[str, ...]:
        return (MAIN, MAIN, *("crop",) * self.crops)


class AdamWOptim(Optim):
    """Adam with decoupled weight decay."""

    kind: Literal["adamw"]
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    decay: Annotated[float, Field(ge=0)] = 0.01
