"""Few-shot classification as a stage: draws that networks share, and what they are fitted to."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
import torch
from gloo import Pool
from sklearn.linear_model import LogisticRegression

from harness.data.datasets import open_data
from harness.data.labelled import stratified
from harness.errors import DataError
from harness.evaluate.features import extract
from harness.runtime.world import World
from harness.stage import execute as executing
from harness.store import journal
from harness.store.layout import StageFolder

from .test_evaluation import trained
from .tiny import recipe_of, run, write
from .together import run_stages

KNN = "knn: {k: [5, 1], temperature: 0.1, queries: 50}"
KINDS = ("pretrain", "few_shot")


def recipe(folder: Path, more: str = "shots: [4, 2], draws: 3") -> Path:
    return write(folder, old=KNN, new=f"{KNN}\ntasks: {{few: {{kind: few_shot, {more}}}}}")


def fitted(path: Path, runs: Path, kinds: tuple[str, ...] = KINDS, **more: Any) -> Any:
    folder = run(path, runs, kinds=kinds, **more)["few_shot"]
    assert folder.result is not None
    return folder.result


def plain(folder: StageFolder, k: int, draw: int) -> float:
    """The accuracy of a draw, from features that are extracted here."""
    data = open_data(recipe_of(folder).data, Path("/nonexistent"))
    encoder = trained(folder).to(memory_format=torch.channels_last)
    world = World.alone(torch.device("cpu"))
    x, test = (
        torch.nn.functional.normalize(
            extract(encoder, data, of, size=16, layer="backbone", precision="fp32", world=world),
            dim=1,
        )
        .double()
        .numpy()
        for of in (data.bank, data.test)
    )
    index = stratified(data.bank.labels, k, "embedded", draw).numpy()
    model = LogisticRegression(C=1.0, tol=1e-6, max_iter=2000)
    answers = model.fit(x[index], data.bank.labels.numpy()[index]).predict(test)
    return float(100 * (answers == data.test.labels.numpy()).mean())


def test_the_result_is_the_mean_over_draws_with_its_interval(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    result = fitted(recipe(tmp_path, "shots: [4, 2], draws: 3, tolerance: 1e-6"), runs)
    values = result["values"]
    (pretrained,) = runs.glob("tiny-s0.pretrain-*")
    for k, variant in ((4, ""), (2, "@k2")):
        drawn = result["few_shot"][str(k)]["draws"]["top1"]
        expected = [plain(StageFolder(pretrained), k, draw) for draw in range(3)]
        assert drawn == pytest.approx(expected, abs=0.11)  # two images
        assert len(set(drawn)) > 1
        assert values[f"few_shot/top1{variant}"] == pytest.approx(mean(drawn))
        half = 4.302653 * stdev(drawn) / np.sqrt(3)
        assert values[f"few_shot/half_width_over_draws{variant}"] == pytest.approx(half, rel=1e-6)
    assert set(values) == {
        f"few_shot/{name}{variant}"
        for name in ("top1", "half_width_over_draws")
        for variant in ("", "@k2")
    }
    (folder,) = runs.glob("tiny-s0.few-*")
    (record,) = journal.read(StageFolder(folder))
    assert {name: record[name] for name in values} == values
    assert record["protocol"]["by_k"] == result["few_shot"]


def test_networks_and_seeds_share_the_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.stage import few_shot as module

    seen: list[tuple[int, ...]] = []

    def watched(*given: Any) -> Any:
        seen.append(tuple(stratified(*given).tolist()))
        return stratified(*given)

    monkeypatch.setattr(module, "stratified", watched)
    path = recipe(tmp_path)
    for sets in ((), ("seed=1", "optim.epochs=0")):
        run(path, tmp_path / "runs", sets, kinds=KINDS)
    assert len(seen) == 12
    assert seen[:6] == seen[6:]
    assert len(set(seen)) == 6


def test_c_is_chosen_inside_the_images_of_the_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other labels of all images that no draw takes, every choice is the same."""
    path, runs = recipe(tmp_path, "shots: [3], draws: 4, c: [1e-4, 1.0, 1e4]"), tmp_path / "runs"
    one = fitted(path, runs)
    chosen = one["few_shot"]["3"]["c"]
    assert set(chosen) <= {1e-4, 1.0, 1e4}
    assert len(set(chosen)) > 1
    (folder,) = runs.glob("tiny-s0.few-*")
    shutil.rmtree(folder)
    real = executing.open_data

    def other(*words: Any) -> Any:
        data = real(*words)
        test = data.test.subset(torch.arange(40))
        test.labels = (test.labels + 1) % 10
        return replace(data, test=test)

    monkeypatch.setattr(executing, "open_data", other)
    changed = fitted(path, runs, ("few_shot",))
    assert changed["few_shot"]["3"]["c"] == chosen
    assert changed["values"] != one["values"]


def test_the_mean_per_class_has_the_interval_where_it_is_the_datas_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = executing.open_data
    monkeypatch.setattr(
        executing, "open_data", lambda *words: replace(real(*words), metric="mean_per_class")
    )
    result = fitted(recipe(tmp_path, "shots: [2], draws: 3"), tmp_path / "runs")
    drawn = result["few_shot"]["2"]["draws"]
    assert list(drawn) == ["top1", "mean_per_class"]
    assert result["values"]["few_shot/mean_per_class"] == pytest.approx(
        mean(drawn["mean_per_class"])
    )
    half = 4.302653 * stdev(drawn["mean_per_class"]) / np.sqrt(3)
    assert result["values"]["few_shot/half_width_over_draws"] == pytest.approx(half, rel=1e-6)


def test_a_class_with_too_few_images_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = executing.open_data

    @cache  # whose cache is cleared after a DataError
    def halved(*words: Any) -> Any:
        data = real(*words)
        return replace(data, bank=data.bank.subset(torch.arange(40)))

    monkeypatch.setattr(executing, "open_data", halved)
    with pytest.raises(DataError, match=r"tasks\.few: shots: 8 images a class, but 10 of .*0: "):
        run(recipe(tmp_path, "shots: [2, 8]"), tmp_path / "runs", kinds=KINDS)


def test_it_resumes_with_the_next_draw(tmp_path: Path) -> None:
    path, runs = recipe(tmp_path), tmp_path / "runs"
    expected = fitted(path, tmp_path / "whole")
    run(path, runs, kinds=("pretrain",))
    asked = iter(range(1000))
    folder = run(path, runs, kinds=("few_shot",), stopping=lambda: next(asked) >= 6)["few_shot"]
    assert folder.result is None
    assert json.loads((folder.attempts()[0] / "ended.json").read_text())["how"] == "interrupted"
    (kept,) = folder.checkpoints.glob("*.pt")
    assert 0 < int(kept.name.split("-")[1]) < 6
    again = fitted(path, runs, ("few_shot",))
    assert (again["values"], again["few_shot"]) == (expected["values"], expected["few_shot"])


def test_two_processes_find_the_same(gloo: Pool, tmp_path: Path) -> None:
    path, runs = recipe(tmp_path), tmp_path / "runs"
    gloo.run(run_stages, 2, str(path), str(runs), timeout=120)
    two = fitted(path, runs, ())
    (folder,) = runs.glob("tiny-s0.few-*")
    shutil.rmtree(folder)
    one = fitted(path, runs, ("few_shot",))
    assert (two["processes"], one["processes"]) == (2, 1)
    for name, value in one["values"].items():
        assert two["values"][name] == pytest.approx(value, abs=0.2)
