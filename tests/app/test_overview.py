"""What `status` says of cells, and how long a stage is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from launch.world import World

from harness.app.overview import CellValues, _by_number, accuracies, status, totals
from harness.site import load_site
from harness.store import atomic
from harness.store.latest import Figures

RECIPE: dict[str, Any] = {
    "data": {"name": "embedded", "images": 80},
    "optim": {"epochs": 3, "batch": 16, "steps": None},
    "linear": {"epochs": 100},
    "tasks": {
        "ft": {"kind": "finetune", "epochs": 4, "steps": None},
        "steps": {"kind": "finetune", "epochs": None, "steps": 90},
        "lin": {"kind": "linear", "epochs": 7},
    },
}


def test_cells_are_in_the_order_of_their_numbers() -> None:
    cells = [
        "momentum=0.5-queue=192",
        "momentum=0.5-queue=32",
        "momentum=0.99",
        "momentum=0.9",
        "m",
    ]
    assert sorted(cells, key=_by_number) == [
        *("m", "momentum=0.5-queue=32", "momentum=0.5-queue=192", "momentum=0.9", "momentum=0.99")
    ]


def test_a_run_has_the_mean_of_its_trials_and_tasks_are_kept_apart(tmp_path: Path) -> None:
    world = World(tmp_path)
    above = world.stage(run="tiny.m0-s0")
    trials = {"masks": 30.0, "masks=t1": 40.0, "others": 90.0}
    for n, (name, value) in enumerate(trials.items()):
        folder = world.stage(name, run="tiny.m0-s0", parent=above.id)
        path = folder.path / "stage.json"
        told = json.loads(path.read_text()) | {
            "kind": "segmentation",
            "group": "tiny",
            "cell": "m0",
        }
        own = {"recipe": told.pop("recipe"), "task": name.partition("=")[0], "trial": n % 2}
        atomic.write_json(path, told | own)  # in the order in which a stage is recorded
        world.result(folder, **{"segmentation/miou": value})
    found = accuracies(status(load_site(runs=world.root)).rows)
    assert found == {"tiny": [CellValues("m0", "segmentation/miou", (35.0,))]}


def knn(world: World, run: str, value: float, text: str, edition: str = "e1") -> None:
    """A finished run of a cell, of this text of its recipe."""
    above = world.stage(run=run, digest=text * 10)
    folder = world.stage("knn", run=run, parent=above.id, digest=text * 10)
    path = folder.path / "stage.json"
    told = json.loads(path.read_text()) | {"group": "tiny", "cell": "m0"}
    own = {"recipe": told.pop("recipe"), "parent": told.pop("parent")}
    atomic.write_json(path, told | own)  # in the order in which a stage is recorded
    world.result(folder, **{"knn/top1": value})
    result = json.loads((folder.path / "result.json").read_text()) | {"edition": edition}
    atomic.write_json(folder.path / "result.json", result)


def test_runs_of_an_earlier_text_of_the_recipe_are_not_averaged_with_the_present(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    for seed, value in enumerate((50.0, 52.0)):
        knn(world, f"tiny.m0-s{seed}", value, "b")
    for seed in (0, 1):
        knn(world, f"tiny.m0-s{seed}", 30.0, "a")
        for place in world.root.glob("*aaaaaaaaaa"):
            os.utime(place / "stage.json", (1e9, 1e9))
    found = accuracies(status(load_site(runs=world.root)).rows)
    assert found == {"tiny": [CellValues("m0", "knn/top1", (50.0, 52.0))]}


def test_results_of_different_code_have_no_mean(tmp_path: Path) -> None:
    world = World(tmp_path)
    for seed, edition in enumerate(("e1", "e2")):
        knn(world, f"tiny.m0-s{seed}", 30.0 + 20 * seed, "a", edition)
    (cell,) = accuracies(status(load_site(runs=world.root)).rows)["tiny"]
    assert (cell.values, cell.mixed) == ((30.0, 50.0), True)


@pytest.mark.parametrize(
    ("kind", "under", "expected"),
    [
        ("pretrain", "", (15, 3)),
        ("linear", "", (1000, 100)),
        ("linear", "lin", (70, 7)),
        ("finetune", "ft", (40, 4)),
        ("finetune", "steps", (90, None)),
        ("knn", "", (None, None)),
        ("unknown", "ft", (None, None)),
    ],
)
def test_a_stage_is_as_long_as_its_own_section_says(
    kind: str, under: str, expected: tuple[int | None, int | None]
) -> None:
    assert totals(RECIPE, kind, Figures(step=20, epoch=2.0), under) == expected
