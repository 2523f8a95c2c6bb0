"""Declarations: what each task, method, optimiser, metric, launcher and tracker says of itself.

Standard library and our errors only. Code is given by dotted name, and loaded when it is to run.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from harness.errors import HarnessError

OWN = "harness."
"""How the names of the harness's own modules begin."""
NAME = "[a-z][a-z0-9_]*"
Axis = Literal["step", "epoch"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """One quantity that a task measures.

    A name may carry a variant after "@": "knn/top1@k20" is "knn/top1" with another k, and
    "linear/top1@lr10" is "linear/top1" at another learning rate.

    Attributes:
        name: as in journals and results, e.g. "knn/top1".
        unit: of its values; accuracies are in percent.
        axis: x axis of its plots: epochs for evaluations, steps for training.
        description: what it is, in a few words.
        better: the direction of improvement; None if there is none.
        label: its name in tables; "" if no table shows it.
        short: its format in a progress line, e.g. "kNN {:.1f} %"; "" if not shown there.
        least, most: bounds of its values; None: no bound. A value beyond them is no measurement.
        alarm: what a newest value above 0 warns of, e.g. "collapsed since epoch {:g}"; "" if it is
            no alarm. An alarm is shown wherever a stage's state is, and changes no result.
        each: what it is measured for one by one, e.g. "class"; then its values have only variants,
            which reports show in a table of their own. "": it is one value.
        data_metric: the metric of data sets that it is. It is measured only on the data sets that
            are published with this metric, and reported there before the task's others. "": it is
            measured on all data.
    """

    name: str
    unit: str
    axis: Axis
    description: str
    better: Better | None = None
    label: str = ""
    short: str = ""
    least: float | None = None
    most: float | None = None
    alarm: str = ""
    data_metric: str = ""
    each: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError: a format does not fit a number."""
        for said in (self.short, self.alarm):
            try:
                said.format(1.0)
            except (LookupError, ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{self.name}: the format {said!r}: {error}") from None

    def variant(self, name: str) -> Metric:
        """The declaration of `name`: this metric with "@" and a variant."""
        _, _, which = name.partition("@")
        return dataclasses.replace(
            self, name=name, description=f"{self.description}, variant {which}"
        )

    def possible(self, value: float) -> bool:
        """Whether a measurement can have this (finite) value."""
        low = self.least is None or value >= self.least
        return low and (self.most is None or value <= self.most)


def accuracy(
    name: str, description: str, *, label: str = "", short: str = "", data_metric: str = ""
) -> Metric:
    """A metric: share of correct answers, in percent, evaluated at the end of epochs."""
    return Metric(
        name,
        "%",
        "epoch",
        description,
        better="higher",
        label=label,
        short=short,
        least=0.0,
        most=100.0,
        data_metric=data_metric,
    )


def of_steps(task: str, said: str, loss: str, unit: str = "nats") -> tuple[Metric, ...]:
    """The metrics of each step of a task that trains the network further.

    Args:
        said: the task, in words.
        loss: what its loss is.
        unit: of the loss.
    """
    speed = f"images a second of {said}, all processes"
    return (
        Metric(f"{task}/loss", unit, "step", loss, "lower", short="loss {:.3f}"),
        Metric(f"{task}/lr", "1", "step", f"learning rate of {said}", least=0),
        Metric(
            f"{task}/images_per_s",
            "images/s",
            "step",
            speed,
            "higher",
            short="{:,.0f} images/s",
            least=0,
        ),
    )


PER_CLASS: Final = "mean_per_class"
"""The metric of data sets with classes of unequal size: the mean of each class's accuracy."""


@dataclass(frozen=True)
class Task:
    """One kind of work on a run; a stage is one task of one run.

    Attributes:
        kind: its name, part of the stage's folder.
        function: dotted name, "module:function", of the function that runs a stage:
            Context -> StageOutcome.
        reads: the recipe's sections that decide its result: they are hashed into the stage's id.
        parent: the task whose stage it builds on; None: it builds on none.
        metrics: all metrics that its journal and its result may hold.
        reported: names of the metrics that are its results: tables show them, targets name them.
        config: dotted name of its section under the recipe's `tasks:`, a
            harness.recipe.task.TaskSection; None: it has no section there.
        section: the recipe's section that holds its protocol, null to leave the task out; None:
            it has no such section, and every run has the task.
        hours: time limit of its jobs, in hours, unless the site sets another; used where jobs have
            time limits.
        watched: metrics whose newest values are shown while a stage runs.
        progress: the recipe's section with its number of epochs or steps, "tasks" if it has only
            its own under `tasks:`; None: it does not train.
        trains: whether it trains the method; then the method's code decides its numbers.
        libraries: packages whose version decides its numbers.
        labels: whether it needs images with labels.
        extra: the extra of the harness's package that installs those of them that only it needs.
        protocol: dotted name of a function that says in a few words how its accuracies are
            measured, which then stand beside them everywhere: (its section, the data, the data
            that the weights were pre-trained on) -> text without a semicolon. All are plain
            values, as in stage.json; the last as harness.recipe.knn_words.Trained. None: nothing
            is said.
        pictures: the heading under which reports show the pictures that its stages keep, see
            harness.store.pictures; "": they keep none.
        look: dotted name of a function that makes what reports show of a finished stage's network:
            Context -> harness.store.look.Look. It runs after the result is on disk, and its code
            decides no number. None: nothing is shown.
    """

    kind: str
    function: str
    reads: tuple[str, ...]
    parent: str | None
    metrics: tuple[Metric, ...]
    reported: tuple[str, ...]
    config: str | None = None
    section: str | None = None
    hours: float = 12.0
    watched: tuple[str, ...] = ()
    progress: str | None = None
    trains: bool = False
    libraries: tuple[str, ...] = ("torch", "torchvision", "pillow")
    labels: bool = True
    extra: str = ""
    protocol: str | None = None
    pictures: str = ""
    look: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError: its name is invalid, or it reports a metric that is not its own."""
        if not re.fullmatch(NAME, self.kind):
            raise ValueError(f"{self.kind!r} cannot be a task's name, as folder names contain it")
        for name, said in (("metrics", self.metrics), ("reported", self.reported)):
            if not isinstance(said, tuple):
                raise ValueError(f"the task {self.kind}: {name} is not a tuple")
        own = {metric.name for metric in self.metrics}
        if absent := [name for name in self.reported if name not in own]:
            raise ValueError(f"the task {self.kind}: {absent[0]} is not among its metrics")
        if self.config is not None and not self.reported:
            raise ValueError(f"the task {self.kind} reports no metric")

    def asked(self, recipe: object) -> bool:
        """Whether every run of the recipe has a stage of this task, named under `tasks:` or not."""
        if not self.reads:
            return False
        return self.section is None or getattr(recipe, self.section) is not None


@dataclass(frozen=True)
class Method:
    """How a representation is learned.

    Attributes:
        kind: its name, the recipe's `contrast.kind`.
        config: dotted name of its section of the recipe, a harness.recipe.method.MethodSection.
        build: dotted name of the function that builds its mechanism:
            (recipe, encoder, labels=..., world=...) -> harness.methods.mechanism.Mechanism;
            labels: those of the training images, an int64 tensor, -1 where there is none.
    """

    kind: str
    config: str
    build: str


@dataclass(frozen=True)
class Optimiser:
    """How a step changes the weights.

    Attributes:
        kind: its name, the recipe's `optim.kind`.
        config: dotted name of its section of the recipe, a harness.recipe.optim.Optim.
        build: dotted name of the function that builds it:
            (harness.runtime.merged.Merged, its section) ->
            harness.runtime.optimiser.MergedOptimiser.
    """

    kind: str
    config: str
    build: str


@dataclass(frozen=True)
class Tracker:
    """A service that mirrors the journals of running stages, for people to view.

    Attributes:
        kind: its name, also of its files in a stage's folder: KIND.json records how far the stage
            is mirrored.
        title: its name for people.
        opener: dotted name of a function without arguments that makes its
            harness.track.protocol.Opener.
        access: dotted name of a function that says whether and how to use it: environment
            variables -> harness.track.protocol.Access. It uses no network, does not load the
            tracker's library, and raises a HarnessError if the request is impossible.
        off: the environment variable that switches it off, and the value that does so.
        libraries: packages whose version is in the provenance of what it mirrors.
    """

    kind: str
    title: str
    opener: str
    access: str
    off: tuple[str, str]
    libraries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError: its file's name is invalid, or used for another file."""
        if not re.fullmatch(NAME, self.kind) or self.kind in ("stage", "result"):
            raise ValueError(f"{self.kind!r} cannot be a tracker's name, as file names contain it")


@dataclass(frozen=True)
class Launcher:
    """A way to run stages.

    Attributes:
        kind: its name: the value of `run --on`, of "on" in a submission's record, its section of a
            site file, and its key in alive.json and attempt.json.
        title: its name for people.
        opener: dotted name of a function that makes an Attached or a Detached of
            harness.launch.protocol from a harness.site.Site. It raises a HarnessError if the site
            file lacks something.
        attached: whether stages run in the process that starts them. Else there are jobs.
        jobs: dotted name of a function without arguments that makes its
            harness.launch.protocol.Jobs; None for an attached launcher.
        section: dotted name of its section of a site file, a harness.backend.Backend. If a site
            file has it, stages run there unless the user names another launcher. None: it has none.
        unusable: dotted name of a function without arguments that says why it cannot be used on
            this machine, "" if it can; None: it works everywhere.
        inside: dotted name of a function that says which of its jobs the process is in, from
            environment variables: {"job": number, "restart": how often it was restarted, "cluster":
            which of several schedulers has it; optional}, or None. Standard library only.
        variables: environment variables of a job that an attempt's record keeps, the job's number
            first.
        libraries: packages whose version is in every result's provenance.
        examiner: dotted name of a function without arguments that makes its
            harness.doctor.finding.Examiner; None: there is nothing to examine.
    """

    kind: str
    title: str
    opener: str
    attached: bool = False
    jobs: str | None = None
    section: str | None = None
    unusable: str | None = None
    inside: str | None = None
    variables: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    examiner: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError: its name is reserved, or it has no jobs."""
        if not re.fullmatch(NAME, self.kind) or self.kind in _TAKEN:
            raise ValueError(f"{self.kind!r} is reserved and cannot be a launcher's name")
        if self.attached == (self.jobs is not None):
            raise ValueError(f"the launcher {self.kind}: declare either `attached` or `jobs`")


_TAKEN = frozenset(
    (
        "auto",
        *("boot", "born", "host", "pid"),
        *("code", "command", "data", "edition", "folder", "inputs", "machine", "packages"),
        *("python", "started"),
        *("ask_above_hours", "device", "processes", "runs"),
    )
)
"""Names that are reserved: values of `run --on`, keys of alive.json and attempt.json, fields of a
site file."""


def load(dotted: str) -> Callable[..., Any]:
    """The function that a declaration names.

    Args:
        dotted: "package.module:function", from a declaration, never from a user's file.

    Raises:
        HarnessError: an installed package does not have it.
    """
    module, _, name = dotted.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except Exception as error:
        if module.startswith(OWN):
            raise
        why = f"{type(error).__name__}: {error}"
        raise HarnessError(f"an installed package declares {dotted}: {why}") from error
    return found
