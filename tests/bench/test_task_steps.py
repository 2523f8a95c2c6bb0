"""The steps of tasks that train the network further, beside their floor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from stage.finetuned import BOXES, detecting

from harness.bench.published import publish
from harness.bench.result import Result, training_rows
from harness.bench.run import bench, noise_for
from harness.bench.targets import targets
from harness.bench.task_steps import task_steps
from harness.data.datasets import open_data
from harness.errors import HarnessError
from harness.recipe.schema import Recipe
from harness.runtime.world import World
from harness.stage.detection import Detecting

from .made import recipe, result, timing

CPU = torch.device("cpu")
SHORT: dict[str, Any] = {"steps": 1, "rounds": 1, "warm_up": 0}
COMMON = {"batch": 8, "lr": 0.1, "schedule": {"kind": "constant"}}
TASKS: dict[str, Any] = {
    "classes": {"kind": "finetune", "epochs": 2, **COMMON},
    "masks": {
        "kind": "segmentation",
        "masks": {"name": "scenes", "images": 8, "tested": 2, "size": 24},
        "steps": 3,
        "crop": 21,
        **COMMON,
    },
    "boxes": {
        "kind": "detection",
        "detector": "small",
        "boxes": {"name": "scenes", "images": 8, "tested": 2, "size": 24},
        "steps": 3,
        **COMMON,
    },
    "neighbours": {"kind": "knn", "k": [5]},
}


def small(**tasks: Any) -> Recipe:
    data = {"name": "embedded", "images": 64, "size": 16}
    knn = {"k": [5]}
    return recipe(batch=32, group=8, backbone="miniature", data=data, knn=knn, tasks=tasks)


def test_every_task_that_trains_is_measured(tmp_path: Path) -> None:
    of, said = small(**TASKS), list[str]()
    data = open_data(of.data, tmp_path)
    found = task_steps(of, data, tmp_path, CPU, tmp_path, **SHORT, left_out=said.append)
    assert list(found) == ["classes", "masks", "boxes"]
    assert said == []
    for timings in found.values():
        assert list(timings) == ["floor", "step", "end to end", "input"]
        assert all(each.median > 0 for each in timings.values())


def test_random_pixels_stand_for_the_recipes_data_but_not_for_a_tasks_own(tmp_path: Path) -> None:
    tasks = {
        **TASKS,
        "voc": {**TASKS["masks"], "masks": {"name": "voc2012"}},
        "photos": {**TASKS["classes"], "data": {"name": "imagefolder", "folder": "f", "size": 32}},
    }
    of, said = small(**tasks), list[str]()
    found = task_steps(of, noise_for(of), tmp_path, CPU, tmp_path, **SHORT, left_out=said.append)
    assert list(found) == ["classes", "masks", "boxes"]
    assert [each.partition(":")[0] for each in said] == ["tasks.voc", "tasks.photos"]


def test_a_recipe_without_such_tasks_has_none(tmp_path: Path) -> None:
    of = small(neighbours=TASKS["neighbours"])
    data = open_data(of.data, tmp_path)
    assert task_steps(of, data, tmp_path, CPU, tmp_path, **SHORT, left_out=print) == {}
    assert list(tmp_path.iterdir()) == []


def measured(end_to_end: float) -> tuple[Recipe, Result]:
    of = recipe(tasks={"masks": TASKS["masks"]})
    made = result(of, device="cpu")
    ms = {"floor": 9.0, "step": 9.5, "end to end": end_to_end, "input": 1.0}
    made.training = {"masks": {name: timing(each / 1e3) for name, each in ms.items()}}
    return of, made


@pytest.mark.parametrize(("end_to_end", "met"), [(9.99, "met"), (10.1, "missed")])
def test_the_target_is_of_the_whole_loop(end_to_end: float, met: str) -> None:
    of, made = measured(end_to_end)
    (line,) = (row for row in targets(of, made) if "masks" in row[0])
    assert line[1] == ">= 0.90"
    assert line[3] == met


def test_it_is_kept_published_and_older_records_have_none(tmp_path: Path) -> None:
    _, made = measured(10.0)
    record = json.loads(json.dumps(made.record()))
    assert Result.of(record) == made
    older = {key: value for key, value in record.items() if key != "training"}
    assert Result.of(older).training == {}
    assert ("masks: end to end", "10.00", "800", "0.90") in training_rows(made)
    assert "| masks: end to end | 10.00 | 800 | 0.90 |" in publish(tmp_path, record).read_text()


def test_a_detectors_floor_reads_images_in_place() -> None:
    """Normalised once, outside of it; the losses are those of the step."""
    work = detecting(World.alone(CPU), BOXES).work
    assert isinstance(work, Detecting)
    work.model.float()
    batch = work.share(0)
    ready = work.in_place(batch)
    assert {image.dtype for image in batch.images} == {torch.uint8}
    assert {image.dtype for image in ready.images} == {torch.float32}
    assert torch.equal(work.outputs(ready), work.loss(batch))


def test_a_recipe_without_pre_training_has_its_tasks_measured(tmp_path: Path) -> None:
    of = small(masks=TASKS["masks"])
    of = of.model_copy(update={"optim": of.optim.model_copy(update={"epochs": 0})})
    found = bench(of, tmp_path, World.alone(CPU), **SHORT)
    assert (found.whole, found.parts, list(found.training)) == ({}, {}, ["masks"])
    assert Result.of(json.loads(json.dumps(found.record()))) == found
    assert [name for name, *_ in targets(of, found)] == ["masks end to end, relative to its floor"]
    page = publish(tmp_path / "pages", found.record()).read_text()
    assert "| masks: end to end |" in page
    assert "training step" not in page


def test_without_anything_that_trains_nothing_is_measured(tmp_path: Path) -> None:
    of = small(neighbours=TASKS["neighbours"])
    of = of.model_copy(update={"optim": of.optim.model_copy(update={"epochs": 0})})
    with pytest.raises(HarnessError, match="no task trains"):
        bench(of, tmp_path, World.alone(CPU), **SHORT)


def test_without_pre_training_missing_data_of_all_tasks_is_an_error(tmp_path: Path) -> None:
    of = small(voc={**TASKS["masks"], "masks": {"name": "voc2012"}})
    of = of.model_copy(update={"optim": of.optim.model_copy(update={"epochs": 0})})
    with pytest.raises(HarnessError, match=r"tasks\.voc"):
        bench(of, tmp_path, World.alone(CPU), **SHORT)
