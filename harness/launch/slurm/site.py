"""The section slurm: of a site file, which says how jobs are requested."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, create_model, model_validator

from harness.backend import Backend, Count, has_controls, is_line
from harness.recipe.section import Section, refuse
from harness.spec.registry import tasks

Hours = Annotated[float, Field(gt=0, le=100_000)]

OURS = {
    "array": "the harness makes the arrays; see max_array and at_once",
    "clusters": "set the variable SLURM_CLUSTERS instead",
    "cpus-per-task": "use cpus_per_process",
    "dependency": "the plan decides the dependencies",
    "error": "logs are in the submission's folder",
    "gid": "jobs run as the user who submits them",
    "gpus-per-node": "use gpus_per_node",
    "job-name": "the harness finds its jobs by name",
    "kill-on-invalid-dep": "it is always set",
    "mem": "use mem_gb",
    "no-requeue": "interrupted jobs must be requeued to resume",
    "nodes": "use nodes",
    "ntasks-per-node": "use processes_per_node",
    "open-mode": "it is always append, so that a requeued job keeps its log",
    "output": "logs are in the submission's folder",
    "requeue": "it is always set",
    "signal": "use signal_s",
    "time": "use hours",
    "uid": "jobs run as the user who submits them",
    "wrap": "the harness writes the job script",
    **dict.fromkeys(
        ("help", "parsable", "quiet", "test-only", "usage", "version", "wait"),
        "it would change what sbatch does or prints",
    ),
    **dict.fromkeys(("partition", "account", "qos", "constraint"), "it has its own field"),
}
"""Options of sbatch that are set elsewhere, and where."""

_SLURM_NAME = re.compile(r"[\w@%+=:,./][\w@%+=:,./-]*")
_FEATURES = re.compile(r"[\w@%+=:,./&|*()!\[\]][\w@%+=:,./&|*()!\[\]-]*")
"""Names of features, and how --constraint combines them."""


class _TimeLimits(Section):
    """Hours of wall time after which SLURM ends a job. A stage that needs more resumes from a
    checkpoint when its job is requeued."""

    report: Hours = 0.5


if TYPE_CHECKING:
    TimeLimits = _TimeLimits
else:
    TimeLimits = create_model(
        "TimeLimits",
        __base__=_TimeLimits,
        **{kind: (Hours, each.hours) for kind, each in tasks().items()},
    )
"""A limit for each declared task."""


class SlurmSite(Backend):
    """How jobs are requested on this cluster. Every stage has the same nodes and GPUs."""

    kind: ClassVar[str] = "slurm"

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    """Features that a node must have, in the form of sbatch's --constraint."""
    nodes: Count = 1
    """Nodes that share a stage."""
    gpus_per_node: Annotated[int, Field(ge=0)] = 0
    """0: stages run on CPUs."""
    processes_per_node: Count | None = None
    """null: one per GPU, or one if there are none."""
    cpus_per_process: Count = 4
    """Cores of each process; they decode and augment images."""
    mem_gb: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Memory of each node, in GB; null: the partition's default."""
    hours: TimeLimits = TimeLimits()
    modules: tuple[str, ...] = ()
    """Modules that a job loads with `module load` at its start."""
    setup: tuple[str, ...] = ()
    """Lines of shell that a job runs after loading modules."""
    at_once: Count | None = None
    """Elements of an array that run at the same time; null: no limit but SLURM's."""
    max_array: Count = 1000
    """Maximum number of elements of an array, up to the cluster's MaxArraySize; 1 if that is 0."""
    signal_s: Annotated[int, Field(ge=10, le=3600)] = 120
    """Seconds before its time limit at which a job is warned: long enough for the steps between two
    journal writes (watch.log_steps) and a checkpoint. Less for jobs with short limits: see
    `sbatch.executor`."""
    timeouts: Annotated[int, Field(ge=0)] = 50
    """Time limits that a stage may reach before it counts as failed."""
    stage_data: str | None = None
    """Folder on a node's own disk into which the data is copied before a stage; variables are
    expanded in the job, as in $SLURM_TMPDIR. null: read from the data root."""
    ask_above_gpu_hours: float = 24.0
    """`run` asks before it submits more than this; node hours if there are no GPUs."""
    snapshot: Literal["copy", "refuse_dirty"] = "copy"
    """Jobs run a copy of the code as it was at submission. refuse_dirty: a checkout with
    uncommitted changes is refused."""
    extra: dict[
        Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")], str | int | bool
    ] = {}
    """Further options of sbatch, without their dashes: {exclusive: true, mail-type: FAIL}."""

    @property
    def processes(self) -> int:
        """Processes per node."""
        return self.processes_per_node or max(1, self.gpus_per_node)

    @model_validator(mode="after")
    def _consistent(self) -> SlurmSite:
        refuse(self._misplaced())
        return self

    def _misplaced(self) -> Iterator[tuple[str, str]]:
        for name in self.extra:
            if name in OURS:
                yield f"extra.{name}", f"cannot be set here: {OURS[name]}"
        for field in ("modules", "setup"):
            for n, line in enumerate(getattr(self, field)):
                # the shell treats a tab as a blank
                if has_controls(line.replace("\t", " ")) or not line.strip():
                    yield f"{field}.{n}", "needs exactly one line of shell"
        for n, module in enumerate(self.modules):
            if any(word.startswith("-") for word in module.split()):
                yield (
                    f"modules.{n}",
                    ("needs a module's name, not an option; for whole lines use setup"),
                )
        for field in ("partition", "account", "qos"):
            value = getattr(self, field)
            if value is not None and not _SLURM_NAME.fullmatch(value):
                yield (
                    field,
                    "needs one or more SLURM names, separated by commas, without spaces and quotes",
                )
        if self.constraint is not None and not _FEATURES.fullmatch(self.constraint):
            yield (
                "constraint",
                ("needs features joined by & or |, as for --constraint, without spaces"),
            )
        if self.stage_data is not None and not is_line(self.stage_data):
            yield "stage_data", "needs a folder's name, in one line"
        for name, value in self.extra.items():
            # sbatch removes a backslash
            if isinstance(value, str) and (not is_line(value) or "\\" in value):
                yield f"extra.{name}", "needs one line without backslashes"
