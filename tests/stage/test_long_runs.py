"""What a long run holds does not grow: memory, tensors, file handles, threads, processes.

2,000 steps, in epochs of four, from images in memory and from files. The first quarter is warm-up
(allocator, caches, thread pools); from there to the end nothing may be added: a single tensor kept
per step, or a file left open per epoch, would show as hundreds.
"""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest
import torch
from torchvision.io import write_jpeg

from harness.data.embedded import generate
from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.stage.execute import Job, execute
from harness.stage.reporter import Silent
from harness.store.layout import stage_folder

STEPS = 2000
RECIPE = """\
name: long
data: {name: embedded, images: 32, size: 8}
augment: {crop_scale: [0.2, 1.0]}
model: {backbone: miniature, dim: 8, bn_group: 4}
contrast: {kind: moco, queue: 16, momentum: 0.9, temperature: 0.2}
optim: {epochs: 500, batch: 8, lr: 0.05, schedule: {kind: constant}}
knn: {k: [5], queries: 10}
linear: null
watch: {log_steps: 4, knn_epochs: 50, checkpoint_steps: 20, control: false}
"""
FILES = RECIPE.replace("{name: embedded, images: 32", "{name: imagefolder, folder: pets")
GROWTH = 16 << 20
"""Bytes that the resident memory may differ by: heap fragments and the journal's own text. A batch
of this recipe kept each step would be 18 MB, an optimiser's state 300 MB."""


class Watch(Silent):
    """Notes at each end of 25 epochs what the process holds."""

    def __init__(self) -> None:
        self.seen: dict[int, dict[str, int]] = {}

    def advance(self, step: int, figures: dict[str, float]) -> None:
        if step % 100 == 0 and figures:
            self.seen[step] = held()


def held() -> dict[str, int]:
    gc.collect()
    own = Path("/proc/self")
    return {
        "tensors": sum(isinstance(each, torch.Tensor) for each in gc.get_objects()),
        "files": len(list((own / "fd").iterdir())),
        "threads": threading.active_count(),
        "processes": len((own / "task" / own.resolve().name / "children").read_text().split()),
        "bytes": int((own / "statm").read_text().split()[1]) * 4096,
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        images, labels = generate("train" if split == "train" else "test", 32, 12)
        for n, (image, label) in enumerate(zip(images, labels, strict=True)):
            place = tmp_path / "pets" / {"train": "train", "test": "val"}[split] / str(int(label))
            place.mkdir(parents=True, exist_ok=True)
            write_jpeg(image, str(place / f"{n}.jpg"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("text", [RECIPE, FILES], ids=["memory", "files"])
def test_nothing_grows(tmp_path: Path, data: Path, text: str) -> None:
    recipe = tmp_path / "long.yaml"
    recipe.write_text(text)
    stage = make_plan(recipe, (), tmp_path / "runs").stages[0]
    folder = stage_folder(tmp_path / "runs", stage.id)
    folder.create(describe(stage, "long"))
    watch = Watch()
    assert execute(Job(folder.path, data, "cpu"), watch, lambda: False) == "finished"
    assert max(watch.seen) == STEPS
    warm, last = watch.seen[STEPS // 4], watch.seen[STEPS - 100]
    print({name: (warm[name], last[name]) for name in warm})
    assert last["bytes"] - warm["bytes"] < GROWTH
    for name in ("tensors", "files", "threads", "processes"):
        assert last[name] <= warm[name], name
