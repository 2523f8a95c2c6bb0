"""MSRA's network is built by detectors alone: what would read it as torchvision's is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.recipe.identity import stage_id
from harness.recipe.load import load_recipe
from harness.recipe.schema import Recipe

RECIPE = """\
name: x
data: {name: imagefolder, folder: imagenet, size: 224}
augment: {}
model:
  backbone: resnet50
  bn_group: 32
  weights: {file: weights/msra.safetensors, sha256: "12345678", prefix: msra}
  layout: msra
contrast: {kind: moco, queue: 4096, momentum: 0.99, temperature: 0.1}
optim: {epochs: 0, batch: 256, lr: 0.06, schedule: {kind: cosine}}
knn: null
linear: null
tasks:
  det: {kind: detection, detector: c4, boxes: {name: voc0712}, shortest: [480], steps: 6, lr: 0.02,
    schedule: {kind: constant}}
watch: {health_epochs: 0}
"""
RUN = (
    *(f"model.weights.{field}=null" for field in ("file", "sha256", "prefix")),
    "model.weights.run=y-s0.pretrain-1a2b3c4d",
)
PLAIN = ("model.layout=torchvision", "model.weights.prefix=null")


def load(folder: Path, *sets: str) -> Recipe:
    path = folder / "x.yaml"
    path.write_text(RECIPE)
    return load_recipe(path, sets)


def test_a_detector_begins_with_it(tmp_path: Path) -> None:
    made = load(tmp_path)
    assert made.model.layout == "msra"
    plain = load(tmp_path, "model.layout=torchvision", "model.weights.prefix=null")
    named = load(tmp_path, "model.weights.prefix=null")
    assert len({stage_id(each, "det") for each in (made, plain, named)}) == 3
    masks = "kind: instances, detector: mask_fpn, boxes: {name: coco2017}, shortest: [640]"
    load(tmp_path, f"tasks.det={{{masks}, steps: 6, lr: 0.02, schedule: {{kind: constant}}}}")
    load(tmp_path, "model.weights=null")  # the control: the same network at random weights


@pytest.mark.parametrize(
    ("field", "sets"),
    [
        ("model.layout", ("model.layout=torchvision",)),
        ("model.layout", ("model.backbone=resnet18",)),
        ("model.layout", ("model.width=2",)),
        ("optim.epochs", ("optim.epochs=1",)),
        ("knn", ("knn={k: [5]}",)),
        ("linear", ("linear={epochs: 3, drops: []}",)),
        ("watch.health_epochs", ("watch.health_epochs=null",)),
        ("watch.health_epochs", ("watch.health_epochs=1",)),
        ("tasks.nn", ("tasks.nn={kind: knn, k: [5]}",)),
        (
            "tasks.tune",
            ("tasks.tune={kind: finetune, epochs: 1, lr: 0.1, schedule: {kind: constant}}",),
        ),
        ("tasks.det", ("tasks.det.boxes.name=scenes", "tasks.det.shortest=null")),
        ("model.weights.run", RUN),
        ("model.weights.file", ("model.weights.file=weights/R-50.pkl",)),
        ("model.layout", (*PLAIN, "model.weights.sha256='5891d200ef31'")),
        ("model.weights.sha256", (*PLAIN, "model.weights.sha256='11ad3fa6'")),
    ],
    ids=str,
)
def test_what_would_be_another_network(tmp_path: Path, field: str, sets: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError, match=rf"\b{field}: "):
        load(tmp_path, *sets)
