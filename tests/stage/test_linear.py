"""The linear probe as a stage: frozen features, exact resumption, both kinds of views."""

import itertools
import json
import random
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from harness.runtime import checkpoint
from harness.stage import frozen, linear
from harness.store import journal
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry

from .tiny import begin, final_state, run, same, write


@pytest.mark.parametrize("views", ["center", "random_crop"])
def test_it_reports_the_last_epoch(tmp_path: Path, views: str) -> None:
    recipe = write(tmp_path, old="views: center", new=f"views: {views}")
    folders = run(recipe, tmp_path / "runs")
    result = folders["linear"].result
    assert result is not None
    assert list(result["values"]) == ["linear/top1", "linear/top1@lr0.5"]
    records = journal.read(folders["linear"])
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert records[-1]["linear/top1"] == pytest.approx(result["values"]["linear/top1"])
    assert records[-1]["linear/loss"] < records[0]["linear/loss"]
    assert [record["step"] for record in records] == [3, 6, 9, 12]  # 80 images, 32 a step


def test_it_reports_the_last_accuracy_not_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = iter([[30.0, 10.0], [50.0, 60.0], [45.0, 20.0], [40.0, 25.0]])
    monkeypatch.setattr(linear.Probing, "_validate", lambda _: {"top1": next(seen)})
    folder = run(write(tmp_path), tmp_path / "runs")["linear"]
    result = folder.result
    assert result is not None
    assert result["values"] == {"linear/top1": 40.0, "linear/top1@lr0.5": 25.0}
    assert next(seen, None) is None, "each epoch was measured"
    assert read_entry(folder).state == "finished"


def timeless(folder: StageFolder) -> list[journal.Record]:
    return [{k: v for k, v in r.items() if k != "t"} for r in journal.read(folder)]


def assert_same(one: StageFolder, other: StageFolder) -> None:
    """The same classifiers to the bit, the same results, the same journal but for times."""
    assert one.result is not None
    assert other.result is not None
    assert one.result["values"] == other.result["values"]
    assert same(final_state(one), final_state(other))
    assert timeless(one) == timeless(other)


def at_five(asked: Iterator[int]) -> bool:
    return next(asked) >= 5


@pytest.mark.parametrize("views", ["center", "random_crop"])
def test_stopping_within_epochs_and_going_on_changes_nothing(tmp_path: Path, views: str) -> None:
    recipe = write(tmp_path, old="views: center", new=f"views: {views}")
    whole = run(recipe, tmp_path / "whole")["linear"]
    runs = tmp_path / "parts"
    run(recipe, runs, kinds=("pretrain", "knn"))
    extracted = 4 + (views == "center")  # batches of 500 test images; and of the bank's
    for _ in range(2):  # each attempt makes five steps of 12, of which three are an epoch
        shutil.rmtree(runs / ".features")  # each attempt extracts, and is asked at every batch
        asked = itertools.count(1 - extracted)
        parts = run(recipe, runs, stopping=partial(at_five, asked))["linear"]
        assert parts.result is None
    assert [step for step, _ in checkpoint.listed(parts.checkpoints)] == [10, 8]
    parts = run(recipe, runs)["linear"]
    assert len(parts.attempts()) == 3
    assert_same(whole, parts)


@pytest.mark.parametrize("kind", ["knn", "linear"])
def test_stopped_while_features_are_extracted(tmp_path: Path, kind: str) -> None:
    recipe, runs = write(tmp_path), tmp_path / "runs"
    kinds = ("pretrain", "knn", "linear")
    run(recipe, runs, kinds=kinds[: kinds.index(kind)])
    folder = run(recipe, runs, kinds=(kind,), stopping=lambda: True)[kind]
    assert folder.result is None
    assert json.loads((folder.attempts()[0] / "ended.json").read_text())["how"] == "interrupted"
    assert journal.read(folder) == []
    assert run(recipe, runs, kinds=kinds)[kind].result is not None


def test_killed_at_any_instant_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    recipe = write(tmp_path, old="linear: {epochs: 4", new="linear: {epochs: 200")
    whole, runs = run(recipe, tmp_path / "whole")["linear"], tmp_path / "killed"
    run(recipe, runs, kinds=("pretrain", "knn"))
    draw = random.Random(0)
    reached = []
    for _ in range(3):
        path = runs / whole.id / "checkpoints"
        before = {step for step, _ in checkpoint.listed(path)}
        process = begin(recipe, runs, "pretrain", "knn", "linear")
        while process.is_alive() and {step for step, _ in checkpoint.listed(path)} <= before:
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.2))
        process.kill()
        process.join()
        reached.append(checkpoint.listed(path)[0][0])
    killed = run(recipe, runs)["linear"]
    assert len(set(reached)) > 1
    assert_same(whole, killed)


def test_a_frozen_tensor_that_moves_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = linear.Probing._train

    def moving(self: linear.Probing, *batch: torch.Tensor) -> None:
        with torch.no_grad():
            next(self.encoder.parameters()).add_(1e-6)
        real(self, *batch)

    monkeypatch.setattr(linear.Probing, "_train", moving)
    with pytest.raises(AssertionError, match="frozen"):
        run(write(tmp_path), tmp_path / "runs")


def test_a_probe_that_diverges_is_a_result(tmp_path: Path) -> None:
    recipe = write(tmp_path, old="lr: [0.05, 0.5], drops", new="lr: [1e38, 0.5], drops")
    folder = run(recipe, tmp_path / "runs")["linear"]
    assert folder.result is not None
    assert folder.result["state"] == "diverged"
    assert "the mean loss of epoch" in folder.result["message"]


def test_the_frozen_encoder_is_the_last_checkpoints_query_encoder(tmp_path: Path) -> None:
    folders = run(write(tmp_path), tmp_path / "runs", kinds=("pretrain",))
    found = checkpoint.newest(folders["pretrain"].checkpoints, print)
    assert found is not None
    seen = []
    real = frozen.encoder

    def spy(*words: object) -> object:
        seen.append(real(*words))  # type: ignore[arg-type]
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen, "encoder", spy)
        run(write(tmp_path), tmp_path / "runs")
    assert len(seen) == 2
    for encoder in seen:
        assert not encoder.training
        assert not any(p.requires_grad for p in encoder.parameters())
        state = {f"query.{k}": v for k, v in encoder.state_dict().items()}
        assert all(same(v, found[1]["mechanism"][k]) for k, v in state.items())
