"""The result of a benchmark, as a record to store and as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from harness.bench.clock import Timing

ALONE, SHARED = "one process", "all processes"
"""Which processes make the steps that `Result.sharing` compares."""
EXTRACTION = "extraction"
"""The features of all images, in `Result.tasks`."""


@dataclass
class Result:
    """All timings in seconds: per step, but "knn" and "product" for the whole evaluation."""

    recipe: str
    device: str
    processes: int
    batch: int
    precision: str
    whole: dict[str, Timing]
    """Of pre-training: floor, step, end to end, input. {}: the recipe has no pre-training, and only
    its tasks were measured."""
    parts: dict[str, Timing]
    evaluation: dict[str, Timing] = field(default_factory=dict)
    sharing: dict[str, Timing] = field(default_factory=dict)
    """For several processes: steps by the first process alone, and by all."""
    tasks: dict[str, Timing] = field(default_factory=dict)
    """The whole evaluation of the recipe's data: `EXTRACTION`, then what reads the features."""
    training: dict[str, dict[str, Timing]] = field(default_factory=dict)
    """By task that trains the network further: as in `whole`."""
    peak_bytes: int = 0
    """Peak memory of the device, or of the process if the device is the CPU."""
    moved: dict[str, int] = field(default_factory=dict)
    """Bytes that the first process sent in one step, counted."""
    expected: dict[str, float] = field(default_factory=dict)
    """The same by the closed form (`traffic`)."""
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Result:
        """The result that `record` was made of; KeyError or TypeError if it is none."""
        record = {"tasks": {}, "training": {}, **record}  # older ones have none
        kept = {f.name: record[f.name] for f in fields(cls)}
        for group in ("whole", "parts", "evaluation", "sharing", "tasks"):
            kept[group] = {name: Timing(**each) for name, each in record[group].items()}
        kept["training"] = {
            task: {name: Timing(**each) for name, each in found.items()}
            for task, found in record["training"].items()
        }
        return cls(**kept)

    def ratio(self, what: str) -> float:
        """The floor's time over that of `what`: 1 is as fast as the floor, 0.8 is 80 % of it."""
        return self.whole["floor"].median / self.whole[what].median

    def images_per_s(self, what: str) -> float:
        """Images per second over all processes."""
        return self.batch / self.whole[what].median

    def tasks_ratio(self) -> float:
        """The whole evaluation, extraction included, over the extraction."""
        return sum(each.median for each in self.tasks.values()) / self.tasks[EXTRACTION].median

    def record(self) -> dict[str, Any]:
        """As JSON, for bench.json."""
        return {
            **asdict(self),
            "ratios": {what: round(self.ratio(what), 4) for what in self.whole if what != "floor"},
            "images_per_s": {what: round(self.images_per_s(what), 1) for what in self.whole},
        }


def rows(result: Result) -> list[tuple[str, str, str, str]]:
    """(what, milliseconds, images per second, rate relative to the floor's) of each whole."""
    return [
        (
            what,
            f"{1e3 * result.whole[what].median:,.2f}",
            f"{result.images_per_s(what):,.0f}",
            f"{result.ratio(what):.2f}",
        )
        for what in result.whole
    ]


def training_ratio(found: Mapping[str, Timing], what: str = "end to end") -> float:
    """The floor's time over that of `what`, in one of `Result.training`."""
    return found["floor"].median / found[what].median


def training_rows(result: Result) -> list[tuple[str, str, str, str]]:
    """(task and what, milliseconds, images per second, rate relative to the task's floor)."""
    tasks = result.facts["recipe"].get("tasks", {})  # older records have none
    return [
        (
            f"{task}: {what}",
            f"{1e3 * timing.median:,.2f}",
            f"{tasks[task]['batch'] / timing.median:,.0f}",
            f"{training_ratio(found, what):.2f}",
        )
        for task, found in result.training.items()
        for what, timing in found.items()
    ]


def part_rows(result: Result) -> list[tuple[str, str, str]]:
    """(part, milliseconds, in percent of the floor) of each part."""
    return [
        (
            name,
            f"{1e3 * timing.median:,.2f}",
            f"{100 * timing.median / result.whole['floor'].median:,.1f}",
        )
        for name, timing in result.parts.items()
    ]


def evaluation_rows(result: Result) -> list[tuple[str, str, str]]:
    """(what, milliseconds, ratio to its reference)."""
    found = result.evaluation
    said = []
    for what, base in (("knn", "product"), ("all rates", "one rate")):
        if what in found:
            ratio = found[what].median / found[base].median
            said.append((base, f"{1e3 * found[base].median:,.2f}", "1.00"))
            said.append((what, f"{1e3 * found[what].median:,.2f}", f"{ratio:.2f}"))
    return said


def task_rows(result: Result) -> list[tuple[str, str, str]]:
    """(task, seconds, relative to the extraction) of the whole evaluation."""
    if not result.tasks:
        return []
    whole = result.tasks[EXTRACTION].median
    found = [(n, t.median, t.median / whole) for n, t in result.tasks.items()]
    found.append(("all of it", whole * result.tasks_ratio(), result.tasks_ratio()))
    return [(name, f"{seconds:,.1f}", f"{share:.3f}") for name, seconds, share in found]


def tasks_measured(result: Result) -> str:
    """The data and the network of `Result.tasks`, e.g. "all of cifar10, resnet18_cifar (CIFAR
    stem)": with ImageNet's stem the extraction takes a fraction of the time."""
    backbone = result.facts["recipe"]["model"]["backbone"]
    stem = "CIFAR" if backbone.endswith("_cifar") else "ImageNet"
    named = f"{backbone} ({stem} stem)" if backbone.startswith("res") else backbone
    return f"all of {result.facts['data']}, {named}"


def sharing_rows(result: Result) -> list[tuple[str, str, str, str]]:
    """(which processes, milliseconds, images per second, rate relative to one process's)."""
    found = result.sharing
    return [
        (
            f"{result.processes} processes" if name == SHARED else ALONE,
            f"{1e3 * timing.median:,.2f}",
            f"{result.batch / timing.median:,.0f}",
            f"{found[ALONE].median / timing.median:.2f}",
        )
        for name, timing in found.items()
    ]


def sent(result: Result) -> list[str]:
    """What a process sends in a step: by the closed form, and as counted in one step. (The number
    of images that move depends on the order; gradients include the gaps between them.)"""

    def told(bytes_by_collective: Mapping[str, float]) -> str:
        found = (f"{name} {n / 2**20:.3f} MiB" for name, n in bytes_by_collective.items())
        return ", ".join(found)

    if not result.expected:
        return []
    return [
        f"sent per process and step, computed: {told(result.expected)}",
        f"sent per process and step, counted: {told(result.moved)}",
    ]


def stall_share(result: Result) -> tuple[float, float]:
    """The cost of checkpoints as shares of the steps' time: in the training thread, which copies
    the state, and as if that thread did all the writing too."""
    steps = result.facts["steps_per_checkpoint"] * result.whole["end to end"].median
    copied, written = (result.parts[p].median for p in ("checkpoint", "checkpoint on disk"))
    return copied / steps, written / steps


def stall(result: Result) -> str:
    """`stall_share` as a sentence."""
    copied, written = stall_share(result)
    every = result.facts["steps_per_checkpoint"]
    return (
        f"a checkpoint every {every:,} steps takes {copied:.3%} of their time ({written:.3%} if it "
        "were written by the training's thread)"
    )
