"""What tasks, methods, optimisers, metrics, launchers and trackers declare, for all that reads it.

Standard library only. What computes is named by a dotted name and loaded when it is to run.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Axis = Literal["step", "epoch"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """One figure that a task measures.

    A name may carry a variant after "@": "knn/top1@k20" is "knn/top1" with another k, and
    "linear/top1@lr10" is "linear/top1" at another learning rate.

    Attributes:
        name: as journals and results have it, e.g. "knn/top1".
        unit: of its values; accuracies are in percent.
        axis: what it is drawn against; evaluations belong to epochs, training to steps.
        description: what it is, in a few words.
        better: which way is an improvement; None where neither is.
        label: its name in tables; "" for figures that no table shows.
        short: how a line of progress tells a value, e.g. "kNN {:.1f} %"; "" where it does not.
        least, most: what a value can be; None: no bound. A value beyond them is no measurement.
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

    def variant(self, name: str) -> Metric:
        """The declaration of `name`, which is this metric's with "@" and a variant."""
        _, _, which = name.partition("@")
        return dataclasses.replace(
            self, name=name, description=f"{self.description}, variant {which}"
        )

    def possible(self, value: float) -> bool:
        """Whether a measurement can have the (finite) value."""
        low = self.least is None or value >= self.least
        return low and (self.most is None or value <= self.most)


def accuracy(name: str, description: str, *, label: str = "", short: str = "") -> Metric:
    """A share of right answers, in percent, evaluated at the end of epochs."""
    return Metric(name, "%", "epoch", description, "higher", label, short, 0.0, 100.0)


@dataclass(frozen=True)
class Task:
    """One kind of work on a run; a stage is one task of one run.

    Attributes:
        kind: its name, part of the stage's folder.
        function: dotted name, "module:function", of what runs a stage: Context -> Outcome.
        reads: the recipe's sections that decide its result: they are hashed into the stage's id.
        parent: the task whose stage it builds on; None: it builds on none.
        metrics: all that its journal and its result may hold.
        reported: names of the metrics that are its results: tables show them, targets name them.
        config: dotted name of its section under the recipe's `tasks:`, a
            harness.recipe.task.TaskSection; None: it does not stand there.
        section: the recipe's section that holds its protocol, null where it is not wanted; None:
            it has none of its own, and every run has the task.
        hours: after how many a job of it is ended where jobs have time limits, unless the site says
            another number.
        watched: metrics that are looked for while a stage runs, the newest of each.
        progress: the recipe's section that says how many epochs it trains; None: it does not train.
        trains: whether it is the method that it trains: then the method's code decides its numbers.
        libraries: packages whose version decides its numbers.
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

    def asked(self, recipe: object) -> bool:
        """Whether every run of the recipe has a stage of this task, named under `tasks:` or not."""
        if not self.reads:
            return False
        return self.section is None or getattr(recipe, self.section) is not None


@dataclass(frozen=True)
class Method:
    """How a representation is learned.

    Attributes:
        kind: its name, as the recipe's `contrast.kind` has it.
        config: dotted name of its section of the recipe, a harness.recipe.method.MethodSection.
        build: dotted name of what makes its mechanism:
            (recipe, encoder, images=..., world=...) -> harness.methods.mechanism.Mechanism.
    """

    kind: str
    config: str
    build: str


@dataclass(frozen=True)
class Optimiser:
    """How the weights are changed in a step.

    Attributes:
        kind: its name, as the recipe's `optim.kind` has it.
        config: dotted name of its section of the recipe, a harness.recipe.optim.Optim.
        build: dotted name of what makes it: (harness.runtime.merged.Merged, its section) ->
            harness.runtime.optimiser.MergedOptimiser.
    """

    kind: str
    config: str
    build: str


@dataclass(frozen=True)
class Tracker:
    """Where journals are mirrored while stages run, for people to look at.

    Attributes:
        kind: its name, and that of its files in a stage's folder: how far the stage is mirrored is
            in KIND.json.
        title: what people call it.
        opener: dotted name of what makes, without arguments, its harness.track.protocol.Opener.
        access: dotted name of what tells whether and how it is to be used: the environment's
            variables -> harness.track.protocol.Access. It asks no network, loads no library of the
            tracker's, and raises a HarnessError where what is asked for is not possible.
        off: the variable of the environment that switches it off, and the value that does.
        libraries: packages whose version stands in the provenance of what it mirrors.
    """

    kind: str
    title: str
    opener: str
    access: str
    off: tuple[str, str]
    libraries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError: its file would be another's, or have no good name."""
        if not re.fullmatch("[a-z][a-z0-9_]*", self.kind) or self.kind in ("stage", "result"):
            raise ValueError(f"{self.kind!r} cannot be a tracker's name: files are called by it")


@dataclass(frozen=True)
class Launcher:
    """What runs stages.

    Attributes:
        kind: its name: `run --on` takes it, a submission's record has it under "on", and it is the
            name of its section in a site file, and of its key in alive.json and attempt.json.
        title: what people call it.
        opener: dotted name of what makes, of a harness.site.Site, an Attached or a Detached of
            harness.launch.protocol. It raises a HarnessError if the site has not said enough.
        attached: whether stages run in the process that asks for them. Else there are jobs.
        jobs: dotted name of what makes, without arguments, its harness.launch.protocol.Jobs; None
            of an attached one.
        section: dotted name of its section of a site file, a harness.backend.Backend. Where a site
            file has it, stages go there unless another launcher is asked for. None: it has none.
        unusable: dotted name of what tells, without arguments, why it cannot be used on this
            machine, "" if it can; None: it can be used everywhere.
        inside: dotted name of what tells, of an environment's variables, which of its jobs the
            process is in: {"job": number, "restart": how often it was begun again, "cluster": which
            of several schedulers has it; may be left out}, or None. Standard library alone.
        variables: variables of a job's environment that the record of an attempt keeps, the job's
            number first.
        libraries: packages whose version stands in every result's provenance.
        examiner: dotted name of what makes, without arguments, its harness.doctor.finding.Examiner;
            None: there is nothing to examine.
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
        """Raises ValueError: its name is another key's or option's, or it has no jobs."""
        if not re.fullmatch("[a-z][a-z0-9_]*", self.kind) or self.kind in _TAKEN:
            raise ValueError(f"{self.kind!r} cannot be a launcher's name: it means something else")
        if self.attached == (self.jobs is not None):
            raise ValueError(f"the launcher {self.kind}: either it is attached, or it has jobs")


_TAKEN = frozenset(
    (
        "auto",
        *("boot", "born", "host", "pid"),
        *("code", "command", "data", "edition", "folder", "inputs", "machine", "packages"),
        *("python", "started"),
        *("ask_above_hours", "device", "processes", "runs"),
    )
)
"""Words of `run --on`, keys of alive.json and of attempt.json, fields of a site file."""


def load(dotted: str) -> Callable[..., Any]:
    """The function that a declaration names.

    Args:
        dotted: "package.module:function", of a declaration and never of a file that a user wrote.
    """
    module, _, name = dotted.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
