"""Warnings of a recipe whose images are at hand, or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import harness

TEXT = """\
data: {name: imagefolder, folder: pets, size: 32}
augment: {}
model: {backbone: resnet18, bn_group: 8}
contrast: {kind: moco, queue: 64, momentum: 0.5, temperature: 0.1}
optim: {epochs: 20, batch: 32, lr: 0.004, schedule: {kind: constant}}
knn: {k: [60]}
linear: {batch: 128}
"""


def warned(path: Path, site: harness.Site) -> set[str]:
    found = harness.app.preflight(harness.app.plan(path, site), site)
    return {each.key for each in found.warnings}


def test_images_at_hand_are_counted(tmp_path: Path) -> None:
    site = harness.load_site(data=tmp_path, runs=tmp_path / "runs")
    path, place = tmp_path / "it.yaml", tmp_path / "pets"
    path.write_text(TEXT)
    assert warned(path, site) == {"queue-turnover"}
    for name in ("cat", "dog"):
        (place / "train" / name).mkdir(parents=True)
        for n in range(40):
            (place / "train" / name / f"{n}.jpg").touch()
    assert warned(path, site) == {"queue-turnover", "own-image-negatives", "knn-k", "probe-rate"}
    shutil.rmtree(place / "train")
    for classes, more in ((2, set()), (1000, {"knn-k"})):
        said = {"splits": {"train": {"images": 50_000}}, "classes": ["cat"] * classes}
        (place / "pack.json").write_text(json.dumps(said))
        assert warned(path, site) == {"queue-turnover"} | more
