from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from data.box_layouts import coco, voc
from documents.markdown import ROOT
from report.build import recipe

from harness.data_check import WEIGHTS, DataCheck, boxes_there, check_data
from harness.recipe.detection import BoxName, DetectionTask
from harness.recipe.schema import Recipe

IMAGES = {"data__name": "imagefolder", "data__folder": "pets", "data__images": None}


def detection(name: BoxName, images: int | None = None, batch: int = 2) -> DetectionTask:
    boxes = {"name": name, "images": images}
    said = {"kind": "detection", "detector": "c4", "boxes": boxes, "shortest": (64,)}
    long = {"batch": batch, "steps": 1, "lr": 0.1, "schedule": {"kind": "constant"}}
    return DetectionTask.model_validate(said | long)


def of(name: str, seed: int = 0) -> Recipe:
    return recipe(data__name=name, data__images=None, seed=seed)


def says(recipes: list[Recipe], root: Path) -> list[str]:
    return [found.says for found in check_data(recipes, root)]


@pytest.mark.parametrize(
    ("name", "folder", "archive"),
    [
        ("cifar10", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
        ("cifar100", "cifar-100-python", "cifar-100-python.tar.gz"),
        ("stl10", "stl10_binary", "stl10_binary.tar.gz"),
    ],
)
def test_what_torchvision_downloads(tmp_path: Path, name: str, folder: str, archive: str) -> None:
    (missing,) = check_data([of(name)], tmp_path)
    assert not missing.there
    assert missing.says.startswith(f"data missing: {name} is not in {tmp_path}; ")
    assert "--data" in missing.says
    (tmp_path / archive).touch()
    assert check_data([of(name)], tmp_path) == [DataCheck(True, f"data: {name} in {tmp_path}")]
    (tmp_path / archive).unlink()
    (tmp_path / folder).mkdir()
    assert check_data([of(name)], tmp_path) == [DataCheck(True, f"data: {name} in {tmp_path}")]


def test_these_are_torchvisions_names() -> None:
    import torchvision.datasets as vision

    from harness.data_check import DOWNLOADED

    for name, made in (("cifar10", vision.CIFAR10), ("cifar100", vision.CIFAR100)):
        assert DOWNLOADED[name][:2] == (made.base_folder, made.filename)
    assert DOWNLOADED["stl10"][:2] == (vision.STL10.base_folder, "stl10_binary.tar.gz")


def test_an_image_folder(tmp_path: Path) -> None:
    pets = recipe(**IMAGES)
    place = tmp_path / "pets"
    assert says([pets], tmp_path) == [
        f"data missing: no train and no val in {place}; name the data root with --data"
    ]
    (place / "train").mkdir(parents=True)
    assert says([pets], tmp_path)[0].startswith(f"data missing: no val in {place};")
    (place / "val").mkdir()
    assert check_data([pets], tmp_path) == [DataCheck(True, f"data: {place}")]


def test_embedded_images_are_nowhere(tmp_path: Path) -> None:
    assert check_data([recipe()], tmp_path) == []


def test_boxes(tmp_path: Path) -> None:
    both = detection("voc0712")
    voc(tmp_path, 2007)
    (missing,) = boxes_there("tasks.det.boxes", both, tmp_path)
    assert not missing.there
    assert missing.says.startswith("tasks.det.boxes: voc0712 missing: no folder ")
    assert f"{tmp_path}/VOCdevkit/VOC2012" in missing.says
    assert f"{tmp_path}/VOCdevkit/VOC2007" not in missing.says
    folder = voc(tmp_path, 2012)
    (found,) = boxes_there("tasks.det.boxes", both, tmp_path)
    assert found.there
    annotation = next((folder / "Annotations").iterdir())
    annotation.unlink()
    (missing,) = boxes_there("tasks.det.boxes", both, tmp_path)
    assert not missing.there
    assert "lacks 1 files" in missing.says
    assert str(annotation) in missing.says
    (folder / "ImageSets" / "Main" / "trainval.txt").unlink()
    (missing,) = boxes_there("tasks.det.boxes", both, tmp_path)
    assert "trainval.txt" in missing.says
    assert list(boxes_there("tasks.det.boxes", detection("scenes"), tmp_path)) == []


def test_lists_without_an_image(tmp_path: Path) -> None:
    listed = voc(tmp_path, 2007) / "ImageSets" / "Main"
    for name in ("trainval.txt", "test.txt"):
        before = (listed / name).read_text()
        (listed / name).write_text("")
        (missing,) = boxes_there("tasks.det.boxes", detection("voc2007"), tmp_path)
        assert not missing.there
        assert missing.says.startswith("tasks.det.boxes: voc2007 names no image")
        (listed / name).write_text(before)
    assert all(each.there for each in boxes_there("x.boxes", detection("voc2007"), tmp_path))


def test_more_images_than_there_are(tmp_path: Path) -> None:
    folder = voc(tmp_path, 2007)
    have = len((folder / "ImageSets" / "Main" / "trainval.txt").read_text().split())

    def fields(images: int | None, batch: int) -> list[str]:
        found = boxes_there("tasks.det.boxes", detection("voc2007", images, batch), tmp_path)
        return [one.says.partition(":")[0] for one in found if not one.there]

    assert fields(have, 2) == []
    assert fields(have + 1, 2) == ["tasks.det.boxes.images"]
    assert fields(None, have + have % 2 + 2) == ["tasks.det.batch"]


def test_more_images_than_coco_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    pictures = coco(tmp_path) / "train2017"
    have = len(list(pictures.iterdir()))
    for images, there in ((have, True), (have + 1, False)):
        (found,) = boxes_there("tasks.det.boxes", detection("coco2017", images), tmp_path)
        assert found.there == there


def test_the_extra_that_evaluates_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    coco(tmp_path)
    (missing,) = boxes_there("tasks.det.boxes", detection("coco2017"), tmp_path)
    assert not missing.there
    assert "tasks.det.boxes: " in missing.says
    assert "pip install 'moco-harness[detection]'" in missing.says
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "faster_coco_eval" or None)
    (found,) = boxes_there("tasks.det.boxes", detection("coco2017"), tmp_path)
    assert found.there


def test_weights(tmp_path: Path) -> None:
    weights = {"file": "released/v2.pth", "sha256": "0" * 8}
    asked = json.loads(recipe().model_dump_json())
    asked["model"] |= {"weights": weights}
    released = Recipe.model_validate_json(json.dumps(asked))
    (missing,) = check_data([released], tmp_path)
    assert not missing.there
    assert f"{tmp_path / 'released/v2.pth'}" in missing.says
    (tmp_path / "released").mkdir()
    (tmp_path / "released" / "v2.pth").touch()
    assert check_data([released], tmp_path) == []


def test_each_thing_is_told_once(tmp_path: Path) -> None:
    recipes = [of("cifar10", seed) for seed in range(5)] + [of("stl10")]
    assert len(says(recipes, tmp_path)) == 2


@pytest.mark.parametrize(
    "data",
    [
        {"name": "pictures", "folder": "pets", "size": 32},
        {"name": "imagefolder", "folder": "pets", "split": 0.1, "size": 32},
    ],
)
def test_a_folder_without_train_and_val(tmp_path: Path, data: dict[str, object]) -> None:
    of_task = {"watched": {"kind": "knn", "data": {"name": "cifar10", "size": 32}}}
    pets = recipe(data=data, knn=None, linear=None, tasks=of_task)
    (folder, watched) = check_data([pets], tmp_path)
    assert not folder.there
    assert str(tmp_path / "pets") in folder.says
    assert (watched.there, watched.comes) == (False, True)
    (tmp_path / "pets").mkdir()
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert all(found.there for found in check_data([pets], tmp_path))


def test_the_weights_that_shipped_recipes_name_have_an_address_here_and_in_the_guide() -> None:
    guide = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
    named = {
        name
        for folder in ("recipes", "ablations")
        for path in (ROOT / folder).glob("*.yaml")
        for name in re.findall(r"file: weights/([^,}\s]+)", path.read_text(encoding="utf-8"))
    }
    assert named == WEIGHTS.keys()
    for name, address in WEIGHTS.items():
        assert f"| [{name}]({address}) |" in guide
