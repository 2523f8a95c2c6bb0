"""Two processes that are killed, together or one of them, end with the bits of two that are not."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.store import journal
from harness.store.layout import StageFolder

from .test_detection import boxed
from .test_trainable import recipe_of as with_finetuning
from .tiny import final_state, run, same, write

ENVIRONMENT = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}


def start(recipe: Path, runs: Path, *sets: str, processes: int = 2) -> subprocess.Popen[str]:
    words = ["run", str(recipe), "--runs", str(runs), "--processes", str(processes)]
    words += [word for each in sets for word in ("--set", each)]
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *words],
        env=ENVIRONMENT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stage(runs: Path, kind: str) -> StageFolder:
    (found,) = runs.glob(f"tiny-s0.{kind}-*")
    return StageFolder(found)


def wait_for_steps(runs: Path, process: subprocess.Popen[str], kind: str, attempt: int) -> None:
    """Until the attempt has written something, or the process has ended."""
    pattern = f"tiny-s0.{kind}-*/attempts/{attempt:04d}/metrics.jsonl"
    while process.poll() is None and not any(p.stat().st_size for p in runs.glob(pattern)):
        time.sleep(0.02)


def kill_rank_1(process: subprocess.Popen[str]) -> None:
    """Kill it, if the two have not ended."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                words = (folder / "cmdline").read_text()
            except OSError:
                continue
            if parent == str(process.pid) and "harness.launch.rank" in words:
                os.kill(int(folder.name), signal.SIGKILL)


@pytest.mark.parametrize(
    ("kind", "metric", "steps"),
    [
        ("pretrain", "train/loss", range(1, 101)),
        ("linear", "linear/loss", range(3, 181, 3)),
        ("ft", "finetune/loss", range(1, 101)),
    ],
)
def test_killed_and_resumed_it_ends_with_the_same_bits(
    tmp_path: Path, kind: str, metric: str, steps: range
) -> None:
    old, new = ("epochs: 3", "epochs: 20") if kind == "pretrain" else ("epochs: 4", "epochs: 60")
    if kind == "ft":
        recipe = with_finetuning(tmp_path, "epochs: 3", "epochs: 20")
    else:
        recipe = write(tmp_path, old=old, new=new)
    whole, runs = tmp_path / "whole", tmp_path / "killed"
    extra: tuple[str, ...] = ("linear=null",)
    if kind != "pretrain":
        run(recipe, whole, kinds=("pretrain", "knn"))
        shutil.copytree(whole, runs)
        extra = ()
    undisturbed = start(recipe, whole, *extra)
    said, _ = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, said
    draw = random.Random(1)

    process = start(recipe, runs, *extra)
    wait_for_steps(runs, process, kind, 1)
    time.sleep(draw.uniform(0, 0.3))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    shutil.copytree(runs, tmp_path / "once killed")
    for _ in range(5):
        process = start(recipe, runs, *extra)
        wait_for_steps(runs, process, kind, 2)
        kill_rank_1(process)
        said, _ = process.communicate(timeout=60)
        if stage(runs, kind).result is None:
            break
        shutil.rmtree(runs)  # the stage was over before the signal came
        shutil.copytree(tmp_path / "once killed", runs)
    assert process.returncode == 1, said
    assert "rank 1 died" in said, said
    assert "Traceback" not in said, said

    last = start(recipe, runs, *extra)
    said, _ = last.communicate(timeout=300)
    assert last.returncode == 0, said
    one, other = stage(whole, kind), stage(runs, kind)
    assert len(other.attempts()) == 3
    assert same(final_state(one), final_state(other))
    losses = [journal.series(journal.read(folder), metric) for folder in (one, other)]
    assert losses[0] == losses[1]
    assert [step for step, _, _ in losses[0]] == list(steps)


def test_a_killed_detection_ends_with_the_same_bits(tmp_path: Path) -> None:
    recipe = boxed(tmp_path, ("steps: 6", "steps: 12"))
    whole, runs = tmp_path / "whole", tmp_path / "killed"
    run(recipe, whole, kinds=("pretrain", "knn"))
    shutil.copytree(whole, runs)
    undisturbed = start(recipe, whole)
    said, _ = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, said
    process = start(recipe, runs)
    wait_for_steps(runs, process, "det", 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert stage(runs, "det").result is None
    last = start(recipe, runs)
    said, _ = last.communicate(timeout=300)
    assert last.returncode == 0, said
    one, other = stage(whole, "det"), stage(runs, "det")
    assert len(other.attempts()) == 2
    assert same(final_state(one), final_state(other))
    losses = [journal.series(journal.read(each), "detection/loss") for each in (one, other)]
    assert losses[0] == losses[1]
    assert [step for step, _, _ in losses[0]] == list(range(1, 13))


def test_processes_that_do_not_hold_whole_groups_are_refused(tmp_path: Path) -> None:
    process = start(write(tmp_path), tmp_path / "runs", "linear=null", processes=3)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "3 processes cannot share a batch of 16 in whole batch-norm groups of 8" in said
    assert "use 1, 2 processes" in said
    assert "Traceback" not in said
    assert stage(tmp_path / "runs", "pretrain").result is None
