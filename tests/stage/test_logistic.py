"""Logistic regression as a stage: C from the training images alone, then all of them fitted."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from gloo import Pool
from sklearn.linear_model import LogisticRegression

from harness.data.datasets import open_data
from harness.errors import RecipeError
from harness.evaluate.features import extract
from harness.evaluate.logistic import Fit, Regression
from harness.recipe.load import load_recipe
from harness.runtime import checkpoint
from harness.runtime.world import World
from harness.stage import execute as executing
from harness.stage import logistic as module
from harness.store import journal
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry

from .test_evaluation import trained
from .tiny import recipe_of, run, write
from .together import run_stages

KNN = "knn: {k: [5, 1], temperature: 0.1, queries: 50}"
GRID = (0.01, 1.0, 100.0)


def recipe(folder: Path, more: str = "folds: 4, held_out: 4, c: [0.01, 1.0, 100.0]") -> Path:
    return write(folder, old=KNN, new=f"{KNN}\ntasks: {{grid: {{kind: logistic, {more}}}}}")


def fitted(path: Path, runs: Path, kinds: tuple[str, ...] = ("pretrain", "logistic")) -> Any:
    folder = run(path, runs, kinds=kinds)["logistic"]
    assert folder.result is not None
    return folder.result


def features(folder: StageFolder) -> list[tuple[Any, Any]]:
    """(features, labels) of the training and the test images."""
    data = open_data(recipe_of(folder).data, Path("/nonexistent"))
    encoder = trained(folder).to(memory_format=torch.channels_last)
    world = World.alone(torch.device("cpu"))
    return [
        (
            extract(
                encoder, data, images, size=16, layer="backbone", precision="fp32", world=world
            ).numpy(),
            images.labels.numpy(),
        )
        for images in (data.bank, data.test)
    ]


def test_the_result_is_that_of_a_fit_to_all_training_images(tmp_path: Path) -> None:
    result = fitted(recipe(tmp_path, "c: [0.01, 1.0, 100.0], tolerance: 1e-6"), tmp_path / "runs")
    (pretrained,) = (tmp_path / "runs").glob("tiny-s0.pretrain-*")
    (x, y), (test, answers) = features(StageFolder(pretrained))
    plain = LogisticRegression(C=result["logistic"]["c"], max_iter=1000, tol=1e-6)
    expected = 100 * (plain.fit(x, y).predict(test) == answers).mean()
    assert result["values"]["logistic/top1"] == pytest.approx(expected, abs=0.11)  # two images
    assert result["values"]["logistic/top1"] > 15


def test_the_choice_is_recorded_with_all_that_was_tried(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    result = fitted(recipe(tmp_path), runs)
    choice, values = result["logistic"], result["values"]
    assert tuple(choice["grid"]) == GRID
    assert len(choice["validation"]) == 3
    assert choice["c"] == GRID[choice["validation"].index(max(choice["validation"]))]
    assert values["logistic/c"] == choice["c"]
    assert values["logistic/validation"] == max(choice["validation"])
    named = [values[f"logistic/validation@c{c:g}"] for c in GRID]
    assert named == choice["validation"]
    assert [len(fits) for fits in choice["iterations"]] == [3] * 4
    (folder,) = runs.glob("tiny-s0.grid-*")
    (record,) = journal.read(StageFolder(folder))
    assert record["protocol"]["folds"] == 4
    assert record["protocol"]["chosen"] == choice
    assert {name: record[name] for name in values} == values


def test_the_test_images_enter_no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, runs = recipe(tmp_path), tmp_path / "runs"
    one = fitted(path, runs)
    (folder,) = runs.glob("tiny-s0.grid-*")
    shutil.rmtree(folder)
    real = executing.open_data

    def other(*words: Any) -> Any:
        data = real(*words)
        test = data.test.subset(torch.arange(40))
        test.labels = (test.labels + 1) % 10
        return replace(data, test=test)

    monkeypatch.setattr(executing, "open_data", other)
    changed = fitted(path, runs, ("logistic",))
    assert changed["values"]["logistic/top1"] != one["values"]["logistic/top1"]
    assert changed["logistic"] == one["logistic"]


def test_a_single_c_is_taken_as_it_is(tmp_path: Path) -> None:
    result = fitted(recipe(tmp_path, "c: [0.5]"), tmp_path / "runs")
    assert list(result["values"]) == ["logistic/top1", "logistic/c"]
    assert result["logistic"]["validation"] == result["logistic"]["iterations"] == []


def test_a_hold_out_fits_once_for_each_c(tmp_path: Path) -> None:
    more = "folds: 10, held_out: 1, c: [0.1, 1.0], normalise: l2, layer: output, trials: 2"
    path, runs = recipe(tmp_path, more), tmp_path / "runs"
    run(path, runs, kinds=("pretrain", "logistic"))
    found = [json.loads((each / "result.json").read_text()) for each in runs.glob("tiny-s0.grid*")]
    assert len(found) == 2
    for result in found:
        assert [len(fits) for fits in result["logistic"]["iterations"]] == [2]
        held = 8  # a tenth of 80
        rights = [each * held / 100 for each in result["logistic"]["validation"]]
        assert rights == pytest.approx([round(n) for n in rights])


def test_fits_that_do_not_converge_are_recorded(tmp_path: Path) -> None:
    more = "c: [0.1, 1.0], folds: 2, held_out: 1, iterations: 3"
    result = fitted(recipe(tmp_path, more), tmp_path / "runs")
    assert result["logistic"]["unconverged"] == [0.1, 1.0]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The values of C of the fits that are made from now on."""
    made: list[float] = []
    real = Regression.fit

    def fit(self: Regression, c: float, *pieces: Any) -> Fit:
        made.append(c)
        return real(self, c, *pieces)

    monkeypatch.setattr(Regression, "fit", fit)
    return made


def test_it_can_be_stopped_between_fits_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole, runs = recipe(tmp_path), tmp_path / "whole", tmp_path / "runs"
    expected = fitted(path, whole)
    run(path, runs, kinds=("pretrain",))
    made = counted(monkeypatch)
    folder = run(path, runs, kinds=("logistic",), stopping=lambda: len(made) >= 5)["logistic"]
    assert folder.result is None
    assert json.loads((folder.attempts()[0] / "ended.json").read_text())["how"] == "interrupted"
    before = len(made)
    assert 4 <= before <= 6
    again = fitted(path, runs, ("logistic",))
    assert (again["values"], again["logistic"]) == (expected["values"], expected["logistic"])
    assert 12 + 1 <= len(made) <= 12 + 2, "at most one fit was made twice"
    assert made[before:][:2] in ([GRID[1], GRID[2]], [GRID[2], GRID[0]])


@pytest.mark.parametrize("changed", ["edition", "weights"])
def test_fits_of_other_code_or_weights_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    path, runs = recipe(tmp_path), tmp_path / "runs"
    run(path, runs, kinds=("pretrain",))
    made = counted(monkeypatch)
    with pytest.MonkeyPatch.context() as before:
        if changed == "edition":
            before.setattr(module, "edition", lambda *_: "another")
        else:
            real = module.Choosing.__init__

            def begin(self: module.Choosing, context: Any) -> None:
                real(self, context)
                self.made_by["weights"] = "others"

            before.setattr(module.Choosing, "__init__", begin)
        run(path, runs, kinds=("logistic",), stopping=lambda: len(made) >= 5)
    made.clear()
    result = fitted(path, runs, ("logistic",))
    assert len(made) == 13
    assert [len(fits) for fits in result["logistic"]["iterations"]] == [3] * 4


KILLED = """\
import time
from harness.evaluate.logistic import Regression
from stage.tiny import run
real = Regression.fit
def fit(*words):
    time.sleep(0.1)
    return real(*words)
Regression.fit = fit
run(path, runs, kinds=("logistic",))
"""


def test_killed_at_any_instant_it_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, runs = recipe(tmp_path), tmp_path / "runs"
    expected = fitted(path, tmp_path / "whole")
    folder = run(path, runs, kinds=("pretrain",))["logistic"]
    draw = random.Random(0)
    for least in (2, 6):
        names = {"path": path, "runs": runs}
        process = forked.start(exec, KILLED, names, said=Path(os.devnull))
        while process.is_alive() and newest(folder) < least:
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.2))
        process.kill()
        process.join()
    reached = newest(folder)
    assert reached >= 6
    made = counted(monkeypatch)
    again = fitted(path, runs, ("logistic",))
    assert len(folder.attempts()) == 3
    entry = read_entry(folder)
    assert (entry.state, entry.detail) == ("finished", "")
    assert (again["values"], again["logistic"]) == (expected["values"], expected["logistic"])
    assert len(made) == 12 - reached + 1


def newest(folder: StageFolder) -> int:
    """The number of fits in the newest checkpoint."""
    return max((step for step, _ in checkpoint.listed(folder.checkpoints)), default=0)


def test_two_processes_choose_as_one(gloo: Pool, tmp_path: Path) -> None:
    path, runs = recipe(tmp_path, "folds: 2, held_out: 2, c: [0.01, 1.0]"), tmp_path / "runs"
    gloo.run(run_stages, 2, str(path), str(runs), timeout=120)
    two = fitted(path, runs, ())
    (folder,) = runs.glob("tiny-s0.grid-*")
    shutil.rmtree(folder)
    one = fitted(path, runs, ("logistic",))
    assert two["processes"] == 2
    assert two["logistic"]["c"] == one["logistic"]["c"]
    assert two["logistic"]["validation"] == pytest.approx(one["logistic"]["validation"], abs=1.3)
    assert two["values"]["logistic/top1"] == pytest.approx(one["values"]["logistic/top1"], abs=0.2)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ("folds: 2, held_out: 3", "held_out"),
        ("c: [0.1, 0.1]", "tasks.grid.c"),
        ("c: []", "tasks.grid.c"),
        ("c: [0.0]", "tasks.grid.c"),
        ("folds: 1, held_out: 1", "tasks.grid.folds"),
        ("normalise: max", "tasks.grid.normalise"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, more: str, field: str) -> None:
    with pytest.raises(RecipeError, match=field):
        load_recipe(recipe(tmp_path, more), [])
