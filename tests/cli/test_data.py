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
    draw = torch.Generator().manual_seed(0)
    for part, count in (("train", 16), ("val", 2)):
        for name in ("cat", "dog"):
            inside = place / "images" / part / name
            inside.mkdir(parents=True)
            for n in range(count):
                pixels = torch.randint(256, (30, 24, 3), generator=draw, dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(inside / f"{n}.jpg")
    said = moco("data", "pack", "images", "data/pets", "--side", "20")
    assert said.code == 0, said.all
    assert "36 images" in said.out
    assert "packed and verified" in said.out
    again = moco("data", "pack", "images", "data/pets", "--side", "20")
    assert "was packed already, and is whole" in again.out
    (place / "pets.yaml").write_text(RECIPE)
    assert f"data: {Path('data/pets')}" in moco("plan", "pets.yaml", "--data", "data").out
    run = moco("run", "pets.yaml", "--data", "data", "--device", "cpu", "--yes")
    assert run.code == 0, run.all
    (result,) = Path("runs").glob("pets-s0.pretrain-*/result.json")
    assert "short side of 20" in json.loads(result.read_text())["data"]["packing"]
    report = next(Path("runs/reports").glob("*/report.md")).read_text()
    assert "Images packed with a short side of 20 at most, JPEG quality 95." in report


def test_what_is_no_image_folder(moco: Any, place: Path) -> None:
    (place / "empty").mkdir()
    said = moco("data", "pack", "empty", "out")
    assert said.code == 3
    assert "an image folder holds" in said.err
    assert "Traceback" not in said.all
    assert not Path("out").exists()
