"""Runs from the command line to the report, and whatever can come between."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from cli.same import assert_same, weights
from cli.tiny import TINY
from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.store import journal
from harness.store.attempt import begin
from harness.store.layout import StageFolder, stage_folder

LONG = ["--set", "optim.epochs=8"]  # 32 steps: a second or two
LONGER = ["--set", "optim.epochs=25"]  # 100 steps: it still runs when a signal comes late


def stages(runs: str = "runs") -> dict[str, StageFolder]:
    """The run's folders by stage."""
    found = {}
    for path in Path(runs).glob("tiny-s0.*"):
        found[path.name.split(".")[-1].split("-")[0]] = StageFolder(path)
    return found


def steps(folder: StageFolder) -> list[int]:
    return [record["step"] for record in journal.read(folder) if "train/loss" in record]


def reaches(process: Any, after: int) -> None:
    """Wait until pre-training has journalled more than `after` steps."""

    def reached() -> bool:
        found = stages()
        return "pretrain" in found and max([0, *steps(found["pretrain"])]) > after

    process.wait_for(reached)


def mtimes() -> dict[Path, int]:
    return {
        path: path.stat().st_mtime_ns
        for folder in stages().values()
        for path in folder.path.rglob("*")
    }


def test_a_run_and_the_same_again(moco: Any, tiny: Path) -> None:
    said = moco("run", tiny)
    assert said.code == 0, said.all
    found = stages()
    assert {kind: (f.result or {})["state"] for kind, f in found.items()} == dict.fromkeys(
        ("pretrain", "knn", "linear"), "finished"
    )
    assert steps(found["pretrain"]) == list(range(1, 9))
    assert Path("runs/reports/tiny/report.html").exists()
    assert "report: runs/reports/tiny/report.html" in said.out
    before = mtimes()
    again = moco("run", tiny)
    assert again.code == 0
    assert again.idle
    assert "loading PyTorch" not in again.out
    assert mtimes() == before
    status = moco("status")
    assert "3 finished" in status.out
    assert "kNN " in status.out
    other = moco("plan", tiny, "--set", "seed=1")
    assert "as measured here" in other.out
    assert moco("report", tiny, "--out", "elsewhere").code == 0
    assert Path("elsewhere/report.md").exists()
    file = moco("report", tiny, "--out", "tiny.yaml")
    assert file.code == 4


def test_what_describes_the_run_changes_nothing(moco: Any, tiny: Path) -> None:
    assert moco("run", tiny).code == 0
    before = mtimes()
    tiny.write_text(TINY.replace("log_steps: 2", "log_steps: 3") + "about: {title: Other}\n")
    assert moco("run", tiny).idle
    assert mtimes() == before


def test_killed_it_ends_as_if_it_had_not_been(moco: Any, spawn: Any, tiny: Path) -> None:
    process = spawn("run", tiny, *LONGER)
    reaches(process, 5)
    process.kill()
    assert "resume" in moco("plan", tiny, *LONGER).out
    assert "interrupted" in moco("status").out
    said = moco("run", tiny, *LONGER)
    assert said.code == 0, said.all
    assert "resuming from" in said.out
    killed = stages()["pretrain"]
    assert steps(killed) == list(range(1, 101))
    assert len(killed.attempts()) == 2
    assert moco("run", tiny, *LONGER, "--runs", "whole").code == 0
    assert_same(killed, stages("whole")["pretrain"])


def test_asked_to_stop_it_goes_on_from_there(moco: Any, spawn: Any, tiny: Path) -> None:
    process = spawn("run", tiny, *LONGER)
    reaches(process, 3)
    process.signal(signal.SIGINT)
    ended = process.end()
    assert ended.code == 130, ended.out
    assert "the same command resumes" in ended.out
    assert "Traceback" not in ended.out
    folder = stages()["pretrain"]
    assert json.loads((folder.attempts()[-1] / "ended.json").read_text())["how"] == "interrupted"
    reached = steps(folder)[-1]
    said = moco("run", tiny, *LONGER)
    assert said.code == 0
    assert f"resuming from {reached}" in said.out, "no step is made twice"
    assert steps(folder) == list(range(1, 101))


def test_two_at_once_harm_nothing(moco: Any, spawn: Any, tiny: Path) -> None:
    pair = [spawn("run", tiny, *LONG) for _ in range(2)]
    ends = [process.end() for process in pair]
    for ended in ends:
        assert "Traceback" not in ended.out
        told = re.search(r"process \d+ on |another process", ended.out)
        assert ended.code == 0 or (ended.code == 1 and told), ended.out
    assert 0 in [ended.code for ended in ends]
    found = stages()
    assert steps(found["pretrain"]) == list(range(1, 33))
    assert all((folder.result or {})["state"] == "finished" for folder in found.values())
    assert all(len(folder.attempts()) == 1 for folder in found.values())
    assert moco("run", tiny, *LONG).code == 0


def test_a_run_that_is_held_is_left_alone(moco: Any, spawn: Any, tiny: Path) -> None:
    endless = ["--set", "optim.epochs=4000"]
    process = spawn("run", tiny, *endless)
    reaches(process, 1)
    said = moco("run", tiny, *endless)
    assert said.code == 1
    assert re.search(rf"process {process.pid} on ", said.out)
    assert "1 run, 3 stages: 0 to do, 3 run by another process" in said.out
    names = r"tiny-s0.pretrain-\w+, tiny-s0.knn-\w+, tiny-s0.linear-\w+"
    left = rf"3 stages run by another process: {names}; "
    assert re.search(left, said.out)
    assert moco("status").out.count("running") == 2, "a row, and the sum"
    process.kill()
    assert "running" not in moco("status").out, "never after its death"
    assert len(stages()["pretrain"].attempts()) == 1


def test_what_another_runs_is_not_waited_for_but_told(moco: Any, tiny: Path) -> None:
    Path("scale.yaml").write_text(
        f"ablation: momentum\nrecipe: {tiny}\ncells: [m0.9]\nseeds: [0, 1]\n"
        "metric: knn/top1\nmargin: 1\nset: {linear: null}\n"
    )
    made = make_plan(Path("scale.yaml"), [], Path("runs"))
    held = next(s for s in made.stages if s.member.cell == "m0.9" and s.member.seed == 0)
    folder = stage_folder(Path("runs"), held.id)
    folder.create(describe(held, "scale"))
    attempt = begin(folder)
    said = moco("run", "scale.yaml")
    assert said.code == 1
    assert f"process {os.getpid()} on " in said.out
    assert "2 stages run by another process: scale.m0.9-s0.pretrain-" in said.out
    again = make_plan(Path("scale.yaml"), [], Path("runs"))
    assert {(s.action, s.member.cell, s.member.seed) for s in again.stages} == {
        ("busy", "m0.9", 0),
        ("skip", "m0.9", 1),
        ("skip", "untrained", 0),
        ("skip", "untrained", 1),
    }
    attempt.end("interrupted")


@pytest.mark.parametrize("name", ["result.json", "stage.json"])
def test_a_damaged_folder_is_refused(moco: Any, tiny: Path, name: str) -> None:
    assert moco("run", tiny).code == 0
    path = stages()["pretrain"].path / name
    path.write_text("{")
    before = mtimes()
    said = moco("run", tiny)
    assert said.code == 4
    assert str(path) in said.err
    assert "move" in said.err
    assert mtimes() == before
    assert "damaged" in moco("status").out


def test_a_damaged_checkpoint_is_passed_over(moco: Any, tiny: Path) -> None:
    assert moco("run", tiny).code == 0
    whole = weights(stages()["pretrain"])
    folder = stages()["pretrain"]
    (folder.path / "result.json").unlink()
    newest = sorted(folder.checkpoints.glob("step-*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    said = moco("run", tiny)
    assert said.code == 0
    assert f"{newest}: damaged" in said.out
    assert "resuming from 6" in said.out
    again = weights(folder)
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert steps(folder) == list(range(1, 9))


def test_a_checkpoint_with_code_is_not_run(moco: Any, tiny: Path) -> None:
    import hashlib

    assert moco("run", tiny, "--set", "linear=null").code == 0
    folder = stages()["pretrain"]
    trap = b"cos\nmkdir\n(Vsprung\ntR."
    digest = hashlib.sha256(trap).hexdigest()[:12]
    (folder.checkpoints / f"step-00000009-{digest}.pt").write_bytes(trap)
    said = moco("run", tiny)
    assert said.code == 4
    assert "torch" in said.all
    assert not Path("sprung").exists()


def test_a_full_disk(moco: Any, tiny: Path, mount: Any) -> None:
    disk = mount("size=600k")
    said = moco("run", tiny, "--runs", disk / "runs")
    assert said.code == 4
    assert "the disk is full" in said.err
    mount("size=50m")
    again = moco("run", tiny, "--runs", disk / "runs")
    assert again.code == 0, again.all
    assert steps(stages(str(disk / "runs"))["pretrain"]) == list(range(1, 9))


def test_a_diverged_run_is_a_result(moco: Any, tiny: Path) -> None:
    said = moco("run", tiny, "--set", "optim.lr=1e30", "--set", "optim.epochs=6")
    assert said.code == 0, said.all
    folder = stages()["pretrain"]
    assert folder.result is not None
    assert folder.result["state"] == "diverged"
    assert set(stages()) == {"pretrain"}
    plan = moco("plan", tiny, "--set", "optim.lr=1e30", "--set", "optim.epochs=6")
    assert "0 to do" in plan.out
    assert "diverged" in plan.out


def test_a_diverged_probe_is_a_result_of_these_weights(moco: Any, tiny: Path) -> None:
    words = [tiny, "--set", "linear.lr=[1e38]", "--set", "linear.epochs=9"]
    assert moco("run", *words).code == 0
    assert (stages()["linear"].result or {})["state"] == "diverged"
    plan = moco("plan", *words)
    assert "0 to do, 3 done" in plan.out
    assert "stale" not in plan.out


def test_a_defect_in_one_stage_is_told_and_can_be_tried_again(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(_: object) -> None:
        raise ZeroDivisionError("seven [by] zero")

    from harness.stage import knn

    with monkeypatch.context() as patch:
        patch.setattr(knn, "run", defect)
        said = moco("run", tiny)
    assert said.code == 1
    assert "seven [by] zero" in said.out
    assert list(stages()["knn"].path.glob("attempts/0001/traceback.txt"))
    assert (stages()["linear"].result or {})["state"] == "finished"
    assert "retry" in moco("plan", tiny).out
    assert moco("run", tiny).code == 0


def test_what_another_has_finished_meanwhile_is_not_made_again(moco: Any, tiny: Path) -> None:
    from harness.launch.here.stages import run_here
    from harness.site import load_site
    from harness.stage.reporter import Silent

    runs = Path("runs")
    made = make_plan(tiny, [], runs)
    assert moco("run", tiny).code == 0
    before = mtimes()
    tally = run_here(made, load_site(runs=runs, device="cpu"), Silent(), lambda: False)
    assert (tally.failed, tally.elsewhere, tally.interrupted) == ([], {}, False)
    assert mtimes() == before


def test_asked_to_stop_between_stages(tiny: Path) -> None:
    from harness.launch.here.stages import run_here
    from harness.site import load_site
    from harness.stage.reporter import Silent

    runs = Path("runs")
    site = load_site(runs=runs, device="cpu")
    tally = run_here(make_plan(tiny, [], runs), site, Silent(), lambda: True)
    assert tally.interrupted
    assert stages() == {}


def test_files_of_the_working_folder_are_nobodys_library(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By two processes and a follower, none of which is to import them."""
    for name in ("queue", "random", "json", "torch", "numpy", "wandb"):
        Path(f"{name}.py").write_text("raise SystemExit(77)\n")
    monkeypatch.setenv("WANDB_MODE", "Offline")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", ":")
    words = ["--set", "optim.epochs=1", "--set", "linear=null"]
    said = moco("run", tiny, "--processes", 2, "--device", "cpu", *words)
    assert said.code == 0, said.all
    logs = list(Path("runs/.wandb-follow").iterdir())
    until = time.monotonic() + 100
    while not all("ended" in log.read_text() for log in logs):
        assert time.monotonic() < until, [log.read_text() for log in logs]
        time.sleep(0.1)
    texts = "".join(log.read_text() for log in logs)
    assert "complete" in texts
    assert "No module" not in texts
    assert len(list(Path("runs").glob("wandb/offline-run-*-tiny-s0*"))) == 2, texts
    assert list(Path("runs").glob("wandb/offline-run-*-report-tiny*")), texts


def test_what_is_no_mode_of_wandbs_is_told_before_anything_runs(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "ofline")
    for on in ("here", "local"):
        said = moco("run", tiny, "--on", on, "--device", "cpu")
        assert said.code == 2
        assert "WANDB_MODE: ofline" in said.err
    assert not Path("runs").exists()
