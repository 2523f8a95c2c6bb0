"""The loop of a task that trains: processes, rates, groups, PreciseBN, resumption, divergence."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from gloo import Pool
from torch import Tensor

from harness.certify.trajectory import largest_difference
from harness.data.loader import Batch
from harness.errors import HarnessError
from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.recipe.training import TrainedTask
from harness.runtime import checkpoint
from harness.runtime.world import World
from harness.stage import finetune
from harness.stage.context import Context
from harness.stage.trainable import TaskTraining, rate
from harness.store import journal
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry

from .finetuned import TASK, in_float64, training
from .tiny import begin, final_state, run, same, write

ALONE = World.alone(torch.device("cpu"))
KINDS = ("pretrain", "finetune")
FINETUNE = """\
linear: null
tasks:
  ft: {kind: finetune, epochs: 3, batch: 16, lr: 0.05, schedule: {kind: cosine}, precise_bn: 2,
    head_lr: 10.0, norm_decay: 0.0, warmup: {steps: 4}}
"""
STEPS = 15  # 3 epochs of 80 // 16


def recipe_of(folder: Path, old: str = "", new: str = "") -> Path:
    """The tiny recipe with a fine-tuning in the linear probe's place."""
    path = write(folder)
    kept = [line for line in path.read_text().splitlines() if not line.startswith("linear:")]
    assert old in FINETUNE
    path.write_text("\n".join([*kept, FINETUNE.replace(old, new) if old else FINETUNE]))
    return path


def timeless(folder: StageFolder) -> list[dict[str, Any]]:
    lost = ("t", "finetune/images_per_s")
    return [{k: v for k, v in r.items() if k not in lost} for r in journal.read(folder)]


def assert_same(one: StageFolder, other: StageFolder) -> None:
    assert one.result is not None
    assert other.result is not None
    assert one.result["values"] == other.result["values"]
    assert same(final_state(one), final_state(other))
    assert timeless(one) == timeless(other)


def one_of(looks: Iterator[int], stops: Container[int]) -> bool:
    return next(looks) in stops


def test_the_speed_of_slow_steps_is_not_rounded_to_none() -> None:
    loop = training(ALONE)
    loop.train(next(loop.work.batches(0, 1)))
    loop._since = time.perf_counter() - 1000 * loop.protocol.batch
    said: list[dict[str, Any]] = []
    with mock.patch.object(Context, "record", lambda _, records: said.extend(records)):
        loop.drain()
    assert said[-1]["finetune/images_per_s"] == pytest.approx(0.001)


def test_several_processes_train_what_one_trains(gloo: Pool) -> None:
    expected = in_float64(ALONE)
    assert expected["losses"][0] != expected["losses"][-1]
    for size in (2, 4):
        for found in gloo.run(in_float64, size, timeout=120):
            assert largest_difference(expected, found) < 1e-9


def test_the_rate_grows_falls_at_its_drops_and_follows_the_cosine() -> None:
    said: dict[str, Any] = {"kind": "finetune", "lr": 2.0, "data": None}
    drops = {"kind": "step", "drops": [2, 3], "factor": 0.5}
    warm = {"steps": 4, "factor": 0.25}
    by_epoch = TrainedTask.model_validate(
        {**said, "epochs": 4, "schedule": drops, "warmup": warm}, strict=False
    )
    found = [rate(by_epoch, step, 3) for step in range(12)]
    assert found == pytest.approx(
        [2 * r for r in (0.25, 0.4375, 0.625, 0.8125, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25)]
    )
    by_step = TrainedTask.model_validate({**said, "steps": 5, "schedule": drops}, strict=False)
    assert [rate(by_step, step, 3) for step in range(5)] == [2, 2, 1, 0.5, 0.5]
    cosine = TrainedTask.model_validate(
        {**said, "epochs": 2, "schedule": {"kind": "cosine"}}, strict=False
    )
    expected = [1 + math.cos(math.pi * step / 6) for step in range(6)]
    assert [rate(cosine, step, 3) for step in range(6)] == pytest.approx(expected)


def test_groups_rates_and_decays_are_those_of_a_plain_sgd() -> None:
    """The same steps by torch's SGD with one group for each parameter, and autograd's gradients."""
    loop, plain = training(ALONE), training(ALONE)
    model, head = plain.work.model, {"fc.weight", "fc.bias"}
    for p in model.parameters():
        p.grad = None
    norms = {
        f"{name}.{part}"
        for name, module in model.named_modules()
        if isinstance(module, GroupedBatchNorm2d)
        for part in ("weight", "bias")
    }
    assert len(norms) > 10
    sgd = torch.optim.SGD(
        [
            {
                "params": [torch.nn.Parameter(p.detach().clone())],
                "weight_decay": 0.0 if name in norms else TASK["weight_decay"],
                "factor": TASK["head_lr"] if name in head else 1.0,
            }
            for name, p in model.named_parameters()
        ],
        lr=0.0,
        momentum=0.9,
    )
    for step, batch in enumerate(loop.work.batches(0, loop.total)):
        loop.train(batch)
        loss = plain.work.loss(batch)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        for group, gradient in zip(sgd.param_groups, gradients, strict=True):
            group["lr"] = rate(plain.protocol, step, plain.per_epoch) * group["factor"]
            group["params"][0].grad = gradient
        sgd.step()
        with torch.no_grad():
            for p, group in zip(model.parameters(), sgd.param_groups, strict=True):
                p.copy_(group["params"][0])
    pairs = zip(loop.work.model.named_parameters(), model.parameters(), strict=True)
    for (name, p), q in pairs:
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-14, msg=name)


def test_precise_statistics_are_the_means_of_those_of_further_batches() -> None:
    loop = training(ALONE)
    for batch in loop.work.batches(0, loop.total):
        loop.train(batch)
    seen: dict[str, list[Tensor]] = {}
    names = {
        module: name
        for name, module in loop.work.model.named_modules()
        if isinstance(module, GroupedBatchNorm2d)
    }
    for module, name in names.items():
        module.register_forward_hook(
            lambda _, given, __, name=name: seen.setdefault(name, []).append(given[0].detach())
        )
    weights = [p.detach().clone() for p in loop.work.model.parameters()]
    loop.finish()
    for module, name in names.items():
        assert len(seen[name]) == TASK["precise_bn"]
        mean = torch.stack([x.mean((0, 2, 3)) for x in seen[name]]).mean(0)
        variance = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in seen[name]]).mean(0)
        torch.testing.assert_close(module.running_mean, mean, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(module.running_var, variance, rtol=1e-12, atol=1e-13)
    assert all(map(torch.equal, weights, loop.work.model.parameters()))
    seen_before = [each for batch in loop.work.batches(0, loop.total) for each in batch.views]
    further = [each for b in loop.work.batches(loop.total, loop.total + 3) for each in b.views]
    assert not any(torch.equal(one, other) for one in seen_before for other in further)


def test_trials_draw_other_numbers_and_begin_from_the_same_backbone() -> None:
    one, two = (training(ALONE, trial=trial) for trial in (0, 1))
    first = [next(iter(loop.work.batches(0, 1))).index for loop in (one, two)]
    assert not torch.equal(*first)
    states = [loop.work.model.state_dict() for loop in (one, two)]
    differing = {k for k, v in states[0].items() if not torch.equal(v, states[1][k])}
    assert differing == {"fc.weight"}


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    with pytest.raises(HarnessError, match="3 processes cannot share a batch of 16"):
        training(World(0, 3, torch.device("cpu")))


def test_a_run_leaves_each_step_once_and_reports_its_last_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, stops in (("whole", 0), ("resumed", 12)):
        seen = iter([50.0, 60.0, 40.0])
        monkeypatch.setattr(
            finetune.Finetuning, "evaluate", lambda _, seen=seen: {"finetune/top1": next(seen)}
        )
        recipe, runs = recipe_of(tmp_path), tmp_path / name
        run(recipe, runs, kinds=("pretrain",))
        looks = itertools.count(1)
        run(recipe, runs, kinds=KINDS, stopping=partial(one_of, looks, {stops}))
        folder = run(recipe, runs, kinds=KINDS)["finetune"]
        result = folder.result
        assert result is not None
        assert result["values"]["finetune/top1"] == 40.0
        assert result["step"] == STEPS
        assert len(folder.attempts()) == (2 if stops else 1)
        records = journal.read(folder)
        losses = journal.series(records, "finetune/loss")
        assert [step for step, _, _ in losses] == list(range(1, STEPS + 1))
        assert [step for step, _, _ in journal.series(records, "finetune/top1")] == [5, 10, 15]
        last = [loss for _, _, loss in losses[-5:]]
        assert result["values"]["finetune/loss"] == pytest.approx(sum(last) / 5)


def test_a_length_in_steps_ends_within_an_epoch(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "epochs: 3", "steps: 7")
    folder = run(recipe, tmp_path / "runs", kinds=KINDS)["finetune"]
    assert folder.result is not None
    assert folder.result["step"] == 7
    losses = journal.series(journal.read(folder), "finetune/loss")
    assert [step for step, _, _ in losses] == list(range(1, 8))


def test_a_length_within_the_first_epoch_is_a_sound_result(tmp_path: Path) -> None:
    """It is evaluated at every step, and the last evaluation is the result."""
    recipe = recipe_of(tmp_path, "epochs: 3, batch: 16", "steps: 4, batch: 16")
    folder = run(recipe, tmp_path / "runs", kinds=KINDS)["finetune"]
    values = [r["finetune/top1"] for r in journal.read(folder) if "finetune/top1" in r]
    assert len(values) == 4
    assert len(set(values)) > 1
    assert read_entry(folder).state == "finished"


@pytest.mark.parametrize(("length", "at"), [("steps: 4", [4]), ("epochs: 3", [15])])
def test_fewer_evaluations_change_no_bit_of_the_result(
    length: str, at: list[int], tmp_path: Path
) -> None:
    recipe = recipe_of(tmp_path, "epochs: 3", length)
    one, other = (
        run(recipe, tmp_path / name, sets, kinds=KINDS)["finetune"]
        for name, sets in (("all", ()), ("few", ("watch.evaluations=1",)))
    )
    assert one.id == other.id
    assert one.result is not None
    assert other.result is not None
    assert one.result["values"] == other.result["values"]
    assert same(final_state(one), final_state(other))
    steps = [step for step, _, _ in journal.series(journal.read(other), "finetune/top1")]
    assert steps == at


def test_stopping_and_going_on_changes_nothing(tmp_path: Path) -> None:
    recipe, parts = recipe_of(tmp_path), tmp_path / "parts"
    whole = run(recipe, tmp_path / "whole", kinds=KINDS)["finetune"]
    run(recipe, parts, kinds=("pretrain",))
    for every in (3, 4, 1, 4):
        looks = itertools.count(1)
        folder = run(
            recipe, parts, kinds=KINDS, stopping=partial(one_of, looks, range(every, STEPS))
        )["finetune"]
        assert folder.result is None
    assert checkpoint.listed(folder.checkpoints)[0][0] == 12
    again = run(recipe, parts, kinds=KINDS)["finetune"]
    assert len(again.attempts()) == 5
    assert_same(whole, again)


def test_killed_at_any_instant_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    recipe, runs = recipe_of(tmp_path, "epochs: 3", "epochs: 20"), tmp_path / "killed"
    whole = run(recipe, tmp_path / "whole", kinds=KINDS)["finetune"]
    run(recipe, runs, kinds=("pretrain",))
    draw = random.Random(0)
    path = runs / whole.id / "checkpoints"
    for _ in range(3):
        before = {step for step, _ in checkpoint.listed(path)}
        process = begin(recipe, runs, *KINDS)
        while process.is_alive() and {step for step, _ in checkpoint.listed(path)} <= before:
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.2))
        process.kill()
        process.join()
    killed = run(recipe, runs, kinds=KINDS)["finetune"]
    assert len(killed.attempts()) >= 3
    assert_same(whole, killed)


@pytest.mark.parametrize("what", ["loss", "statistic", "logits"])
def test_divergence_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    recipe = recipe_of(tmp_path)
    real_loss, real_logits = finetune.Finetuning.loss, finetune.Finetuning._logits
    real_train = TaskTraining.train

    def loss(self: finetune.Finetuning, batch: Batch) -> Tensor:
        found = real_loss(self, batch)
        return found * math.nan if what == "loss" else found

    def train(self: TaskTraining[Batch], batch: Batch) -> Tensor:
        found = real_train(self, batch)
        if what == "statistic":  # no output shows it: its channel becomes constant
            self.work.model.get_buffer("backbone.bn1.running_var")[0] = math.inf
        return found

    def logits(self: finetune.Finetuning, x: Tensor) -> Tensor:
        found = real_logits(self, x)
        return found * math.nan if what == "logits" and not self.model.training else found

    monkeypatch.setattr(finetune.Finetuning, "loss", loss)
    monkeypatch.setattr(finetune.Finetuning, "_logits", logits)
    monkeypatch.setattr(TaskTraining, "train", train)
    result = run(recipe, tmp_path / "runs", kinds=KINDS)["finetune"].result
    assert result is not None
    assert result["state"] == "diverged"
    assert result["step"] == (1 if what == "loss" else 5)
    assert "finetune/top1" not in result["values"]
