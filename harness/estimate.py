"""Estimate how long a stage takes here: from `bench`, else from finished stages of the same kind.

`bench` for a recipe of the same shape gives the parts: steps, kNN passes, checkpoints, probe steps.
Wall time of finished stages includes everything, also other work on the machine. Only measurements
with the same device and number of processes count.
"""

from __future__ import annotations

import contextlib
import itertools
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
from harness.store import atomic, benchmarks, operating_system
from harness.store.layout import StageFolder
from harness.store.ledger import Entry

NEWEST = 300
"""Maximum number of folders to read: enough to know this machine, and fast."""
_FREE = ("momentum", "temperature", "bank_momentum")
"""Fields of `contrast` that do not change the speed."""


@dataclass(frozen=True)
class Computer:
    """The device and the number of processes of a stage."""

    device: str
    """As in result.json: cpu, or a GPU's name."""
    processes: int = 1
    cpu: str = field(default="", compare=False)
    """The CPU's name if the device is cpu and the name is known."""
    at_once: int = field(default=1, compare=False)
    """Stages that run at once."""

    def __str__(self) -> str:
        many = f", {self.at_once} stages at once" if self.at_once > 1 else ""
        return (f"{self.processes} × " if self.processes > 1 else "") + self.device + many

    def slower(self, threads: object) -> float:
        """How many times as long a stage takes that had this number of CPU threads when it was
        measured, if its share of the cores is smaller now; at most, as threads rarely help so
        much."""
        if self.at_once == 1 or not isinstance(threads, int):
            return 1.0
        return max(1.0, threads / max(1, operating_system.cores() // self.at_once))


@dataclass(frozen=True)
class History:
    """Measured times of finished stages, by kind of work."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds: of one step for pre-training, of the whole stage otherwise."""
    images: dict[str, int] = field(default_factory=dict)
    """Number of training images found, by the recipe's data section."""
    benches: dict[str, Any] = field(default_factory=dict)
    """The newest measurement by `bench`, by the settings that decide a step's speed."""
    on: Computer = Computer("cpu")
    """Where the stages would run."""


@dataclass(frozen=True)
class Guess:
    """Estimated duration of a stage, and its source."""

    seconds: float
    source: str
    """"bench" with its date, or "finished runs"."""


def computer(device: str, processes: int, at_once: int = 1) -> Computer:
    """The computer that `--device` selects on this machine, found without torch."""
    if device == "auto" or device.partition(":")[0] == "cuda":
        names = _gpus()
        if names:
            said = device.partition(":")[2]
            index = int(said) if said.isdecimal() else 0
            return Computer(names[min(index, len(names) - 1)], processes, at_once=at_once)
        device = "cpu" if device == "auto" else device
        return Computer(device, processes, operating_system.cpu(), at_once)
    return Computer(device.partition(":")[0], processes, operating_system.cpu(), at_once)


def elsewhere(runs: Path, processes: int, *, gpus: bool) -> Computer:
    """The computer for other machines than this one: this number of processes on CPUs, or on the
    GPUs of the newest finished stage with as many processes."""
    if not gpus:
        return Computer("cpu", processes)
    for path in _newest(runs):
        with contextlib.suppress(StoreError):
            result = StageFolder(path).result or {}
            if result.get("processes") == processes and result.get("device", "cpu") != "cpu":
                return Computer(str(result["device"]), processes)
    return Computer("GPU", processes)


def _gpus() -> list[str]:
    """The names of the GPUs that torch would use, in its order; "GPU" where that is not known."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names: list[str] = []
    with contextlib.suppress(metadata.PackageNotFoundError):
        if chosen not in ("", "-1") and not metadata.version("torch").endswith("+cpu"):
            names = operating_system.gpus()
    if len(set(names)) < 2:
        return names
    if os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":  # by default, the fastest comes first
        return ["GPU"]
    known = {str(n): name for n, name in enumerate(names)}
    wanted = [*known] if chosen is None else [each.strip() for each in chosen.split(",")]
    valid = list(itertools.takewhile(known.__contains__, wanted))  # CUDA stops at the first other
    return [known[each] for each in valid] or ([] if wanted[0].isdecimal() else ["GPU"])


def history(runs: Path, on: Computer) -> History:
    """Durations of the newest finished stages under the run root on the computer `on`."""
    found: dict[str, list[float]] = {}
    images: dict[str, int] = {}
    for path in _newest(runs):
        try:
            folder = StageFolder(path)
            result, described = folder.result, folder.described
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
                slower = on.slower(_threads(folder)) if on.at_once > 1 else 1.0
                found.setdefault(alike, []).append(slower * result["seconds"] / parts)
                images.setdefault(digest(recipe["data"]), train)  # the newest stage is first
        except (StoreError, KeyError, TypeError, ValueError, AttributeError):
            continue  # a folder of another schema says nothing about speed
    usual = {alike: median(values) for alike, values in found.items()}
    return History(usual, images, _benches(runs, on), on)


def _threads(folder: StageFolder) -> object:
    """CPU threads of the stage's last attempt; None if they are not recorded."""
    for path in reversed(folder.attempts()):
        return atomic.read_json(path / "attempt.json")["machine"]["threads"]
    return None


def guess(recipe: Recipe, name: str, known: History, done: int = 0) -> Guess | None:
    """Estimated duration of the stage after `done` steps; None: nothing similar was measured."""
    if (bench := known.benches.get(_shape(recipe.model_dump(mode="json")))) is not None:
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            took = Benched(recipe, bench).seconds(name, done)
            took *= known.on.slower(bench["facts"].get("threads"))
            if 0 <= took < math.inf:
                return Guess(took, f"bench ({bench['facts']['measured'][:10]})")
    took_before = seconds(recipe, name, known, done)
    return None if took_before is None else Guess(took_before, "finished runs")


def seconds(recipe: Recipe, name: str, known: History, done: int = 0) -> float | None:
    """As `guess`, only from finished stages."""
    dumped = plain(recipe)
    optim, data = recipe.optim, recipe.data
    asked = spec(recipe, name)
    if asked.parent is not None:
        return known.seconds.get(_alike(dumped, asked.task.kind, asked.under))
    if optim.epochs == 0:  # a control: its only work is one kNN pass
        watched = "knn" if recipe.knn is not None else recipe.watch.knn_task
        return seconds(recipe, watched, known) if watched else 0.0
    step = known.seconds.get(_alike(dumped, name))
    images = data.images or KNOWN_SIZES.get(data.name) or known.images.get(digest(dumped["data"]))
    if step is None or images is None:
        return None
    return step * max(0, _steps(recipe, images) - done)


def left(recipe: Recipe, name: str, known: History, entry: Entry, done: int) -> float:
    """The share of a pre-training that is left after `done` steps; all of it if the number of
    images is not known, or if the run continues another one, as its cost may be of the rest."""
    if not done or spec(recipe, name).parent is not None:
        return 1.0
    data = recipe.data
    size = data.images or KNOWN_SIZES.get(data.name) or known.images.get(digest(plain(data)))
    size = size or _recorded_images(entry.folder)
    total = _steps(recipe, size) if size and recipe.continue_from is None else 0
    return max(0.0, 1 - done / total) if total else 1.0


def _recorded_images(folder: StageFolder) -> int | None:
    """Number of training images that the last attempt found."""
    with contextlib.suppress(StoreError, KeyError, TypeError, ValueError, IndexError):
        return int(atomic.read_json(folder.attempts()[-1] / "attempt.json")["data"]["train"])
    return None


def _steps(recipe: Recipe, images: int) -> int:
    total = recipe.optim.epochs * (images // recipe.optim.batch)
    return min(total, recipe.optim.steps or total)


class Benched:
    """Duration of stages, computed from the parts that `bench` measured for a recipe of this shape.

    Work that happens once is left out: opening the data, starting the process.
    """

    def __init__(self, recipe: Recipe, bench: Mapping[str, Any]) -> None:
        self.recipe, self.bench = recipe, bench
        there = bench["facts"]["images"]
        data = recipe.data
        self.train = data.images or KNOWN_SIZES.get(data.name) or int(there["train"])
        self.bank = int(there["bank"]) if data.name == "stl10" else self.train
        self.test = int(there["test"])

    def seconds(self, kind: str, done: int) -> float:
        """Seconds of the stage from step `done` to its end; KeyError if a part was not measured."""
        known = {"pretrain": lambda: self._pretrain(done), "knn": self._knn, "linear": self._linear}
        return known[kind]()

    def _pretrain(self, done: int) -> float:
        optim, watch = self.recipe.optim, self.recipe.watch
        steps = _steps(self.recipe, self.train)
        per_epoch = self.train // optim.batch
        epochs = range(done // per_epoch + 1, -(-steps // per_epoch) + 1)  # epochs still to end
        passes = sum(watch.knn_epochs > 0 and n % watch.knn_epochs == 0 for n in epochs)
        last = not (epochs and watch.knn_epochs and epochs[-1] % watch.knn_epochs == 0)
        saves = len(epochs) + (steps - done) // watch.checkpoint_steps
        # On a CPU, the thread that writes checkpoints slows the steps down.
        stall = "checkpoint on disk" if self.bench["device"] == "cpu" else "checkpoint"
        return (
            max(0, steps - done) * self._median("whole", "end to end")
            + ((passes + last) * self._knn() if self.recipe.monitor is not None else 0.0)
            + saves * self._median("parts", stall)
        )

    def _knn(self) -> float:
        protocol = self.recipe.knn
        if protocol is None:
            raise KeyError("a task's data were not measured")
        queries = min(protocol.queries or self.test, self.test)
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
    """Steps that a resumed pre-training can skip, from its checkpoints' names."""
    names = [path.name for path in folder.checkpoints.glob("step-*.pt")]
    found = (re.fullmatch(r"step-(\d{8,})(?:-.*)?\.pt", name) for name in names)
    return max((int(match[1]) for match in found if match), default=0)


def _alike(recipe: Mapping[str, Any], kind: str, under: str = "") -> str:
    """Key of stages with equal speed: seeds, momentum, temperature and the like are left out."""
    data, knn = recipe["data"], recipe["knn"]
    same = [kind, recipe["model"], recipe["precision"]]
    if kind == "pretrain":
        mechanism = {k: v for k, v in recipe["contrast"].items() if k not in _FREE}
        where = [data["name"], data["folder"], data["size"]]
        monitor = [knn, recipe["watch"]["knn_epochs"]]
        if (watched := recipe["watch"].get("knn_task")) is not None:
            said = recipe["tasks"][watched]
            monitor.append({key: value for key, value in said.items() if key != "trials"})
        batch = recipe["optim"]["batch"]
        return digest([*same, where, _drawn(recipe), mechanism, batch, monitor])
    if under:
        own = {key: value for key, value in recipe["tasks"][under].items() if key != "trials"}
        return digest([*same, data, own])
    return digest([*same, data, *(recipe[section] for section in task(kind).reads)])


def _drawn(recipe: Mapping[str, Any]) -> list[Any]:
    return [recipe["augment"], recipe.get("views", {})]


def _shape(recipe: Mapping[str, Any]) -> str:
    """Key of recipes whose steps, features, kNN and probe have the same cost."""
    data, knn, linear = recipe["data"], recipe["knn"], recipe["linear"]
    mechanism = {k: v for k, v in recipe["contrast"].items() if k not in _FREE}
    where = [data["name"], data["folder"], data["size"]]
    model = {k: v for k, v in recipe["model"].items() if k != "weights"}
    probe = linear and [linear["batch"], len(linear["lr"]), len(linear["weight_decay"])]
    votes = knn and [knn["k"], knn["layer"]]
    same = [model, recipe["precision"], where, _drawn(recipe), mechanism, votes, probe]
    return digest([*same, recipe["optim"]["batch"]])


def _benches(runs: Path, on: Computer) -> dict[str, Any]:
    """The newest measurement of each shape on `on`. Those with random pixels are left out: they say
    nothing about the speed of the data; so are those of tasks alone."""
    found: dict[str, Any] = {}
    for record in benchmarks.newest_first(runs):
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            facts = record["facts"]
            there = (record["device"], record["processes"])
            cpu = on.device != "cpu" or facts["machine"]["cpu"] == on.cpu
            usable = record["whole"] and facts["data"] != "noise"  # of pre-training
            if there == (on.device, on.processes) and cpu and usable:
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
        with contextlib.suppress(OSError):  # removed in the meantime
            dated.append((entry.stat().st_mtime, entry.path))
    return [Path(path) for _, path in sorted(dated, reverse=True)[:NEWEST]]
