"""fp16 with its scaler and bf16, on the CPU: overflows are skipped, divergence is still seen."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import Pool

from harness.certify.trajectory import train
from harness.methods.moco.method import MoCo
from harness.runtime import checkpoint
from harness.runtime.world import World
from harness.stage.context import StageOutcome
from harness.stage.pretrain import Pretraining
from harness.store import journal

from . import trajectory
from .tiny import final_state, run, same, write

ALONE = World.alone(torch.device("cpu"))
PRETRAIN = ("pretrain",)


def fp16(folder: Path) -> Path:
    return write(folder, old="name: tiny", new="name: tiny\nprecision: fp16")


def begin_at(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scaler begin there, and double after six steps without an overflow."""
    real = torch.amp.GradScaler

    def made(device: str, *, enabled: bool) -> torch.amp.GradScaler:
        return real(device, init_scale=scale, growth_interval=6, enabled=enabled)

    monkeypatch.setattr(torch.amp, "GradScaler", made)


def test_stopping_and_going_on_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_at(2.0**24, monkeypatch)
    recipe = fp16(tmp_path)
    whole = run(recipe, tmp_path / "whole", kinds=PRETRAIN)["pretrain"]
    for _ in range(5):
        asked = itertools.count(1)
        stopping = lambda asked=asked: next(asked) >= 4  # noqa: E731
        run(recipe, tmp_path / "parts", kinds=PRETRAIN, stopping=stopping)
    parts = run(recipe, tmp_path / "parts", kinds=PRETRAIN)["pretrain"]
    assert len(parts.attempts()) == 4
    assert same(final_state(whole), final_state(parts))
    scaler = final_state(whole)["scaler"]
    assert scaler["growth_interval"] == 6
    assert scaler["scale"] != 2.0**24


def test_an_overflow_skips_a_step_and_is_no_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_at(2.0**60, monkeypatch)
    weights: list[torch.Tensor] = []
    real = Pretraining.train

    def seen(self: Pretraining, *words: Any) -> None:
        real(self, *words)
        weights.append(self.mechanism.query.backbone.conv1.weight.detach().clone())

    monkeypatch.setattr(Pretraining, "train", seen)
    folder = run(fp16(tmp_path), tmp_path / "runs", kinds=PRETRAIN)["pretrain"]
    assert folder.result is not None
    assert folder.result["state"] == "finished"
    assert final_state(folder)["scaler"]["scale"] == 2.0**45, "halved in each of the 15 steps"
    assert all(torch.equal(each, weights[0]) for each in weights)
    losses = [loss for _, _, loss in journal.series(journal.read(folder), "train/loss")]
    assert len(losses) == 15
    assert all(map(math.isfinite, losses))


def test_a_loss_that_is_not_finite_is_divergence_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MoCo.forward

    def broken(self: MoCo, views: Any, index: Any, step: int) -> Any:
        loss, correct = real(self, views, index, step)
        return (loss * math.nan if step == 6 else loss), correct

    monkeypatch.setattr(MoCo, "forward", broken)
    folder = run(fp16(tmp_path), tmp_path / "runs", kinds=PRETRAIN)["pretrain"]
    assert folder.result is not None
    assert folder.result["state"] == "diverged"
    assert "the loss was nan at step 7" in folder.result["message"]
    assert all(step < 7 for step, _ in checkpoint.listed(folder.checkpoints))


def test_gradients_that_are_never_finite_are_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_at(2.0**-20, monkeypatch)
    real = Pretraining.run

    def overflowing(self: Pretraining) -> StageOutcome:
        self.mechanism.query.backbone.conv1.weight.register_hook(lambda g: g * math.inf)
        return real(self)

    monkeypatch.setattr(Pretraining, "run", overflowing)
    folder = run(fp16(tmp_path), tmp_path / "runs", kinds=PRETRAIN)["pretrain"]
    assert folder.result is not None
    assert folder.result["state"] == "diverged"
    assert "no gradient was finite" in folder.result["message"]


def test_all_processes_skip_a_step_if_one_overflows(gloo: Pool) -> None:
    one, other = gloo.run(trajectory.one_overflows, 2)
    assert [scale for scale, _ in one] == [2.0**16, 2.0**16, 2.0**15, 2.0**15]
    for (scale, weight), (their_scale, their_weight) in zip(one, other, strict=True):
        assert scale == their_scale
        assert torch.equal(weight, their_weight)
    moved = [not torch.equal(a, b) for (_, a), (_, b) in itertools.pairwise(one)]
    assert moved == [True, False, True]


@pytest.mark.parametrize(("precision", "first"), [("bf16", 0.01), ("fp16", 0.001)])
@pytest.mark.parametrize("contrast", ["moco", "end_to_end", "memory_bank"])
def test_a_few_steps_are_those_of_float32(contrast: str, precision: str, first: float) -> None:
    """In nats, of losses of about 3: `first` before any update, 0.05 after three."""
    full, half = (
        train(ALONE, trajectory.recipe(contrast, steps=4, precision=each), torch.float32)[
            "losses"
        ].tolist()
        for each in ("fp32", precision)
    )
    assert half[0] == pytest.approx(full[0], abs=first)
    assert half == pytest.approx(full, abs=0.05)
    assert half[0] != full[0]
