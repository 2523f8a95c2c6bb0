"""`data pack`, and a run from the pack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image

RECIPE = """\
name: pets
data: {name: imagefolder, folder: pets, size: 16}
augment: {}
model: {backbone: miniature, bn_group: 8, dim: 8}
contrast: {kind: moco, queue: 32, momentum: 0.9, temperature: 0.2}
optim: {epochs: 1, batch: 16, lr: 0.05, schedule: {kind: constant}}
knn: {k: [3]}
linear: null
"""


def test_a_folder_is_packed_and_trained_from(moco: Any, place: Path) -> None:
    photographs(place / "images" / "train", 16)
    photographs(place / "images" / "val", 2)
    said = moco("data", "pack", "images", "data/pets", "--side", "20")
    assert said.code == 0, said.all
    assert "36 images" in said.out
    assert "packed and verified" in said.out
    again = moco("data", "pack", "images", "data/pets", "--side", "20")
    assert "packed earlier" in again.out
    (place / "pets.yaml").write_text(RECIPE)
    assert f"data: {Path('data/pets')}" in moco("plan", "pets.yaml", "--data", "data").out
    for command in (("plan",), ("run", "--dry-run"), ("run", "--yes")):
        said = moco(*command, "pets.yaml", "--data", "data", "--set", "knn.k=[33]")
        assert said.code == 3
        assert "knn.k" in said.err
    assert not Path("runs").exists()
    run = moco("run", "pets.yaml", "--data", "data", "--device", "cpu", "--yes")
    assert run.code == 0, run.all
    (result,) = Path("runs").glob("pets-s0.pretrain-*/result.json")
    assert "short side of 20" in json.loads(result.read_text())["data"]["packing"]
    report = next(Path("runs/reports").glob("*/report.md")).read_text()
    assert "Images packed with a short side of 20 at most, JPEG quality 95." in report


def photographs(inside: Path, count: int) -> None:
    draw = torch.Generator().manual_seed(0)
    for name in ("cat", "dog"):
        (inside / name).mkdir(parents=True)
        for n in range(count):
            pixels = torch.randint(256, (30, 24, 3), generator=draw, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(inside / name / f"{n}.jpg")


def test_broken_images_end_a_run_with_3_until_they_are_left_out(moco: Any, place: Path) -> None:
    pets = place / "data" / "pets"
    photographs(pets / "train", 17)
    photographs(pets / "val", 2)
    (pets / "train" / "cat" / ".cache").mkdir()
    for name in ("train/cat/0.jpg", "train/dog/4.jpg"):
        (pets / name).write_bytes(b"")
    (place / "pets.yaml").write_text(RECIPE)
    run = ("run", "pets.yaml", "--data", "data", "--device", "cpu", "--yes")
    said = moco(*run)
    assert said.code == 3
    assert "2 images of 34 cannot be used" in said.err
    assert "cat/0.jpg" in said.err
    assert "dog/4.jpg" in said.err
    assert "Traceback" not in said.all
    command = said.err.partition("moco-harness ")[2].partition(" lists")[0]
    checked = moco("data", "check", "data/pets")
    assert checked.code == 3
    assert "2 images of 38 cannot be used" in checked.err
    assert moco(*command.split()).code == 0
    checked = moco("data", "check", "data/pets")
    assert "36 images can be read" in checked.out
    assert "skipped 1 hidden (cat/.cache)" in checked.out
    assert "2 broken images left out" in checked.out
    again = moco(*run)
    assert again.code == 0, again.all
    assert "2 broken images left out" in again.all
    assert "skipped 1 hidden (cat/.cache)" in again.all
    (result,) = Path("runs").glob("pets-s0.pretrain-*/result.json")
    data = json.loads(result.read_text())["data"]
    assert data["left_out"]["first"] == ["train/cat/0.jpg", "train/dog/4.jpg"]
    assert data["passed_over"] == {"train": {"hidden": 1}}
    assert "left out: 2." in next(Path("runs/reports").glob("*/report.md")).read_text()


def test_a_pack_without_the_broken_images(moco: Any, place: Path) -> None:
    photographs(place / "images" / "train", 3)
    photographs(place / "images" / "val", 2)
    (place / "images" / "val" / "dog" / "0.jpg").write_bytes(b"")
    said = moco("data", "pack", "images", "pack")
    assert said.code == 3
    assert "val/dog/0.jpg" in said.err
    again = moco("data", "pack", "images", "pack", "--skip-broken")
    assert again.code == 0, again.all
    assert "1 broken images left out (val/dog/0.jpg)" in again.out
    checked = moco("data", "check", "pack")
    assert "9 images can be read" in checked.out
    assert "1 broken images left out (val/dog/0.jpg)" in checked.out


def test_a_pack_for_which_there_is_no_place(moco: Any, place: Path, mount: Any) -> None:
    photographs(place / "images" / "train", 3)
    photographs(place / "images" / "val", 2)
    disk = mount("size=64k")
    mount("ro")
    said = moco("data", "pack", "images", disk / "pack")
    assert said.code == 4
    assert str(disk / "pack") in said.err
    assert "--runs" not in said.err, "an option that the command does not take"


def test_what_is_no_image_folder(moco: Any, place: Path) -> None:
    (place / "empty").mkdir()
    said = moco("data", "pack", "empty", "out")
    assert said.code == 3
    assert "an image folder holds" in said.err
    assert "Traceback" not in said.all
    assert not Path("out").exists()
