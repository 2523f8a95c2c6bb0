"""Data and weights that changed after a run: each command that uses its result says so."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from cli.tiny import TINY
from harness.model.encoder import build
from harness.recipe.schema import Model

TARGET = (
    "about: {targets: [{metric: knn/top1, value: 0, tolerance: 0, minimum: true, source: me}]}\n"
)
PETS = TINY.replace(
    "{name: embedded, images: 128, size: 16}", "{name: imagefolder, folder: pets, size: 16}"
).replace("linear: {epochs: 3", "linear: {epochs: 1")
BOTH = re.compile(r"names and sizes ([0-9a-f]{12}) of 72 images then, ([0-9a-f]{12}) of 73 images")


@pytest.fixture
def pets(place: Path) -> Path:
    """A recipe of an image folder, which lies under the data root `data`."""
    draw = torch.Generator().manual_seed(0)
    for part, count in (("train", 32), ("val", 4)):
        for name in ("cat", "dog"):
            inside = place / "data" / "pets" / part / name
            inside.mkdir(parents=True)
            for n in range(count):
                pixels = torch.randint(256, (16, 16, 3), generator=draw, dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(inside / f"{n}.png")
    (place / "pets.yaml").write_text(PETS + TARGET)
    return Path("pets.yaml")


def test_data_that_grew(moco: Any, pets: Path) -> None:
    from harness.data.datasets import open_data

    where = ("--data", "data")
    assert moco("run", pets, "--yes", *where).code == 0
    assert moco("run", pets, "--yes", *where).idle
    assert moco("check", pets, *where).code == 0
    shutil.copy("data/pets/val/cat/0.png", "data/pets/train/cat/spare.png")

    for words in (
        ("plan", pets, *where), ("plan", pets), ("run", pets, "--yes", *where), ("status",),
        ("check", pets, *where), ("report", pets), ("report", pets, *where),
    ):  # fmt: skip
        said = moco(*words)
        assert said.code == (6 if words[0] == "check" else 0), said.all
        assert BOTH.search(said.out), said.out
        assert "stale" in said.out, said.out
    assert "3 stages are stale" in moco("run", pets, "--yes", *where).out
    assert BOTH.search(Path("runs/reports/tiny/report.md").read_text())
    for more in ("--to", "kept"), ("--to", "kept", *where):
        refused = moco("publish", pets, *more)
        assert refused.code == 4
        assert BOTH.search(refused.err)
        assert not Path("kept").exists()
    elsewhere = moco("plan", pets, "--data", "nowhere", "--runs", shutil.copytree("runs", "copied"))
    assert BOTH.search(elsewhere.out), "where the stage has read it"

    open_data.cache_clear()  # as another process
    again = moco("run", pets, "--yes", *where, "--again")
    assert again.code == 0, again.all
    assert len(list(Path("runs/aside").iterdir())) == 3
    assert "stale" not in again.out.partition("loading")[2]
    assert moco("run", pets, "--yes", *where).idle
    assert moco("check", pets, *where).code == 0
    assert moco("publish", pets, "--to", "kept").code == 0
    shutil.rmtree("data/pets/train/cat")
    assert moco("publish", "--to", "kept").code == 0, "records alone"
    seen = moco("report", pets, "--runs", "kept/tiny/runs", *where, "--out", "elsewhere")
    assert "stale" not in seen.out, "published records are not of the data here"
    assert not Path("kept/tiny/runs/.inputs").exists()


def test_a_stage_of_data_that_changed_meanwhile(moco: Any, pets: Path) -> None:
    """Pre-trained on the old, probed on the new: what there is of it is stale, and the rest is
    refused."""
    from harness.data.datasets import open_data

    where = ("--data", "data", "--set", "linear=null")
    assert moco("run", pets, "--yes", *where).code == 0
    shutil.rmtree(next(Path("runs").glob("tiny-s0.knn-*")))
    shutil.copy("data/pets/val/cat/0.png", "data/pets/train/cat/spare.png")
    open_data.cache_clear()
    said = moco("run", pets, "--yes", *where)
    assert said.code != 0
    assert "1 finished stage is stale" in said.out
    assert "the data has fingerprint" in said.out


def test_given_weights_are_named_beside_the_number_and_watched(moco: Any, pets: Path) -> None:
    assert pets.exists()
    model = Model(backbone="resnet18", dim=16, bn_group=8)
    state = {
        "module.encoder_q." + name.replace("backbone.", ""): tensor
        for name, tensor in build(model, seed=9).state_dict().items()
        if name.startswith("backbone.")
    }
    file = Path("data/w.pth")
    torch.save({"state_dict": state}, file)
    md5, sha256 = (hashlib.file_digest(file.open("rb"), n).hexdigest() for n in ("md5", "sha256"))
    text = (PETS + TARGET).replace(
        "backbone: miniature", f"backbone: resnet18, weights: {{file: w.pth, md5: '{md5[:8]}'}}"
    )
    given = Path("given.yaml")
    given.write_text(re.sub("linear: .*", "linear: null", text.replace("epochs: 2", "epochs: 0")))
    where = ("--data", "data")
    said = moco("run", given, "--yes", *where)
    assert said.code == 0, said.all
    folder = Path("runs/reports/tiny")
    shown = f"w.pth, sha256 {sha256[:16]}"
    assert shown in said.out
    for name in ("report.md", "report.html", "report.tex"):
        text = folder.joinpath(name).read_text().rpartition("</nav>")[2]  # below the contents
        table = text.partition("Provenance")[0]
        assert shown in " ".join(table.split()), name
    for name in ("table.csv", "runs.csv"):
        for row in csv.DictReader(folder.joinpath(name).open()):
            assert row["weights"] == f"w.pth sha256:{sha256}", name
    found = json.loads(folder.joinpath("results.json").read_text())
    (run,) = found["cells"][0]["runs"]
    assert run["weights"] == {"file": "w.pth", "sha256": sha256}

    assert moco("check", given, *where).code == 0
    state["module.encoder_q.conv1.weight"] += 1
    torch.save({"state_dict": state}, file)
    now = hashlib.file_digest(file.open("rb"), "sha256").hexdigest()
    both = f"sha256 {sha256[:12]} then, {now[:12]} now"
    for words in (("plan", given, *where), ("status",), ("report", given), ("check", given)):
        stale = moco(*words)
        assert both in stale.out, stale.out
        assert stale.code == (6 if words[0] == "check" else 0)
    file.unlink()
    assert "stale" not in moco("status").out
    assert moco("check", given).code == 0


def test_what_could_not_be_looked_at_in_time_is_told(
    moco: Any, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not known, then, and nothing is called stale."""
    where = ("--data", "data", "--set", "linear=null")
    assert moco("run", pets, "--yes", *where).code == 0
    shutil.copy("data/pets/val/cat/0.png", "data/pets/train/cat/spare.png")
    monkeypatch.setattr("harness.inputs.FEW", 2)
    monkeypatch.setattr("harness.inputs.TIME_LIMIT_S", -1.0)
    monkeypatch.setattr("harness.cli.status.INPUTS_LIMIT_S", -1.0)
    words = {"plan": (pets, *where), "report": (pets, *where), "check": (pets, *where)}
    for command, more in {**words, "status": ()}.items():
        shutil.rmtree("runs/.inputs", ignore_errors=True)
        said = moco(command, *more)
        assert said.code == 0
        assert "pets is too large" in said.out, said.out
        assert "stale" not in said.out
