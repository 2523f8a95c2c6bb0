"""About how long a stage takes here, from the wall time of finished stages like it.

Wall time holds everything: opening the data, the kNN monitor, checkpoints, and what else ran on the
machine. Only stages of the same device and number of processes count.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from harness.errors import StoreError
from harness.recipe.identity import StageKind, digest
from harness.recipe.rules import KNOWN_SIZES
from harness.recipe.schema import Recipe
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

    def __str__(self) -> str:
        return self.device if self.processes == 1 else f"{self.processes} × {self.device}"


@dataclass(frozen=True)
class History:
    """What finished stages took, by kind of work."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds: a step of pre-training, the whole of another stage."""
    images: dict[str, int] = field(default_factory=dict)
    """Training images that were found, by the recipe's data section."""


def computer(device: str, processes: int) -> Computer:
    """What `--device` means on this machine, found out without torch."""
    if device == "auto" or device.partition(":")[0] == "cuda":
        names = _gpus()
        if names:
            said = device.partition(":")[2]
            index = int(said) if said.isdecimal() else 0
            return Computer(names[min(index, len(names) - 1)], processes)
        return Computer("cpu" if device == "auto" else device, processes)
    return Computer(device.partition(":")[0], processes)


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
            parts = result["step"] if kind == "pretrain" else 1
            alike, train = _alike(recipe, kind), int(result["data"]["train"])
            if parts > 0 and result["seconds"] > 0:
                found.setdefault(alike, []).append(result["seconds"] / parts)
                images[digest(recipe["data"])] = train
        except (StoreError, KeyError, TypeError, ValueError, AttributeError):
            continue  # a folder of another schema teaches nothing about speed
    return History({alike: median(values) for alike, values in found.items()}, images)


def seconds(recipe: Recipe, kind: StageKind, known: History, done: int = 0) -> float | None:
    """About how long the stage takes, `done` steps of it made; None: nothing alike was measured."""
    dumped = recipe.model_dump(mode="json")
    optim, data = recipe.optim, recipe.data
    if kind != "pretrain":
        return known.seconds.get(_alike(dumped, kind))
    if optim.epochs == 0:  # a control: all that is done is to monitor it once
        return seconds(recipe, "knn", known)
    step = known.seconds.get(_alike(dumped, kind))
    images = data.images or KNOWN_SIZES.get(data.name) or known.images.get(digest(dumped["data"]))
    if step is None or images is None:
        return None
    total = optim.epochs * (images // optim.batch)
    return step * max(0, min(total, optim.steps or total) - done)


def steps_done(folder: StageFolder) -> int:
    """Steps that a resumed pre-training need not make again, by its checkpoints' names."""
    names = [path.name for path in folder.checkpoints.glob("step-*.pt")]
    return max((int(name.split("-")[1]) for name in names if name[5:13].isdecimal()), default=0)


def _alike(recipe: Mapping[str, Any], kind: str) -> str:
    """Equal for stages whose speed is equal: seeds, momentum, temperature and such left out."""
    data, knn = recipe["data"], recipe["knn"]
    same = [kind, recipe["model"], recipe["precision"]]
    if kind == "pretrain":
        mechanism = {k: v for k, v in recipe["contrast"].items() if k not in _FREE}
        where = [data["name"], data["folder"], data["size"]]
        monitor = [knn, recipe["watch"]["knn_epochs"]]
        batch = recipe["optim"]["batch"]
        return digest([*same, where, recipe["augment"], mechanism, batch, monitor])
    return digest([*same, data, knn if kind == "knn" else recipe["linear"]])


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
