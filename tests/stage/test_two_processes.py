"""Two processes that are killed, together or one of them, end with the bits of two that are not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness.store import journal
from harness.store.layout import StageFolder

from .tiny import final_state, same, write

ENVIRONMENT = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}


def start(recipe: Path, runs: Path) -> subprocess.Popen[str]:
    words = ["run", str(recipe), "--runs", str(runs), "--processes", "2", "--set", "linear=null"]
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *words],
        env=ENVIRONMENT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def pretraining(runs: Path) -> StageFolder:
    (found,) = runs.glob("tiny-s0.pretrain-*")
    return StageFolder(found)


def wait_for_steps(runs: Path, process: subprocess.Popen[str], attempt: int) -> None:
    """Until the attempt has written something, or the process has ended."""
    pattern = f"tiny-s0.pretrain-*/attempts/{attempt:04d}/metrics.jsonl"
    while process.poll() is None and not any(p.stat().st_size for p in runs.glob(pattern)):
        time.sleep(0.02)


def the_other(process: subprocess.Popen[str]) -> int:
    """The process number of rank 1."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                words = (folder / "cmdline").read_text()
            except OSError:
                continue
            if parent == str(process.pid) and "harness.launch.worker" in words:
                return int(folder.name)
    raise AssertionError("rank 1 does not run")


def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    recipe = write(tmp_path, old="epochs: 3", new="epochs: 40")
    whole, runs = tmp_path / "whole", tmp_path / "killed"
    undisturbed = start(recipe, whole)
    said, _ = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, said
    draw = random.Random(1)

    process = start(recipe, runs)
    wait_for_steps(runs, process, 1)
    time.sleep(draw.uniform(0, 0.3))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    process = start(recipe, runs)
    wait_for_steps(runs, process, 2)
    os.kill(the_other(process), signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "rank 1" in said
    assert "Traceback" not in said

    last = start(recipe, runs)
    said, _ = last.communicate(timeout=300)
    assert last.returncode == 0, said
    one, other = pretraining(whole), pretraining(runs)
    assert len(other.attempts()) == 3
    assert same(final_state(one), final_state(other))
    losses = [journal.series(journal.read(folder), "train/loss") for folder in (one, other)]
    assert losses[0] == losses[1]
    assert [step for step, _, _ in losses[0]] == list(range(1, 201))
