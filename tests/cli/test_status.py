"""`status` as a user meets it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from launch.world import World, accounted, listed
from pytest_regressions.file_regression import FileRegressionFixture
from rich.console import Console

from harness.cli import show
from harness.store import atomic
from harness.store.layout import StageFolder


def records(last: int) -> list[dict[str, Any]]:
    """Pre-training's journal: two steps a second, four an epoch."""
    found: list[dict[str, Any]] = [
        {"step": n, "epoch": n / 4, "t": n / 2, "train/loss": 3.5, "train/images_per_s": 1234.0}
        for n in range(1, last + 1)
    ]
    return [*found, {"step": last, "epoch": last / 4, "t": last / 2, "knn/top1": 41.25}]


@pytest.fixture
def all_states(world: World) -> World:
    """A stage in every state."""
    stages = {n: world.stage(run=f"tiny.m0.99-s{n}") for n in range(8)}
    probe = world.stage("linear", run="tiny.m0.99-s0", parent=stages[0].id)
    child = world.stage("knn", run="tiny.m0.99-s4", parent=stages[4].id)
    world.result(stages[0], **{"train/loss": 3.21, "knn/top1": 51.5})
    world.attempt(stages[1], job="12_1", records=records(22))
    world.attempt(stages[3], job="12_3", how="interrupted", records=records(9), silent_s=500)
    message = "cifar10 is incomplete in /data (no network [errno -2]); put its files there"
    world.attempt(stages[4], job="12_4", how="failed", message=message, silent_s=500)
    (stages[6].path / "result.json").write_text("{")
    world.attempt(
        probe,
        job="12_8",
        records=[
            {"step": 9 * n, "epoch": n, "t": 3.0 * n, "linear/loss": 1.5, "linear/top1": 33.0}
            for n in range(1, 21)
        ],
    )
    made = world.submit(*stages.values(), probe, child)
    world.says(
        "squeue",
        listed(made, "12_1", "RUNNING", node="n7")
        + listed(made, "12_2", "PENDING", "Resources")
        + listed(made, "12_3", "PENDING", "BeginTime")
        + listed(made, "12_8", "RUNNING", node="n8"),
    )
    world.says(
        "sacct",
        accounted(made, "12_4", "FAILED", "3:0")
        + accounted(made, "12_5", "OUT_OF_MEMORY", "0:125")
        + accounted(made, "12_9", "CANCELLED"),
    )
    return world


Terminal = Callable[[int], None]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """terminal(80): the output is a terminal of so many columns, without colours."""

    def put(width: int) -> None:
        console = Console(
            highlight=False, force_terminal=True, width=width, height=30, color_system=None
        )
        monkeypatch.setattr(show, "console", console)

    return put


@pytest.mark.usefixtures("all_states")
def test_in_a_pipe(moco: Any, file_regression: FileRegressionFixture) -> None:
    said = moco("status")
    assert said.code == 0
    file_regression.check(said.out)


@pytest.mark.usefixtures("all_states")
@pytest.mark.parametrize("width", [60, 80, 160])
def test_on_a_terminal(
    moco: Any, terminal: Terminal, width: int, file_regression: FileRegressionFixture
) -> None:
    terminal(width)
    said = moco("status")
    assert said.code == 0
    file_regression.check("\n".join(line.rstrip() for line in said.out.splitlines()) + "\n")


@pytest.mark.parametrize(
    ("word", "state"),
    [("RUNNING", "running"), ("SUSPENDED", "suspended"), ("COMPLETING", "ending")],
)
def test_only_what_runs_has_a_speed(moco: Any, world: World, word: str, state: str) -> None:
    folder = world.stage()
    world.attempt(folder, job="12", records=records(22))
    made = world.submit(folder)
    world.says("squeue", listed(made, "12", word, node="n7"))
    said = moco("status").out
    assert f"1 {state}" in said
    assert ("images/s" in said, " left" in said) == ((state == "running"),) * 2
    assert "22/80" in said, "how far it is, stays"


@pytest.mark.parametrize("terminal_of", [None, 100])
def test_a_collapse_is_told_while_it_runs_and_afterwards(
    moco: Any, world: World, terminal: Terminal, terminal_of: int | None
) -> None:
    done, running, healthy = (world.stage(run=f"tiny.m0.99-s{n}") for n in range(3))
    world.result(done, **{"train/loss": 3.2, "health/collapsed": 4.0})
    world.result(healthy, **{"train/loss": 3.2, "health/collapsed": 0.0})
    told = [*records(22), {"step": 22, "epoch": 5.5, "t": 11, "health/collapsed": 2.5}]
    world.attempt(running, job="12", records=told)
    world.says("squeue", listed(world.submit(running), "12", "RUNNING", node="n7"))
    if terminal_of:
        terminal(terminal_of)
    said = moco("status").out
    assert f"{done.id}: collapsed since epoch 4" in said
    (line,) = [line for line in said.splitlines() if "collapsed since epoch 2.5" in line]
    assert running.id in line
    assert said.count("collapsed") == (2 if terminal_of else 3)


def test_who_must_be_released_is_told(moco: Any, world: World) -> None:
    folder = world.stage()
    made = world.submit(folder)
    world.says("squeue", listed(made, "12", "PENDING", "JobHeldUser"))
    said = moco("status").out
    assert "1 held" in said
    assert "scontrol release 12" in said


def test_nothing_is_cut_in_a_pipe(moco: Any, world: World, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = world.stage(run="a-name-" + "x" * 90 + "-s0")
    world.attempt(folder, how="failed", message="y" * 120 + "; and z")
    said = moco("status")
    (line,) = [line for line in said.out.splitlines() if line.startswith(folder.id)]
    assert "y" * 120 in line
    assert line.endswith(f"more: moco-harness logs {folder.id}")
    assert "and z" not in said.out


def test_many_are_summed_up(moco: Any, world: World) -> None:
    for n in range(show.ROWS + 1):
        world.result(world.stage(run=f"tiny-s{n}"))
    assert moco("status").out == f"tiny: {show.ROWS + 1} finished\n"
    assert len(moco("status", "--all").out.splitlines()) == show.ROWS + 3


def test_accuracies_are_told_by_ablation_and_cell(moco: Any, world: World) -> None:
    for n in range(show.ROWS):
        run = f"tiny.m{n % 2}-s{n // 2}"
        folder = world.stage("knn", run=run, parent=world.stage(run=run).id)
        path = folder.path / "stage.json"
        told = json.loads(path.read_text()) | {"group": "tiny", "cell": f"m{n % 2}"}
        path.write_text(json.dumps(told))
        world.result(folder, **{"knn/top1": 40.0 + 10 * (n % 2) + n // 20})
    said = moco("status").out.splitlines()
    cells = [line.split() for line in said if line.startswith("  m")]
    assert [(line[0], *line[-5:]) for line in cells] == [
        ("m0", "20", "runs,", "40.0", "to", "41.0"),
        ("m1", "20", "runs,", "50.0", "to", "51.0"),
    ]
    assert "40.5" in " ".join(cells[0])
    assert said.index(next(each for each in said if each.startswith("tiny: "))) < said.index(
        next(each for each in said if each.startswith("  m0"))
    )


@pytest.mark.parametrize(
    ("metric", "leads"),
    [("knn/top1", ["m0 kNN 41", "m1 kNN 51"]), ("", ["m0 linear 60", "m1 linear 61"])],
)
def test_an_ablation_leads_with_its_own_metric(
    moco: Any, world: World, metric: str, leads: list[str]
) -> None:
    for n in range(2):
        run = f"tiny.m{n}-s0"
        above = world.stage(run=run)
        for kind, value in (("linear", 60.0 + n), ("knn", 41.0 + 10 * n)):
            folder = world.stage(kind, run=run, parent=above.id)
            path = folder.path / "stage.json"
            more = {"group": "tiny", "cell": f"m{n}"} | ({"metric": metric} if metric else {})
            path.write_text(json.dumps(more | json.loads(path.read_text()) | more))
            world.result(folder, **{f"{kind}/top1": value})
        world.result(above, **{"train/loss": 3.0})
    said = [" ".join(line.split()) for line in moco("status").out.splitlines()]
    cells = [line for line in said if line.startswith(("m0 ", "m1 "))]
    assert [line.partition(".")[0] for line in cells] == leads


@pytest.mark.parametrize("width", [50, 80])
def test_no_two_rows_look_alike(moco: Any, world: World, terminal: Terminal, width: int) -> None:
    for n, cell in enumerate(("m0.9", "m0.99", "m0.999")):
        world.attempt(
            world.stage(run=f"ablation_of_momentum_at_a_small_scale.{cell}-s0"),
            how="failed",
            message="x",
        )
        folder = world.root / f"the_same_name-s0.pretrain-{n}123456789"
        StageFolder(folder).create({"id": folder.name, "kind": "pretrain", "name": "x"})
    terminal(width)
    lines = moco("status").out.splitlines()
    rows = lines[1:7]
    assert len(set(rows)) == 6
    assert all(len(row) <= width for row in lines[:7])
    assert all(any(word in row for row in rows) for word in ("failed", "absent"))


def test_what_must_be_fixed_is_not_simply_run_again(moco: Any, world: World) -> None:
    folder = world.stage()
    attempt = world.attempt(folder, how="failed", message="no such folder; name another")
    command = ["moco-harness", "run", "tiny.yaml"]
    atomic.write_json(attempt / "attempt.json", {"command": command, "folder": str(Path.cwd())})
    said = moco("status").out
    assert re.search(r"^fix .*: moco-harness run tiny.yaml$", said, re.MULTILINE)
    (attempt / "traceback.txt").write_text("Traceback")
    assert "\nrun again: moco-harness run tiny.yaml\n" in moco("status").out


@pytest.mark.parametrize("width", [0, 80])
def test_markup_in_files_is_text(moco: Any, world: World, terminal: Terminal, width: int) -> None:
    if width:
        terminal(width)
    folder = world.stage()
    path = folder.path / "stage.json"
    path.write_text(path.read_text().replace('"group": "tiny"', '"group": "[red]x[/]"'))
    world.attempt(folder, how="failed", message="[/bold] seven [link=x]by[/link]")
    said = moco("status")
    assert said.code == 0
    assert "[/bold] seven [link=x]by[/link]" in said.out
    assert "[red]x[/]: 1 failed" in said.out
    assert "[/bold] seven" in moco("logs", folder.id).out


def test_who_does_not_answer(moco: Any, world: World) -> None:
    world.submit(world.stage())
    world.says("squeue", code=1, err="Unable to contact slurm controller (connect failure)")
    said = moco("status")
    assert said.code == 0
    assert "unknown" in said.out
    assert re.search(r"note: .*\(Unable to contact", said.out)


def test_watching(moco: Any, all_states: World, terminal: Terminal, monkeypatch: Any) -> None:
    terminal(100)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    clock = SimpleNamespace(sleep=sleep, strftime=time.strftime)
    monkeypatch.setattr("harness.cli.status.time", clock)
    said = moco("status", "--watch")
    assert (said.code, len(looks)) == (0, 3)
    assert "tiny.m0.99-s1" in said.out
    assert len(all_states.called("squeue")) == 3
    assert len(all_states.called("sacct")) == 3, "job 12_7 is known to nobody: asked each time"


@pytest.mark.usefixtures("world")
def test_watching_needs_a_terminal(moco: Any, terminal: Terminal, monkeypatch: Any) -> None:
    said = moco("status", "--watch")
    assert said.code == 1
    assert "needs a terminal" in said.err
    terminal(80)

    def leave(_: float) -> None:
        raise KeyboardInterrupt

    clock = SimpleNamespace(sleep=leave, strftime=time.strftime)
    monkeypatch.setattr("harness.cli.status.time", clock)
    assert "no runs yet" in moco("status", "--watch").out


@pytest.mark.parametrize("words", [("status",), ("logs", "x"), ("cancel", "x")])
def test_a_run_root_that_is_a_file(moco: Any, place: Path, words: tuple[str, ...]) -> None:
    (place / "file").touch()
    said = moco(*words, "--runs", "file")
    assert said.code == 4
    assert "file: a file" in said.err


def test_the_probe_counts_as_its_run_does(moco: Any, tiny: Path) -> None:
    """Steps of the linear probe are the same in the run's words, the result and status."""
    said = moco("run", tiny)
    told = re.search(r"linear-\w+: (\d+) steps", said.out)
    assert told is not None
    (line,) = [line for line in moco("status").out.splitlines() if ".linear-" in line]
    assert line.split()[2] == told[1] == "6"


def test_a_narrow_terminal_shows_the_state_beside_long_names(
    moco: Any, world: World, terminal: Terminal
) -> None:
    world.attempt(world.stage("a_long_name-s0.logistic_embedded-0123456789"), job="12")
    terminal(40)
    assert moco("status").out.splitlines()[1].split()[-1] == "running"
