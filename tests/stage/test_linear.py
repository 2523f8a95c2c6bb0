"""The linear probe as a stage: frozen features, exact resumption, both kinds of views."""

import itertools
from pathlib import Path

import pytest
import torch

from harness.runtime import checkpoint
from harness.stage import frozen, linear
from harness.store import journal

from .tiny import run, same, write


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


def test_stopping_and_going_on_changes_nothing(
    tmp_path: Path,
) -> None:
    recipe = write(tmp_path)
    whole = run(recipe, tmp_path / "whole")["linear"]
    run(recipe, tmp_path / "parts", kinds=("pretrain", "knn"))
    asked = itertools.count(1)
    run(recipe, tmp_path / "parts", stopping=lambda: next(asked) >= 2)
    parts = run(recipe, tmp_path / "parts")["linear"]
    assert len(parts.attempts()) == 2
    assert whole.result is not None
    assert parts.result is not None
    assert whole.result["values"] == parts.result["values"]
    times = [{k: v for k, v in r.items() if k != "t"} for r in journal.read(whole)]
    assert times == [{k: v for k, v in r.items() if k != "t"} for r in journal.read(parts)]


def test_a_frozen_tensor_that_moves_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = linear.Probing._step

    def moving(self: linear.Probing, epoch: int, *batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            next(self.encoder.parameters()).add_(1e-6)
        return real(self, epoch, *batch)

    monkeypatch.setattr(linear.Probing, "_step", moving)
    with pytest.raises(AssertionError, match="should be frozen"):
        run(write(tmp_path), tmp_path / "runs")


def test_the_frozen_encoder_is_the_last_checkpoints_query_encoder(tmp_path: Path) -> None:
    folders = run(write(tmp_path), tmp_path / "runs", kinds=("pretrain",))
    found = checkpoint.newest(folders["pretrain"].checkpoints, print)
    assert found is not None
    seen = []
    real = frozen.encoder

    def spy(context: object) -> object:
        seen.append(real(context))  # type: ignore[arg-type]
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
