"""No accuracy of what is not finite: the stage ends as diverged, or the number is left out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from harness.evaluate.linear_probe import LinearProbe
from harness.methods.moco.method import MoCo
from harness.recipe.schema import Linear
from harness.store import journal
from harness.store.layout import StageFolder

from .tiny import run, write


def diverged(folder: StageFolder, says: str) -> None:
    result = folder.result
    assert result is not None
    assert (result["state"], result["values"]) == ("diverged", {})
    assert says in result["message"]
    assert not list(journal.series(journal.read(folder), "knn/top1"))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("backbone.blocks.2.bn2.bias=1e30", "too large to be compared"),
        ("backbone.blocks.2.bn2.running_var=inf", "running_var"),
        ("backbone.blocks.2.bn2.running_var=-1", "not finite"),
        ("backbone.blocks.2.bn2.weight=nan", "bn2.weight"),
        ("backbone.blocks.2.bn2.bias=-1e6", "were zero"),
    ],
)
def test_pre_training_ends_as_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str, says: str
) -> None:
    """Though every loss was finite: what is spoilt is so after the last step."""
    name, _, value = spoil.partition("=")
    real = MoCo.after_step

    def spoiling(self: MoCo) -> None:
        real(self)
        self.query.get_buffer(name).fill_(float(value)) if "running" in name else (
            self.query.get_parameter(name).data.fill_(float(value))
        )

    monkeypatch.setattr(MoCo, "after_step", spoiling)
    recipe = write(tmp_path, old="optim: {epochs: 3, batch: 16", new="optim: {epochs: 1, batch: 80")
    recipe.write_text(recipe.read_text().replace("queue: 50", "queue: 80"))
    folder = run(recipe, tmp_path / "runs", kinds=("pretrain",))["pretrain"]
    diverged(folder, says)


def test_fp16_at_a_rate_that_blows_up(tmp_path: Path) -> None:
    sets = ("precision=fp16", "optim.lr=100", "optim.epochs=1")
    diverged(run(write(tmp_path), tmp_path / "runs", sets, kinds=("pretrain",))["pretrain"], "")


@pytest.mark.parametrize("kind", ["knn", "linear"])
def test_an_evaluation_ends_as_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Of features that were finite in the monitor, as on another device or precision."""
    recipe, runs = write(tmp_path), tmp_path / "runs"
    run(recipe, runs, kinds=("pretrain",))
    monkeypatch.setattr("harness.evaluate.features.widen", lambda x: x.float() * math.inf)
    diverged(run(recipe, runs, kinds=(kind,))[kind], "not finite")


def test_a_classifier_that_diverged_gives_no_number(tmp_path: Path) -> None:
    """One that only shows sensitivity; the result stands."""
    recipe = write(tmp_path, old="lr: [0.05, 0.5], drops", new="lr: [0.05, 1e38], drops")
    folder = run(recipe, tmp_path / "runs")["linear"]
    assert folder.result is not None
    assert list(folder.result["values"]) == ["linear/top1"]
    records = journal.read(folder)
    assert any("linear/top1" in record for record in records)
    assert not any("linear/top1@lr1e+38" in record for record in records)


def test_a_probe_whose_last_step_overflows(tmp_path: Path) -> None:
    """All its losses were finite: they are taken before the step."""
    old = "linear: {epochs: 4, batch: 32, lr: [0.05, 0.5], drops: [2]"
    new = "linear: {epochs: 1, batch: 80, lr: [1e38], drops: []"
    folder = run(write(tmp_path, old=old, new=new), tmp_path / "runs")["linear"]
    assert math.isfinite(journal.read(folder)[-1]["linear/loss"])
    diverged(folder, "logits")


def test_logits_that_overflow_are_no_hits() -> None:
    device = torch.device("cpu")
    probe = LinearProbe(
        Linear(lr=(1.0, 2.0)), dim=2, classes=2, stream=(0, "linear"), device=device
    )
    probe.weight.copy_(torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[3e38, 3e38], [0.0, 0.0]]]))
    right, lost = probe.accuracy(torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.tensor([0, 1]))
    assert right == 100
    assert math.isnan(lost)
