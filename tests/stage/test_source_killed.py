"""A run that continues another, killed while it trains, ends with the bits of one that is not."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from harness.store import journal
from harness.store.layout import StageFolder

from .test_two_processes import start
from .tiny import TEXT, final_state, run, same, write

EPOCHS = ("optim.epochs=14", "linear=null")


def continued(runs: Path, source: StageFolder) -> list[StageFolder]:
    """The stages that continue it, as far as they have begun."""
    found = runs.glob("longer-s0.pretrain-*")
    return [StageFolder(path) for path in found if path.name != source.id]


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_resumed(tmp_path: Path, processes: int) -> None:
    runs, whole = tmp_path / "runs", tmp_path / "whole"
    source = run(write(tmp_path), runs, kinds=("pretrain",))["pretrain"]
    shutil.copytree(runs, whole)
    recipe = tmp_path / "longer.yaml"
    text = TEXT.replace("name: tiny", "name: longer") + f"continue_from: {source.id}\n"
    recipe.write_text(text)
    undisturbed = start(recipe, whole, *EPOCHS, processes=processes)
    said, _ = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, said

    killed = start(recipe, runs, *EPOCHS, processes=processes)
    until = time.monotonic() + 240
    while killed.poll() is None and time.monotonic() < until:
        if any(any(f.checkpoints.glob("step-*.pt")) for f in continued(runs, source)):
            break
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL, "it was killed while it trained"
    again = start(recipe, runs, *EPOCHS, processes=processes)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said

    (one,), (other,) = continued(runs, source), continued(whole, source)
    assert len(one.attempts()) == 2
    assert same(final_state(one), final_state(other))
    assert one.result is not None
    assert other.result is not None
    assert one.result["continues"] == other.result["continues"]
    steps = [r["step"] for r in journal.read(one) if "train/loss" in r]
    assert steps == list(range(16, 71))
