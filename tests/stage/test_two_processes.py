"""Two processes that are killed, together or one of them, end with the bits of two that are not."""

import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from cli.tiny import Process
from faults.attempts import RunningAttempt

from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.store import journal
from harness.store.layout import StageFolder, stage_folder

from .test_detection import boxed
from .test_trainable import recipe_of as with_finetuning
from .tiny import final_state, run, same, write


def start(recipe: Path, runs: Path, *sets: str, processes: int = 2) -> Process:
    """The command; what it prints is beside the run root."""
    words = ["run", str(recipe), "--runs", str(runs), "--processes", str(processes)]
    words += [word for each in sets for word in ("--set", each)]
    return Process(words, runs.with_suffix(".txt"))


def stage(runs: Path, kind: str) -> StageFolder:
    (found,) = runs.glob(f"tiny-s0.{kind}-*")
    return StageFolder(found)


def made(recipe: Path, runs: Path, kind: str) -> StageFolder:
    """The folder of the recipe's stage of the kind, to be run."""
    (stage,) = (each for each in make_plan(recipe, (), runs).stages if each.kind == kind)
    folder = stage_folder(runs, stage.id)
    folder.create(describe(stage, "tiny"))
    return folder


def has_begun(folder: StageFolder, attempt: int) -> bool:
    """Whether the attempt has recorded something."""
    metrics = folder.path / f"attempts/{attempt:04d}/metrics.jsonl"
    return metrics.exists() and metrics.stat().st_size > 0


def kill_rank_1(command: int) -> None:
    """Kill the second process of the command."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                words = (folder / "cmdline").read_text()
            except OSError:
                continue
            if parent == str(command) and "harness.launch.rank" in words:
                os.kill(int(folder.name), signal.SIGKILL)


def assert_same(one: StageFolder, other: StageFolder, metric: str, steps: range) -> None:
    assert same(final_state(one), final_state(other))
    losses = [journal.series(journal.read(folder), metric) for folder in (one, other)]
    assert losses[0] == losses[1]
    assert [step for step, _, _ in losses[0]] == list(steps)


@pytest.mark.parametrize(
    ("kind", "metric", "steps"),
    [
        ("pretrain", "train/loss", range(1, 101)),
        ("linear", "linear/loss", range(3, 181, 3)),
        ("finetune", "finetune/loss", range(1, 101)),
    ],
)
def test_killed_and_resumed_it_ends_with_the_same_bits(
    tmp_path: Path, kind: str, metric: str, steps: range
) -> None:
    old, new = ("epochs: 3", "epochs: 20") if kind == "pretrain" else ("epochs: 4", "epochs: 60")
    if kind == "finetune":
        recipe = with_finetuning(tmp_path, "epochs: 3", "epochs: 20")
    else:
        recipe = write(tmp_path, old=old, new=new)
    whole, runs = tmp_path / "whole", tmp_path / "killed"
    if kind != "pretrain":
        run(recipe, whole, kinds=("pretrain", "knn"))
        shutil.copytree(whole, runs)
    undisturbed = RunningAttempt(made(recipe, whole, kind), processes=2)
    folder = made(recipe, runs, kind)

    first = RunningAttempt(folder, processes=2)
    assert first.until(partial(has_begun, folder, 1)), first.said
    time.sleep(random.Random(1).uniform(0, 0.3))
    assert first.kill()
    first.end()
    second = RunningAttempt(folder, processes=2)
    assert second.until(partial(has_begun, folder, 2)), second.said
    assert second.kill(1)
    codes = second.end()
    assert codes == [1, -signal.SIGKILL], second.said
    assert folder.result is None, "it was over before"
    assert second.tells("rank 1 died"), second.said
    assert "Traceback" not in second.said

    last = RunningAttempt(folder, processes=2)
    assert last.end() == [0, 0], last.said
    assert len(folder.attempts()) == 3
    assert undisturbed.end() == [0, 0], undisturbed.said
    assert_same(made(recipe, whole, kind), folder, metric, steps)


def test_the_command_names_the_process_that_died(tmp_path: Path) -> None:
    """And the same command goes on."""
    recipe, runs = write(tmp_path, old="epochs: 3", new="epochs: 20"), tmp_path / "runs"
    process = start(recipe, runs, "linear=null")
    process.wait_for(lambda: any(has_begun(StageFolder(p), 1) for p in runs.glob("*.pretrain-*")))
    kill_rank_1(process.pid)
    ended = process.end()
    folder = stage(runs, "pretrain")
    assert folder.result is None, "it was over before"
    assert ended.code == 1, ended.out
    assert "rank 1 died" in ended.out
    assert "Traceback" not in ended.out
    again = start(recipe, runs, "linear=null", processes=1).end()
    assert again.code == 0, again.out
    steps = [step for step, _, _ in journal.series(journal.read(folder), "train/loss")]
    assert steps == list(range(1, 101))


def test_a_killed_detection_ends_with_the_same_bits(tmp_path: Path) -> None:
    recipe = boxed(tmp_path, ("steps: 6", "steps: 12"))
    whole, runs = tmp_path / "whole", tmp_path / "killed"
    run(recipe, whole, kinds=("pretrain",))
    shutil.copytree(whole, runs)
    undisturbed = RunningAttempt(made(recipe, whole, "detection"), processes=2)
    folder = made(recipe, runs, "detection")
    first = RunningAttempt(folder, processes=2)
    assert first.until(partial(has_begun, folder, 1)), first.said
    assert first.kill()
    first.end()
    assert folder.result is None, "it was over before"
    last = RunningAttempt(folder, processes=2)
    assert last.end() == [0, 0], last.said
    assert len(folder.attempts()) == 2
    assert undisturbed.end() == [0, 0], undisturbed.said
    assert_same(made(recipe, whole, "detection"), folder, "detection/loss", range(1, 13))


def test_processes_that_do_not_hold_whole_groups_are_refused(tmp_path: Path) -> None:
    folder = made(write(tmp_path), tmp_path / "runs", "pretrain")
    attempt = RunningAttempt(folder, processes=3)
    assert attempt.end() == [1, 1, 1], attempt.said
    why = "3 processes cannot share a batch of 16 in whole batch-norm groups of 8"
    assert attempt.tells(why), attempt.said
    assert attempt.tells("use 1, 2 processes"), attempt.said
    assert "Traceback" not in attempt.said
    assert folder.result is None
