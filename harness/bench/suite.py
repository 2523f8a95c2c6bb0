"""`nox -s bench`: measure recipes one after the other, and publish their tables.

    python -m harness.bench.suite FOLDER [arguments for `moco-harness bench`, e.g. --data ROOT]

Each recipe runs in its own process, to measure its own peak memory. If the data is missing, random
pixels replace it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from harness import interpreter
from harness.bench.published import publish
from harness.errors import DataError
from harness.store import atomic
from harness.temporary import temporary_folder


@dataclass(frozen=True)
class Case:
    """A recipe, and how it is measured."""

    recipe: str
    cpu: tuple[str, ...]
    """Arguments on a CPU, where the whole batch would take hours or not fit: still eight groups,
    and fewer rounds."""
    gpu: tuple[str, ...] | None = ("--steps", "20")
    """Arguments on a GPU; None: it is measured only on CPUs."""


def _set(*changes: str) -> tuple[str, ...]:
    return tuple(word for each in changes for word in ("--set", each))


RATES = "linear.lr=[30, 20, 15, 10, 7, 5, 3, 2, 1, 0.5]"
"""Ten probes in one pass, compared with one."""

SCENES = (
    "tasks.scenes={kind: segmentation, masks: {name: scenes}, steps: 500, batch: 16, lr: 0.05, "
    "crop: 45, schedule: {kind: cosine}}"
)
BOXES = (
    "tasks.boxes={kind: detection, detector: small, boxes: {name: scenes}, steps: 500, batch: 16, "
    "lr: 0.02, schedule: {kind: cosine}}"
)
INSTANCES = (
    "{kind: instances, detector: mask_fpn, boxes: %s, steps: 500, batch: 2, lr: 0.02, "
    "schedule: {kind: cosine}, shortest: [320], longest: 533}"
)
MASKS = _set(
    "tasks.masks=" + INSTANCES % "{name: scenes, images: 32, tested: 1, size: 160}",
    "tasks.coco=" + INSTANCES % "{name: coco2017}",
)
"""Mask R-CNN at 320 pixels: on drawn scenes, and on photographs where COCO is."""
CLASSES = (
    "tasks.classes={kind: finetune, epochs: 30, batch: 128, lr: 0.01, schedule: {kind: cosine}}"
)
"""Tasks that train the network further, whose steps are measured too."""

CASES = (
    Case(
        "recipes/miniature_embedded.yaml",
        (*_set(SCENES, BOXES), "--steps", "20"),
        (*_set(SCENES, BOXES), "--steps", "20"),
    ),
    Case("recipes/miniature_embedded.yaml", ("--steps", "20", "--processes", "2"), None),
    Case("recipes/miniature_tables.yaml", ("--steps", "20", "--tasks")),
    Case(
        "recipes/cifar10_demo.yaml",
        (
            *_set("optim.batch=128", "model.bn_group=16", CLASSES),
            *("--rounds", "5", "--steps", "1"),
        ),
        (*_set(CLASSES), "--steps", "20", "--tasks"),
    ),
    Case(
        "recipes/cifar10_demo.yaml",
        (
            *_set("optim.batch=128", "model.bn_group=16"),
            *("--rounds", "3", "--steps", "1", "--processes", "2"),
        ),
        None,
    ),
    Case(
        "recipes/moco_v2_imagenet.yaml",
        (
            *_set("optim.batch=32", "model.bn_group=4", RATES),
            *(*MASKS, "--rounds", "3", "--steps", "1"),
        ),
        (*_set("precision=bf16", RATES), *MASKS, "--steps", "10"),
    ),
)


def main(folder: str, *words: str) -> int:
    """Measure all cases; returns the first exit code that is not 0.

    What was measured is published when all is, or when one fails: a page that is written into the
    checkout would make it one with uncommitted changes for the cases after it.
    """
    publish(Path(folder))  # a folder that cannot take the records is told before they are made
    with temporary_folder() as elsewhere:
        try:
            return _measure(str(elsewhere), words)
        finally:
            made = sorted(elsewhere.glob("*.json"))
            print(f"published: {publish(Path(folder), *map(atomic.read_json, made))}")


def _measure(folder: str, words: Sequence[str]) -> int:
    cuda = torch.cuda.is_available()
    for case in CASES:
        own = case.gpu if cuda else case.cpu
        if own is None:
            continue
        alone = "--processes" not in own
        command = interpreter.command("harness.cli", "bench", case.recipe)
        command += [*(["--scaling"] * alone), *own, "--publish", folder, *words]
        code = subprocess.run(command, check=False).returncode
        if code == DataError.exit_code:
            without = [word for word in command if word != "--tasks"]  # it reads all of the data
            code = subprocess.run([*without, "--noise"], check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    os.environ.update(interpreter.environment())
    sys.exit(main(*sys.argv[1:]))
