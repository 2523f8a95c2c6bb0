from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from report.build import recipe

from harness.app import training_images as module
from harness.app.training_images import too_few_images, training_images
from harness.recipe.schema import Data

PETS = {"data__name": "imagefolder", "data__folder": "pets", "data__images": None}


def pets(root: Path, count: int = 6) -> Path:
    for n in range(count):
        path = root / "pets" / "train" / ("cat", "dog")[n % 2] / "deeper" / f"{n}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root / "pets"


def beyond(root: Path, **changes: Any) -> list[str]:
    made = recipe(**(PETS | {"optim__batch": 4, "model__bn_group": 2, "knn__k": (6,)} | changes))
    return [each.partition(":")[0] for each in too_few_images([made, made], root)]


def test_what_is_more_than_the_folder_has_is_told_by_its_field(tmp_path: Path) -> None:
    place = pets(tmp_path)
    assert beyond(tmp_path) == []
    assert beyond(tmp_path, optim__batch=8) == ["optim.batch"]
    assert beyond(tmp_path, knn__k=(3, 7)) == ["knn.k"]
    assert beyond(tmp_path, data__images=7) == ["data.images"]
    further = {"kind": "knn", "k": (7,)}
    assert beyond(tmp_path, tasks={"wide": further}) == ["tasks.wide.k"]
    (place / "broken.txt").write_text("train/cat/deeper/0.jpg\n")
    assert beyond(tmp_path) == ["knn.k"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"labels": 0.2}, "labels"),
        ({"labels": 0.4}, ""),
        ({"labels": 3}, "labels"),
        ({"labels": 2}, ""),
        ({"labels": 2, "batch": 5}, "batch"),
        ({"batch": 8}, "batch"),
        ({"labels_file": "few.txt", "labels_sha256": "0" * 8, "batch": 8}, ""),
    ],
)
def test_labels_that_are_fewer_than_a_fine_tuning_needs(
    tmp_path: Path, more: dict[str, Any], field: str
) -> None:
    """A class has two images, the other four."""
    place = pets(tmp_path)
    (place / "train" / "dog" / "deeper" / "1.jpg").rename(place / "train" / "cat" / "1.jpg")
    task = {
        "kind": "finetune",
        "epochs": 1,
        "lr": 0.1,
        "schedule": {"kind": "constant"},
        "batch": 2,
    }
    found = beyond(tmp_path, tasks={"ft": {**task, **more}})
    assert found == ([f"tasks.ft.{field}"] if field else [])
    own = {"name": "imagefolder", "folder": "pets", "size": 16}
    other = beyond(tmp_path, data__folder="absent", tasks={"ft": {**task, **more, "data": own}})
    assert other == found


def test_shots_that_the_smallest_class_does_not_have(tmp_path: Path) -> None:
    """A class has two images, the other four."""
    place = pets(tmp_path)
    (place / "train" / "dog" / "deeper" / "1.jpg").rename(place / "train" / "cat" / "1.jpg")
    for shots, found in (([2, 1], []), ([1, 3], ["tasks.few.shots"])):
        assert beyond(tmp_path, tasks={"few": {"kind": "few_shot", "shots": shots}}) == found


def test_of_a_pack_its_manifest_is_asked(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    said = {"splits": {"train": {"images": 5}}}
    (tmp_path / "pets" / "pack.json").write_text(json.dumps(said))
    assert beyond(tmp_path) == ["knn.k"]


def test_what_cannot_be_counted_at_once_lacks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert training_images(tmp_path / "absent") is None
    place = pets(tmp_path)
    (place / "train" / "dog" / "again").symlink_to(place / "train")  # a walk without end
    assert training_images(place) == 6
    monkeypatch.setattr(module, "FEW", 4)
    listed: list[str] = []
    real = os.scandir

    def counted(path: Any) -> Any:
        listed.append(str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", counted)
    assert training_images(place) is None
    assert len(listed) < 10


def test_of_folders_without_train_and_val_what_is_trained_on_is_counted(tmp_path: Path) -> None:
    place = pets(tmp_path, 20) / "train"
    pictures = Data(name="pictures", folder="pets", size=16)
    split = Data(name="imagefolder", folder="pets/train", split=0.2, size=16)
    assert training_images(tmp_path / "pets", pictures) == 20
    assert training_images(place, split) == 16
    (place / "broken.txt").write_text("cat/deeper/0.jpg\n")
    assert training_images(place, split) == 15
    own = {"data": dict(split), "knn": None, "linear": None}
    assert beyond(tmp_path, **own, optim__batch=16) == ["optim.batch"]
