"""`bench`, and the plan that takes its times from it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.bench.run import bench


@pytest.fixture(autouse=True)
def _small_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of the usual size takes longer than all else that is measured here."""
    monkeypatch.setattr("harness.cli.bench.bench", partial(bench, knn=(100, 1000)))


def test_a_measurement_is_kept_published_and_foreseen(moco: Any, tiny: Path) -> None:
    short = ("--rounds", "1", "--steps", "1", "--device", "cpu")
    said = moco("bench", tiny, *short, "--scaling", "--bandwidth", "12.5", "--publish", "speed")
    assert said.code == 0, said.all
    assert "relative to the floor" in said.out
    assert "a checkpoint every " in said.out
    assert "12.5 GB/s between nodes" in said.out
    (kept,) = Path("runs/bench").glob("tiny-*.json")
    assert json.loads(kept.read_text())["facts"]["recipe"]["name"] == "tiny"
    assert "## tiny on" in Path("speed/README.md").read_text()
    plan = moco("plan", tiny, "--device", "cpu")
    assert ", by bench (20" in plan.out
    assert "here on cpu" in plan.out


def test_random_pixels_foretell_nothing(moco: Any, tiny: Path) -> None:
    short = ("--rounds", "1", "--steps", "1", "--device", "cpu")
    assert moco("bench", tiny, *short, "--noise").code == 0
    assert "nothing similar was measured" in moco("plan", tiny, "--device", "cpu").out


def test_several_processes_beside_one(moco: Any, tiny: Path) -> None:
    short = ("--rounds", "1", "--steps", "1", "--device", "cpu", "--processes", "2", "--noise")
    said = moco("bench", tiny, *short, "--publish", "speed", "--runs", "other")
    assert said.code == 0, said.all
    assert not Path("runs").exists(), "the other process has the same run root"
    assert "relative to one process" in said.out
    assert "counted: " in said.out
    (kept,) = Path("speed").glob("tiny-cpu-2-processes.json")
    assert set(json.loads(kept.read_text())["sharing"]) == {"one process", "all processes"}
    page = Path("speed/README.md").read_text()
    assert "2 processes\n" in page
    assert "| 2 processes, relative to one | >= 0.90 |" in page


def test_pictures_without_labels(moco: Any, tiny: Path) -> None:
    """The kNN that watches them is measured by no bench, so that nothing is foretold."""
    for n in range(64):
        Path("photos").mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (4 * n, n, 0)).save(f"photos/{n}.png")
    watched = "{watched: {kind: knn, k: [5], data: {name: embedded, images: 64, size: 16}}}"
    changes = (
        "data={name: pictures, folder: photos, images: 64, size: 16}",
        "knn=null",
        "linear=null",
        f"tasks={watched}",
        "watch.knn_task=watched",
    )
    sets = [word for change in changes for word in ("--set", change)]
    short = ("--rounds", "1", "--steps", "1", "--device", "cpu", "--data", ".")
    said = moco("bench", tiny, *sets, *short)
    assert said.code == 0, said.all
    assert "saved: " in said.out
    said = moco("bench", tiny, *sets, *short, "--tasks")
    assert said.code == 1
    assert "labels" in said.err


def test_what_cannot_be_measured_together(moco: Any, tiny: Path) -> None:
    for words in (("--tasks", "--noise"), ("--scaling", "--processes", "2")):
        said = moco("bench", tiny, *words)
        assert said.code == 1
        assert words[0] in said.err


def test_a_cell_of_an_ablation_recipe(moco: Any, tiny: Path) -> None:
    assert tiny.exists()
    Path("table.yaml").write_text(
        "ablation: momentum\nrecipe: tiny.yaml\ncells: [m0.9, m0.99]\nseeds: [0, 1]\n"
        "metric: knn/top1\nmargin: 1\n"
    )
    short = ("--rounds", "1", "--steps", "1", "--device", "cpu", "--noise")
    for words, cell, m in (((), "m0.9", 0.9), (("--cell", "m0.99"), "m0.99", 0.99)):
        said = moco("bench", "table.yaml", *short, *words)
        assert said.code == 0, said.all
        assert f"measuring table.{cell} on" in said.out
        (kept,) = Path("runs/bench").glob(f"table.{cell}-2*.json")
        assert json.loads(kept.read_text())["facts"]["recipe"]["contrast"]["momentum"] == m
    for recipe, unknown in (("table.yaml", "m9"), ("tiny.yaml", "m0.9")):
        said = moco("bench", recipe, "--cell", unknown, *short)
        assert said.code == 2
        assert f"--cell {unknown}" in said.err


def test_a_page_that_somebody_wrote_is_told_before_the_measurement(moco: Any, tiny: Path) -> None:
    Path("README.md").write_text("# My project")
    said = moco("bench", tiny, "--publish", ".")
    assert said.code == 2
    assert "README.md" in said.err
    assert not Path("runs").exists()
