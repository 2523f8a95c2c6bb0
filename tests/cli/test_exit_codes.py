"""Exit codes as docs/commands.md has them, and what `check` leaves in its files."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli.conftest import Once
from harness.app.results import INTERRUPTED
from harness.errors import DataError, Superseded
from harness.launch.here import stages as here
from harness.launch.protocol import Tally

FOLDER = ["--data", "data", "--set", "data.name=imagefolder", "--set", "data.folder=pets",
          "--set", "data.images=null", "--set", "knn.queries=null"]  # fmt: skip
TARGET = (
    "about: {targets: [{metric: knn/top1, value: 0, tolerance: 0, minimum: true, source: me}]}\n"
)


def pictures(broken: bool) -> None:
    """An image folder of two classes, one of whose training images is no image."""
    noise = np.random.default_rng(0)
    for part in ("train", "val"):
        for kind in ("a", "b"):
            folder = Path("data/pets") / part / kind
            folder.mkdir(parents=True)
            for n in range(20):
                pixels = noise.integers(0, 256, (24, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{n}.png")
    if broken:
        Path("data/pets/train/b/7.png").write_bytes(b"no image at all")


def raises(error: Exception) -> Callable[[pytest.MonkeyPatch], None]:
    def run_as(*_: object, **__: object) -> str:
        raise error

    return lambda patch: patch.setattr(here, "run_as", run_as)


@pytest.mark.parametrize(
    ("prepare", "words", "code"),
    [
        (None, ["run", "tiny.yaml"], 0),
        (None, ["run", "none.yaml"], 2),
        (None, ["run", "tiny.yaml", "--set", "x=1"], 2),
        (None, ["run", "tiny.yaml", "--set", "data.name=imagefolder", "--set", "data.folder=x",
                "--set", "data.images=null", "--data", "nowhere"], 3),
        (None, ["run", "moco_v1_imagenet", "--data", "nowhere"], 3),
        (None, ["run", "moco_v1_imagenet", "--data", "nowhere", "--on", "local"], 3),
        (None, ["run", "cifar10_demo", "--data", "/proc/none"], 3),
        (None, ["data", "pack", "nowhere", "packed"], 3),
        (None, ["bench", "tiny.yaml", *FOLDER], 3),
        (None, ["run", "tiny.yaml", "--runs", "tiny.yaml"], 4),
        (None, ["logs", "nobody"], 4),
        (None, ["check", "tiny.yaml"], 2),
        (None, ["check", "easy.yaml"], 6),
        (raises(DataError("x.png: no image")), ["run", "tiny.yaml"], 3),
        (raises(Superseded("taken over")), ["run", "tiny.yaml"], 5),
        (raises(ValueError("a defect")), ["run", "tiny.yaml"], 1),
    ],
)  # fmt: skip
def test_exit_codes(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch, prepare: Any, words: Any, code: int
) -> None:
    text = tiny.read_text().replace("name: tiny", "name: easy")
    Path("easy.yaml").write_text(text + TARGET)
    if prepare is not None:
        prepare(monkeypatch)
    said = moco(*words)
    assert said.code == code, said.all


@pytest.mark.parametrize("processes", [1, 2])
def test_a_broken_image_ends_with_3(spawn: Any, tiny: Path, processes: int) -> None:
    pictures(broken=True)
    words = ["run", str(tiny), *FOLDER, "--processes", str(processes), "--yes"]
    said = spawn(*words).end()
    assert said.code == 3, said.out
    assert "7.png" in said.out


def test_tallies_of_several_kinds() -> None:
    tally = Tally()
    assert tally.exit_code == 0
    tally.elsewhere["a"] = "busy"
    assert tally.exit_code == 1
    tally.failed, tally.codes = [("b", "x")], {3}
    assert tally.exit_code == 3
    tally.codes.add(1)
    assert tally.exit_code == 1


# ---- check's files


@pytest.fixture
def judged(moco: Any, tiny: Path, once: Once) -> Path:
    """A recipe that passes, with yesterday's files, and one with a misspelt field."""
    text = tiny.read_text().replace("name: tiny", "name: easy") + TARGET
    Path("easy.yaml").write_text(text)
    Path("bad.yaml").write_text(text.replace("batch: 32", "bach: 32").replace("easy", "bad"))
    Path("list.yaml").write_text("recipes: [none.yaml, bad.yaml, easy.yaml]\n")

    def run() -> None:
        assert moco("run", "easy.yaml", "--set", "linear=null").code == 0

    once(run)
    said = moco(
        "check", "easy.yaml", "--set", "linear=null", "--json", "n.json", "--junit", "n.xml"
    )
    assert said.code == 0, said.all
    for name in ("n.json", "n.xml"):
        os.utime(name, (1e9, 1e9))
    return Path("easy.yaml")


def written() -> tuple[dict[str, Any], int]:
    """The JSON file's content, and the number of JUnit's errors."""
    return json.loads(Path("n.json").read_text()), len(ET.parse("n.xml").findall(".//error"))


REFUSED = [
    (["bad.yaml"], 2), (["none.yaml"], 2), (["easy.yaml", "--set", "x=1"], 2),
    (["easy.yaml", "--site", "none"], 2), (["easy.yaml", "--seeds", "x"], 2),
    (["easy.yaml", "--wat"], 2), (["easy.yaml", "--processes", "none"], 2), ([], 2),
    (["easy.yaml", "--against", "none.json"], 2), (["easy.yaml", "--runs", "easy.yaml"], 4),
    (["easy.yaml", "--against", "a", "--write-baseline", "b"], 2),
]  # fmt: skip


def test_no_verdict_of_yesterday(moco: Any, judged: Path) -> None:
    """However the call fails: of one run, as a run takes seconds."""
    assert judged.exists()
    for name in ("n.json", "n.xml"):
        shutil.copy2(name, f"yesterday.{name}")
    for words, code in REFUSED:
        for name in ("n.json", "n.xml"):
            shutil.copy2(f"yesterday.{name}", name)
        said = moco("check", *words, "--json", "n.json", "--junit", "n.xml")
        assert said.code == code, said.all
        found, errors = written()
        assert not found["passed"], words
        assert found["errors"], words
        assert errors == len(found["errors"]), words


def test_a_bad_recipe_leaves_the_others_judged(moco: Any, judged: Path) -> None:
    assert judged.exists()
    only = ["--set", "linear=null"]
    said = moco("check", "list.yaml", *only, "--json", "n.json", "--junit", "n.xml")
    assert said.code == 2
    assert "easy  knn/top1  passed" in said.out
    assert "bach" in said.err
    assert "none.yaml" in said.err
    found, errors = written()
    assert [each["judged"] for each in found["verdicts"]] == ["passed"]
    assert not found["passed"]
    assert errors == len(found["errors"]) == 2


def test_stopped_while_it_waits(moco: Any, judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.app.checking.waiting", stop)
    said = moco("check", judged, "--json", "n.json", "--junit", "n.xml")
    assert said.code == INTERRUPTED
    assert written()[1] == 1


def test_files_of_another_kind_stay(moco: Any, judged: Path) -> None:
    said = moco("check", judged, "--json", "easy.yaml", "--junit", "n.xml")
    assert said.code == 2
    assert TARGET in judged.read_text()
    assert len(ET.parse("n.xml").findall(".//error")) == 1
