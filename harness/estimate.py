"""About how long a stage takes here: by `bench`, else by the wall time of finished stages alike.

A measurement of the recipe's shape gives the parts: steps, kNN passes, checkpoints, probe steps.
Wall time holds everything, also what else ran on the machine. Only the same device and number of
processes count.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from harness.errors import StoreError
from harness.recipe.identity import digest, spec
from harness.recipe.rules import KNOWN_SIZES
from harness.recipe.schema import Recipe
from harness.recipe.section import plain
from harness.spec.registry import task
from harness.store import benchmarks, provenance
from harness.store.layout import StageFolder

NEWEST = 300
"""Folders that are looked at: enough to know this machine, few enough to take no time."""
DRIVER = Path("/proc/driver/nvidia/gpus")
"""Where NVIDIA's driver tells the GPUs' names, which are those that torch tells."""
_FREE = ("momentum", "temperature", "bank_momentum")
"""Fields of `contrast` that cost no time."""


@dataclass(frozen=True)
class Computer:
    """What computes a stage."""

    device: str
    """As in result.json: cpu, or a GPU's name."""
    processes: int = 1
    cpu: str = field(default="", compare=False)
    """Which CPU the device cpu is, where that is known."""

    def __str__(self) -> str:
        return self.device if self.processes == 1 else f"{self.processes} × {self.device}"


@dataclass(frozen=True)
class History:
    """What finished stages took, by kind of work."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds: a step of pre-training, the whole of another stage."""
    images: dict[str, int] = field(default_factory=dict)
    """Training images that were found, by the recipe's data section."""
    benches: dict[str, Any] = field(default_factory=dict)
    """The newest measurement by `bench`, by what makes a step's speed."""


@dataclass(frozen=True)
class Guess:
    """About how long a stage takes, and who says so."""

    seconds: float
    source: str
    """"bench" with its date, or "finished runs"."""


def computer(device: str, processes: int) -> Computer:
    """What `--device` means on this machine, found out without torch."""
    if device == "auto" or device.partition(":")[0] == "cuda":
        names = _gpus()
        if names:
            said = device.partition(":")[2]
            index = int(said) if said.isdecimal() else 0
            return Computer(names[min(index, len(names) - 1)], processes)
        return Computer("cpu" if device == "auto" else device, processes, provenance.cpu())
    return Computer(device.partition(":")[0], processes, provenance.cpu())


def elsewhere(runs: Path, processes: int, *, gpus: bool) -> Computer:
    """What computes on other machines than this one: as many processes on CPUs, or on the GPUs on
    which the newest stage of so many was finished."""
    if not gpus:
        return Computer("cpu", processes)
    for path in _newest(runs):
        with contextlib.suppress(StoreError):
            result = StageFolder(path).result or {}
            if result.get("processes") == processes and result.get("device", "cpu") != "cpu":
                return Computer(str(result["device"]), processes)
    return Computer("GPU", processes)


def _gpus() -> list[str]:
    """The names of the GPUs that torch would use."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return []
    with contextlib.suppress(OSError, metadata.PackageNotFoundError):
        if metadata.version("torch").endswith("+cpu"):
            return []
        texts = [(path / "information").read_text() for path in sorted(DRIVER.iterdir())]
        return [found[1] for text in texts if (found := re.search(r"Model:\s*(\S.*\S)", text))]
    return []


def history(runs: Path, on: Computer) -> History:
    """What the newest finished stages under the run root took on `on`."""
    found: dict[str, list[float]] = {}
    images: dict[str, int] = {}
    for path in _newest(runs):
        try:
            result, described = StageFolder(path).result, StageFolder(path).described
            if result is None or described is None or result["state"] != "finished":
                continue
            if (result.get("device"), result.get("processes")) != (on.device, on.processes):
                continue
            recipe, kind = described["recipe"], described["kind"]
            before = result.get("continues", {}).get("step", 0)
            parts = result["step"] - before if kind == "pretrain" else 1
            alike = _alike(recipe, kind, str(described.get("task", "")))
            train = int(result["data"]["train"])
            if parts > 0 and result["seconds"] > 0:
                found.setdefault(alike, []).append(result["seconds"] / parts)
                images[digest(recipe["data"])] = train
        except (StoreError, KeyError, TypeError, ValueError, AttributeError):
            continue  # a folder of another schema teaches nothing about speed
    return History({a: median(values) for a, values in found.items()}, images, _benches(runs, on))


def guess(recipe: Recipe, name: str, known: History, done: int = 0) -> Guess | None:
    """About how long the stage takes, `done` steps of it made; None: nothing alike was measured."""
    if (bench := known.benches.get(_shape(recipe.model_dump(mode="json")))) is not None:
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            took = Benched(recipe, bench).seconds(name, done)
            if 0 <= took < math.inf:
                return Guess(took, f"bench ({bench['facts']['measured'][:10]})")
    took_before = seconds(recipe, name, known, done)
    return None if took_before is None else Guess(took_before, "finished runs")


def seconds(recipe: Recipe, name: str, known: History, done: int = 0) -> float | None:
    """As `guess`, by finished stages alone."""
    dumped = plain(recipe)
    optim, data = recipe.optim, recipe.data
    asked = spec(recipe, name)
    if asked.parent is not None:
        return known.seconds.get(_alike(dumped, asked.task.kind, asked.under))
    if optim.epochs == 0:  # a control: all that is done is to monitor it once
        return seconds(recipe, "knn", known)
    step = known.seconds.get(_alike(dumped, name))
    images = data.images or KNOWN_SIZES.get(data.name) or known.images.get(digest(dumped["data"]))
    if step is None or images is None:
        return None
    return step * max(0, _steps(recipe, images) - done)


def _steps(recipe: Recipe, images: int) -> int:
    total = recipe.optim.epochs * (images // recipe.optim.batch)
    return min(total, recipe.optim.steps or total)


class Benched:
    """Stages put together from the parts that `bench` measured for a recipe of this shape.

    Left out is what happens once: opening the data, starting the process.
    """

    def __init__(self, recipe: Recipe, bench: Mapping[str, Any]) -> None:
        self.recipe, self.bench = recipe, bench
        there = bench["facts"]["images"]
        data = recipe.data
        self.train = data.images or KNOWN_SIZES.get(data.name) or int(there["train"])
        self.bank = int(there["bank"]) if data.name == "stl10" else self.train
        self.test = int(there["test"])

    def seconds(self, kind: str, done: int) -> float:
        """Seconds of the stage from step `done` on; KeyError if a part was not measured."""
        known = {"pretrain": lambda: self._pretrain(done), "knn": self._knn, "linear": self._linear}
        return known[kind]()

    def _pretrain(self, done: int) -> float:
        optim, watch = self.recipe.optim, self.recipe.watch
        steps = _steps(self.recipe, self.train)
        per_epoch = self.train // optim.batch
        epochs = range(done // per_epoch + 1, -(-steps // per_epoch) + 1)  # those that will end
        passes = sum(watch.knn_epochs > 0 and n % watch.knn_epochs == 0 for n in epochs)
        last = not (epochs and watch.knn_epochs and epochs[-1] % watch.knn_epochs == 0)
        saves = len(epochs) + (steps - done) // watch.checkpoint_steps
        # On a CPU the thread that writes takes its time from the steps.
        stall = "checkpoint on disk" if self.bench["device"] == "cpu" else "checkpoint"
        return (
            max(0, steps - done) * self._median("whole", "end to end")
            + (passes + last) * self._knn()
            + saves * self._median("parts", stall)
        )

    def _knn(self) -> float:
        queries = min(self.recipe.knn.queries or self.test, self.test)
        measured = float(math.prod(self.bench["facts"]["knn"]))
        product = queries * self.bank / measured * self._median("evaluation", "knn")
        return product + self._encode(queries + self.bank)

    def _encode(self, images: int) -> float:
        return images * self._median("evaluation", "encode")

    def _linear(self) -> float:
        protocol = self.recipe.linear
        assert protocol is not None
        steps = protocol.epochs * -(-self.bank // protocol.batch)
        views = 1 if protocol.views == "center" else protocol.epochs
        trained = steps * self._median("evaluation", "all rates")
        return self._encode(self.test + views * self.bank) + trained

    def _median(self, group: str, what: str) -> float:
        return float(self.bench[group][what]["median"])


def steps_done(folder: StageFolder) -> int:
    """Steps that a resumed pre-training need not make again, by its checkpoints' names."""
    names = [path.name for path in folder.checkpoints.glob("step-*.pt")]
    return max((int(name.split("-")[1]) for name in names if name[5:13].isdecimal()), default=0)


def _alike(recipe: Mapping[str, Any], kind: str, under: str = "") -> str:
    """Equal for stages whose speed is equal: seeds, momentum, temperature and such left out."""
    data, knn = recipe["data"], recipe["knn"]
    same = [kind, recipe["model"], recipe["precision"]]
    if kind == "pretrain":
        mechanism = {k: v for k, v in recipe["contrast"].items() if k not in _FREE}
        where = [data["name"], data["folder"], data["size"]]
        monitor = [knn, recipe["watch"]["knn_epochs"]]
        batch = recipe["optim"]["batch"]
        return digest([*same, where, _drawn(recipe), mechanism, batch, monitor])
    if under:
        own = {key: value for key, value in recipe["tasks"][under].items() if key != "trials"}
        return digest([*same, data, own])
    return digest([*same, data, *(recipe[section] for section in task(kind).reads)])


def _drawn(recipe: Mapping[str, Any]) -> list[Any]:
    return [recipe["augment"], recipe.get("views", {})]


def _shape(recipe: Mapping[str, Any]) -> str:
    """Equal for recipes whose steps, features, kNN and probe cost the same."""
    data, knn, linear = recipe["data"], recipe["knn"], recipe["linear"]
    mechanism = {k: v for k, v in recipe["contrast"].items() if k not in _FREE}
    where = [data["name"], data["folder"], data["size"]]
    model = {k: v for k, v in recipe["model"].items() if k != "weights"}
    probe = linear and [linear["batch"], len(linear["lr"]), len(linear["weight_decay"])]
    votes = [knn["k"], knn["layer"]]
    same = [model, recipe["precision"], where, _drawn(recipe), mechanism, votes, probe]
    return digest([*same, recipe["optim"]["batch"]])


def _benches(runs: Path, on: Computer) -> dict[str, Any]:
    """The newest measurement of each shape on `on`. Random pixels tell nothing of the data's."""
    found: dict[str, Any] = {}
    for record in benchmarks.newest_first(runs):
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            facts = record["facts"]
            there = (record["device"], record["processes"])
            cpu = on.device != "cpu" or facts["machine"]["cpu"] == on.cpu
            if there == (on.device, on.processes) and cpu and facts["data"] != "noise":
                found.setdefault(_shape(facts["recipe"]), record)
    return found


def _newest(runs: Path) -> list[Path]:
    try:
        with os.scandir(runs) as entries:
            folders = [e for e in entries if e.is_dir()]
    except OSError:
        return []
    dated = []
    for entry in folders:
        with contextlib.suppress(OSError):  # moved away meanwhile
            dated.append((entry.stat().st_mtime, entry.path))
    return [Path(path) for _, path in sorted(dated, reverse=True)[:NEWEST]]
