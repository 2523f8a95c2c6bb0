"""The machine: where data and runs lie and what computes. Never part of a run's identity.

Each setting is taken from the command line, else the environment, else the site file, else a
default. The site file is ~/.config/moco-harness/site.yaml, or what --site names.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, create_model, model_validator

from harness.errors import RecipeError, cannot_be_read
from harness.recipe.section import Section, refuse
from harness.spec.registry import tasks

DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?")
"""How a device is named; whether it is there, a run tells."""

NO_DEVICE = "there is no such device; say auto, cpu, cuda, or cuda:1"

Positive = Annotated[int, Field(ge=1)]
Hours = Annotated[float, Field(gt=0, le=100_000)]

OURS = {
    "array": "arrays are made by the harness; see max_array and at_once",
    "clusters": "set SLURM_CLUSTERS, which all of SLURM's clients obey",
    "cpus-per-task": "say cpus_per_process",
    "dependency": "the plan's",
    "error": "logs lie with the submission",
    "gid": "jobs run as who submits them",
    "gpus-per-node": "say gpus_per_node",
    "job-name": "jobs are found again by it",
    "kill-on-invalid-dep": "always yes",
    "mem": "say mem_gb",
    "no-requeue": "a job that is interrupted goes on in its next life",
    "nodes": "say nodes",
    "ntasks-per-node": "say processes_per_node",
    "open-mode": "always append: a requeued job goes on in its log",
    "output": "logs lie with the submission",
    "requeue": "always on",
    "signal": "say signal_s",
    "time": "say hours",
    "uid": "jobs run as who submits them",
    "wrap": "the job's script is the harness's",
    **dict.fromkeys(
        ("help", "parsable", "quiet", "test-only", "usage", "version", "wait"),
        "sbatch is to submit the job, to say its number, and to return",
    ),
    **dict.fromkeys(("partition", "account", "qos", "constraint"), "it has a field of its own"),
}
"""Options of sbatch that stand elsewhere, and where."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SLURM_NAME = re.compile(r"[\w@%+=:,./][\w@%+=:,./-]*")
_FEATURES = re.compile(r"[\w@%+=:,./&|*()!\[\]][\w@%+=:,./&|*()!\[\]-]*")
"""Names of features and how --constraint joins them."""


class _TimeLimits(Section):
    """Hours of wall time after which SLURM ends a job. A stage that needs more goes on in its job's
    next life, from a checkpoint."""

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


class SlurmSite(Section):
    """How jobs are asked for on this cluster. Every stage has the same nodes and GPUs."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    """Features that a node must have, as sbatch's --constraint takes them."""
    nodes: Positive = 1
    """Nodes that share a stage."""
    gpus_per_node: Annotated[int, Field(ge=0)] = 0
    """0: stages run on CPUs."""
    processes_per_node: Positive | None = None
    """null: one a GPU, or one where there are none."""
    cpus_per_process: Positive = 4
    """Cores of each process; they decode and augment images."""
    mem_gb: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Memory of each node, in GB; null: the partition's default."""
    hours: TimeLimits = TimeLimits()
    modules: tuple[str, ...] = ()
    """What a job loads with `module load` before it begins."""
    setup: tuple[str, ...] = ()
    """Lines of shell that a job runs after that."""
    at_once: Positive | None = None
    """Elements of an array that run at the same time; null: as many as SLURM lets."""
    max_array: Positive = 1000
    """Elements of an array, below the cluster's MaxArraySize."""
    signal_s: Annotated[int, Field(ge=10, le=3600)] = 120
    """Seconds before its end by a time limit at which a job is warned: long enough for the steps
    between two looks (watch.log_steps) and a checkpoint."""
    timeouts: Annotated[int, Field(ge=0)] = 50
    """Time limits that a stage may outlive before it counts as failed."""
    stage_data: str | None = None
    """Folder of a node's own disk into which the data is copied before a stage; variables are
    expanded in the job, as in $SLURM_TMPDIR. null: read from the data root."""
    ask_above_gpu_hours: float = 24.0
    """`run` asks before it submits more than this; hours of nodes where there are no GPUs."""
    snapshot: Literal["copy", "refuse_dirty"] = "copy"
    """Jobs run a copy of the code as it was at submission. refuse_dirty: and nothing is submitted
    from a checkout with uncommitted changes."""
    extra: dict[
        Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")], str | int | bool
    ] = {}
    """Further options of sbatch, without their dashes: {exclusive: true, mail-type: FAIL}."""

    @property
    def processes(self) -> int:
        """Processes a node."""
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
                # a tab is a blank of the shell's
                if _CONTROL.search(line.replace("\t", " ")) or not line.strip():
                    yield f"{field}.{n}", "one line of shell, not none and not several"
        for n, module in enumerate(self.modules):
            if any(word.startswith("-") for word in module.split()):
                yield f"modules.{n}", "a module's name, not an option; setup takes whole lines"
        for field in ("partition", "account", "qos"):
            value = getattr(self, field)
            if value is not None and not _SLURM_NAME.fullmatch(value):
                yield (
                    field,
                    "a name of SLURM's, or several with commas between; no blanks, no quotes",
                )
        if self.constraint is not None and not _FEATURES.fullmatch(self.constraint):
            yield "constraint", "features, joined by & or | as --constraint takes them; no blanks"
        if self.stage_data is not None and not _is_line(self.stage_data):
            yield "stage_data", "a folder, in one line"
        for name, value in self.extra.items():
            # sbatch takes a backslash away
            if isinstance(value, str) and (not _is_line(value) or "\\" in value):
                yield f"extra.{name}", "one line without backslashes"


class SiteFile(Section):
    """What a site file may say."""

    data: str | None = None
    """Data root: CIFAR's and STL-10's files, ImageFolder's folders. ~ is the home folder."""
    runs: str | None = None
    """Run root: every run gets a folder there."""
    device: str | None = None
    """auto (default), cpu, cuda, cuda:1, ..."""
    processes: Annotated[int, Field(ge=1)] = 1
    """Processes that share a run on this machine: its GPUs."""
    ask_above_hours: float = 12.0
    """`run` asks before it begins more hours of work than this."""
    slurm: SlurmSite | None = None
    """The cluster; without it `run` runs here."""

    @model_validator(mode="after")
    def _known_device(self) -> SiteFile:
        if self.device is not None and not DEVICE.fullmatch(self.device):
            refuse([("device", NO_DEVICE)])
        roots = {"data": self.data, "runs": self.runs}
        refuse(
            (name, "a folder, in one line without control characters")
            for name, root in roots.items()
            if root is not None and not _is_line(root)
        )
        return self


def _is_line(text: str) -> bool:
    return bool(text.strip()) and not _CONTROL.search(text)


@dataclass(frozen=True)
class Site:
    """The machine in use."""

    data: Path
    runs: Path
    device: str
    processes: int
    ask_above_hours: float
    slurm: SlurmSite | None = None
    file: Path | None = None
    """The site file that the command line named."""
    notes: tuple[str, ...] = ()
    """What a user would not expect of it, in sentences."""


def home() -> Path | None:
    """The user's home folder; None if there is none: no HOME, and no entry in the passwd file."""
    with contextlib.suppress(RuntimeError, KeyError, OSError):
        found = Path.home()
        return found if found.is_absolute() else None
    return None


def _config() -> Path | None:
    """The default site file; None without a home."""
    if base := os.environ.get("XDG_CONFIG_HOME"):
        return _expanded(base) / "moco-harness" / "site.yaml"
    at = home()
    return at / ".config" / "moco-harness" / "site.yaml" if at is not None else None


def _cache() -> Path:
    if base := os.environ.get("XDG_CACHE_HOME"):
        return _expanded(base) / "moco-harness" / "data"
    at = home()
    if at is None:
        return Path(os.environ.get("TMPDIR") or "/tmp") / f"moco-harness-{os.getuid()}" / "data"
    return at / ".cache" / "moco-harness" / "data"


def _default(notes: list[str]) -> Path | None:
    """The default site file if it is there; of a closed folder a note says that it is not read."""
    path = _config()
    if path is None:
        return None
    try:
        path.stat()
        with path.open("rb"):
            return path
    except PermissionError as error:
        notes.append(f"no site file is used: {cannot_be_read(error, path)}")
    except OSError:
        if path.is_symlink():
            return path  # its reader tells what is wrong with it
    return None


def load_site(
    *,
    data: Path | None = None,
    runs: Path | None = None,
    device: str | None = None,
    processes: int | None = None,
    site: Path | None = None,
) -> Site:
    """The machine in use, from the command line's options and what stands behind them.

    Raises:
        RecipeError: the site file cannot be accepted, or the one that was named does not exist.
    """
    from harness.recipe.load import check
    from harness.recipe.yaml_source import read

    notes: list[str] = []
    path = site or _default(notes)
    said = check(SiteFile, read(path)) if path is not None else SiteFile()
    env = os.environ.get
    for source, named in (
        ("--device ", device),
        ("MOCO_HARNESS_DEVICE=", env("MOCO_HARNESS_DEVICE")),
    ):
        if named and not DEVICE.fullmatch(named):
            raise RecipeError(f"{source}{named}: {NO_DEVICE}")
    found_data = data or env("MOCO_HARNESS_DATA") or said.data or _cache()
    found_runs = runs or env("MOCO_HARNESS_RUNS") or said.runs or "runs"
    return Site(
        data=_expanded(found_data),
        runs=_expanded(found_runs),
        device=device or env("MOCO_HARNESS_DEVICE") or said.device or "auto",
        processes=processes or said.processes,
        ask_above_hours=said.ask_above_hours,
        slurm=said.slurm,
        file=site,
        notes=tuple(notes),
    )


def _expanded(path: Path | str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise RecipeError(f"{path}: there is no such home folder; write the path out") from None
