"""A published set under `tasks:` or as the run's data, from `plan` to `check`: its metric leads."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from data.photo_trees import TREES, image, lines

from cli.conftest import Moco
from cli.tiny import TINY

TARGET = """\
about:
  targets:
    - {metric: knn/mean_per_class, task: pets, value: 0, tolerance: 0, minimum: true, source: none}
"""
PETS = "data: {name: pets, size: 16}"
FURTHER = f"""\
tasks:
  pets: {{kind: knn, k: [3, 1], {PETS}}}
  logistic_pets: {{kind: logistic, c: [1.0], {PETS}}}
  probe: {{kind: linear, epochs: 1, batch: 6, lr: [1.0], drops: [], views: center, {PETS}}}
"""
RECIPE = TINY + FURTHER + TARGET


@pytest.fixture
def data(place: Path) -> Path:
    TREES["pets"](place / "data")
    for n in range(10, 14):  # classes of unequal size
        image(place / f"data/oxford-iiit-pet/images/First_cat_{n}.jpg", 0, n)
    path = place / "data/oxford-iiit-pet/annotations/test.txt"
    lines(path, [*path.read_text().splitlines(), *(f"First_cat_{n} 1 1 1" for n in range(10, 14))])
    return place / "data"


def values(runs: Path, stage: str) -> dict[str, float]:
    (path,) = runs.glob(f"*.{stage}-*/result.json")
    found: dict[str, float] = json.loads(path.read_text())["values"]
    return found


def test_a_further_task(moco: Moco, place: Path, data: Path) -> None:
    (place / "tiny.yaml").write_text(RECIPE)
    said = moco("run", "tiny.yaml", "--data", data, "--yes")
    assert said.code == 0, said.all
    assert f"data: pets in {data}" in said.all
    assert list(values(place / "runs", "knn")) == ["knn/top1"]  # of embedded images
    knn = values(place / "runs", "pets")
    assert list(knn) == [f"knn/{m}{k}" for m in ("top1", "mean_per_class") for k in ("", "@k1")]
    assert list(values(place / "runs", "probe")) == ["linear/top1", "linear/mean_per_class"]
    found_c = values(place / "runs", "logistic_pets")
    assert list(found_c) == ["logistic/top1", "logistic/mean_per_class", "logistic/c"]
    status = {
        line.split(".")[1].split("-")[0]: line
        for line in moco("status").out.splitlines()
        if line.startswith("tiny-s0.")
    }
    assert f" {knn['knn/mean_per_class']:.1f} % mean per class" in status["pets"]
    assert status["pets"].count("%") == status["probe"].count("%") == 1  # never top-1 beside it
    assert "mean per class" not in status["knn"]
    found = json.loads(next(place.glob("runs/reports/**/results.json")).read_text())
    outcomes = set(found["cells"][0]["runs"][0]["outcomes"])  # of the run's own data
    assert outcomes >= {"knn/top1", "linear/top1", "logistic/top1"}
    assert not any(name.endswith("mean_per_class") for name in outcomes)
    assert moco("check", "tiny.yaml", "--data", data).code == 0
    folder = next(place.glob("runs/*.pets-*"))
    about = json.loads((folder / "result.json").read_text())
    assert about["data"]["metric"] == "mean_per_class"
    assert about["data"]["published_split"] == "trainval; test"
    assert about["inputs"]["data"]["of"] == "pets"

    path = data / "oxford-iiit-pet/annotations/test.txt"  # another class, of the same size
    path.write_text(path.read_text().replace("First_cat_13 1 ", "First_cat_13 2 "))
    assert "other data" in moco("plan", "tiny.yaml", "--data", data).out


def test_as_the_runs_data(moco: Moco, place: Path, data: Path) -> None:
    embedded = "data: {name: embedded, images: 128, size: 16}"
    own = TINY.replace(embedded, PETS).replace("k: [5]", "k: [3]").replace("batch: 32", "batch: 4")
    (place / "tiny.yaml").write_text(own.replace("bn_group: 8", "bn_group: 2"))
    said = moco("run", "tiny.yaml", "--data", data, "--yes")
    assert said.code == 0, said.all
    trained = values(place / "runs", "pretrain")
    assert "knn/mean_per_class" in trained
    for line in moco("status").out.splitlines():
        if line.startswith("tiny-s0.") and "%" in line:
            assert "mean per class" in line
    page = next(place.glob("runs/reports/**/*.md")).read_text()
    assert "linear probe mean per class" in page
    at = [
        page.index(f"{task} {m}, %")
        for task in ("linear probe", "kNN")
        for m in ("mean per class", "top-1")
    ]
    assert at[0] < at[1]
    assert at[2] < at[3]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("{kind: knn, k: [1], data: {name: sun397, size: 16}}", "SUN397"),
        ("{kind: knn, k: [1], data: {name: imagefolder, folder: absent, size: 16}}", "absent"),
        (
            "{kind: knn, k: [1], data: {name: imagefolder, folder: some, test: r, size: 16}}",
            "fox",
        ),
        ("{kind: knn, k: [4000], data: {name: pets, size: 16}}", "4000"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_training(
    moco: Moco, place: Path, data: Path, task: str, why: str
) -> None:
    for part in ("train", "val"):
        image(data / f"some/{part}/cat/0.png")
    image(data / "r/fox/0.png")
    (place / "tiny.yaml").write_text(f"{TINY}tasks: {{more: {task}}}\n")
    said = moco("run", "tiny.yaml", "--data", data, "--yes")
    assert said.code == 3, said.all
    assert why in said.err
    assert not list(place.glob("runs/tiny*"))


def test_several_roots(moco: Moco, place: Path, data: Path) -> None:
    (place / "other").mkdir()
    (place / "tiny.yaml").write_text(RECIPE)
    said = moco("plan", "tiny.yaml", "--data", "other", "--data", data)
    assert said.code == 0
    assert f"data: pets in {data}" in said.out
    again = moco("plan", "tiny.yaml", "--data", f"other{os.pathsep}{data}")
    assert again.out == said.out
    TREES["pets"](place / "other")
    said = moco("plan", "tiny.yaml", "--data", "other", "--data", data)
    assert f"data: pets in other (also in {data}: not used)" in said.out
