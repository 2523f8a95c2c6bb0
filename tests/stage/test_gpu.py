"""The stages on CUDA devices, held against the CPU and against themselves."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness.certify.trajectory import largest_difference, train, training
from harness.runtime.process_setup import make_deterministic
from harness.runtime.world import World
from harness.store import journal
from harness.store.layout import StageFolder

from . import trajectory
from .tiny import TEXT, final_state, run, same, write

pytestmark = pytest.mark.gpu

CONTRASTS = {
    "moco": "{kind: moco, queue: 50, momentum: 0.9, temperature: 0.2}",
    "end_to_end": "{kind: end_to_end, temperature: 0.2}",
    "memory_bank": "{kind: memory_bank, negatives: 20, temperature: 0.2}",
}


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    make_deterministic()
    yield
    torch.use_deterministic_algorithms(before)


def worlds() -> tuple[World, World]:
    return World.alone(torch.device("cpu")), World.alone(torch.device("cuda"))


@pytest.mark.parametrize("contrast", trajectory.CONTRASTS)
def test_steps_in_float64_are_the_cpus(contrast: str) -> None:
    cpu, gpu = (trajectory.in_float64(world, contrast, 2, "first_group") for world in worlds())
    assert largest_difference(cpu, gpu) < 1e-8


@pytest.mark.parametrize("contrast", trajectory.CONTRASTS)
def test_four_steps_in_float32_are_the_cpus(contrast: str) -> None:
    """TF32, with its 10 bits, would miss the first loss by more than this."""
    cpu, gpu = (losses_of(trajectory.in_float32(world, contrast)) for world in worlds())
    assert gpu[0] == pytest.approx(cpu[0], abs=1e-5)
    assert gpu == pytest.approx(cpu, abs=1e-3)


@pytest.mark.parametrize(("precision", "first"), [("bf16", 0.02), ("fp16", 0.002)])
@pytest.mark.parametrize("contrast", CONTRASTS)
def test_half_precision_is_near(contrast: str, precision: str, first: float) -> None:
    _, gpu = worlds()
    full, half = (
        losses_of(train(gpu, trajectory.recipe(contrast, steps=4, precision=each), torch.float32))
        for each in ("fp32", precision)
    )
    assert half[0] == pytest.approx(full[0], abs=first)
    assert half == pytest.approx(full, abs=0.1)


@pytest.mark.parametrize("contrast", trajectory.CONTRASTS)
def test_a_step_waits_for_nothing(contrast: str) -> None:
    """Neither a copy nor a question makes the host wait for the GPU."""
    _, gpu = worlds()
    loop = training(gpu, trajectory.recipe(contrast, steps=8))
    batches = loop.loader.batches(0, loop.total)
    loop.train(next(batches))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches:
            loop.train(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def losses_of(found: dict[str, torch.Tensor]) -> list[float]:
    return found["losses"].tolist()


def losses(folder: StageFolder) -> list[float]:
    return [loss for _, _, loss in journal.series(journal.read(folder), "train/loss")]


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_stopping_and_going_on_changes_no_bit(
    tmp_path: Path, contrast: str, precision: str
) -> None:
    recipe = write(tmp_path, old="name: tiny", new=f"name: tiny\nprecision: {precision}")
    recipe.write_text(recipe.read_text().replace(CONTRASTS["moco"], CONTRASTS[contrast]))
    whole = run(recipe, tmp_path / "whole", device="cuda")
    for _ in range(7):
        asked = itertools.count(1)
        stopping = lambda asked=asked: next(asked) >= 5  # noqa: E731
        parts = run(recipe, tmp_path / "parts", device="cuda", stopping=stopping)
    parts = run(recipe, tmp_path / "parts", device="cuda")
    for kind in ("pretrain", "linear"):
        assert len(parts[kind].attempts()) > 1
        assert same(final_state(whole[kind]), final_state(parts[kind])), kind
    assert all(map(math.isfinite, losses(whole["pretrain"])))
    assert losses(whole["pretrain"]) == losses(parts["pretrain"])


def test_all_gpus_together_are_one(tmp_path: Path) -> None:
    """One process a GPU, over NCCL, from the command line."""
    count = 1 << (min(8, torch.cuda.device_count()).bit_length() - 1)  # of 8 groups
    if count == 1:
        pytest.skip("one GPU: NCCL wants one for each process")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TEXT.replace("bn_group: 8", "bn_group: 2, running_stats: mean"))
    alone = run(recipe, tmp_path / "alone", device="cuda")
    words = ["run", str(recipe), "--runs", str(tmp_path / "all"), "--processes", str(count)]
    said = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words, "--device", "cuda"],
        env={**os.environ, "WANDB_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    every = run(recipe, tmp_path / "all", kinds=(), device="cuda")
    assert losses(every["pretrain"]) == pytest.approx(losses(alone["pretrain"]), abs=5e-3)
    for kind in every:
        result = every[kind].result
        assert result is not None
        assert result["processes"] == count
