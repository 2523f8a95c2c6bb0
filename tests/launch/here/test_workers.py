"""Several stages of a plan at once, each in a worker process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cli.tiny import TINY

from harness.errors import HarnessError
from harness.launch.here.stages import _Todo, run_here
from harness.launch.here.workers import Ending, _Shown
from harness.plan import Plan, make_plan
from harness.site import load_site
from harness.stage.reporter import Silent
from harness.store.layout import stage_folder


@dataclass
class Listener(Silent):
    """Notes what it is told, and acts when a stage begins."""

    begun: Callable[[str], object] = str
    heard: list[tuple[str, Any]] = field(default_factory=list)

    def open(self, stage_id: str) -> None:
        self.heard.append(("open", stage_id))

    def begin(self, stage_id: str, *, total: int, done: int, steps_per_epoch: int) -> None:
        del total, done, steps_per_epoch
        self.heard.append(("begin", stage_id))
        self.begun(stage_id)

    def advance(self, step: int, figures: dict[str, float]) -> None:
        del figures
        self.heard.append(("advance", step))

    def end(self, state: str, figures: dict[str, float]) -> None:
        del figures
        self.heard.append(("end", state))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.heard]


def seeds(tmp_path: Path, runs: Path, *sets: str, count: int = 2) -> Plan:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY)
    plans = [make_plan(recipe, [f"seed={seed}", *sets], runs) for seed in range(count)]
    return replace(plans[0], stages=tuple(stage for plan in plans for stage in plan.stages))


def worker_of(runs: Path, stage_id: str) -> int:
    """The process that runs the stage: the only one of this process's children that has its
    journal open."""
    journal = str(stage_folder(runs, stage_id).path.resolve())
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            for file in Path(f"/proc/{child}/fd").iterdir():
                if os.path.realpath(file).startswith(journal):
                    return int(child)
    raise AssertionError(f"nobody runs {stage_id}")


def weights(runs: Path, plan: Plan) -> dict[str, Any]:
    return {s.id: (stage_folder(runs, s.id).result or {}).get("weights") for s in plan.stages}


def test_stages_at_once_have_the_same_results_and_a_killed_worker_fails_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    runs, other = tmp_path / "runs", tmp_path / "other"
    made = seeds(tmp_path, runs, "linear=null")
    first = made.stages[0].id

    def kill(stage_id: str) -> None:
        if stage_id == first:
            os.kill(worker_of(runs, first), signal.SIGKILL)

    listener = Listener(kill)
    site = load_site(runs=runs, device="cpu", at_once=2)
    tally = run_here(made, site, listener, lambda: False)
    assert [stage for stage, _ in tally.failed] == [first]
    assert "signal 9" in tally.failed[0][1]
    assert sorted(tally.finished) == sorted(stage.id for stage in made.stages[2:])
    assert listener.names.count("open") == listener.names.count("end") == 3
    for at, name in enumerate(listener.names):  # one after the other, as told
        assert name != "open" or at == 0 or listener.names[at - 1] == "end"
    alone = seeds(tmp_path, other, "linear=null")
    run_here(alone, load_site(runs=other, device="cpu"), Silent(), lambda: False)
    expected = weights(other, alone)
    assert expected[first]
    assert weights(runs, made) == expected | dict.fromkeys(s.id for s in made.stages[:2])


def test_a_stop_reaches_all_workers_and_leaves_the_rest(tmp_path: Path) -> None:
    runs, begun = tmp_path / "runs", list[str]()
    made = seeds(tmp_path, runs, "optim.epochs=4000")
    site = load_site(runs=runs, device="cpu", at_once=2)
    tally = run_here(made, site, Listener(begun.append), lambda: bool(begun))
    assert tally.interrupted
    assert (tally.finished, tally.failed) == ([], [])
    ends = [path.parent.parent.parent.name for path in runs.glob("*/attempts/*/ended.json")]
    assert set(ends) <= {stage.id for stage in made.stages if stage.kind == "pretrain"}
    assert begun[0] in ends


def test_only_single_processes_on_a_cpu_can_share_the_cores(tmp_path: Path) -> None:
    site = load_site(runs=tmp_path, device="cpu", processes=2, at_once=2)
    with pytest.raises(HarnessError, match="at_once 2"):
        run_here(seeds(tmp_path, tmp_path), site, Silent(), lambda: False)


def test_one_stage_alone_opens_a_data_set_first(tmp_path: Path) -> None:
    made = seeds(tmp_path, tmp_path / "runs", "linear=null", count=3)
    site = load_site(runs=tmp_path / "runs", device="cpu", at_once=2)
    todo = _Todo(made, site, "cpu")
    one, of_one, other, of_other, third, _ = made.stages
    todo.begin(one)
    assert todo.first() is None  # the data may be on their way
    todo.end(one, Ending("failed"))
    assert todo.first() == other
    todo.begin(other)
    assert todo.first() is None
    todo.opened(other)
    assert todo.first() == third
    todo.begin(third)
    assert todo.first() is None
    todo.end(other, Ending("finished"))
    assert todo.first() == of_other
    assert [stage for stage, _ in todo.tally.failed] == [one.id]
    assert of_one not in (todo.first(), of_other)


def test_what_happens_to_others_is_told_when_the_shown_stage_has_ended() -> None:
    told, one, other = Listener(), object(), object()
    shown = _Shown(told)
    for worker, stage in ((one, "a"), (other, "b")):
        shown.happened(worker, "open", [stage, 0.0])
        shown.happened(worker, "begin", [stage, 9, 0, 1])
    for step in (1, 2):
        shown.happened(other, "advance", [step, {}])
    shown.happened(other, "end", ["finished", {}])
    shown.happened(other, "open", ["c", 0.0])
    assert told.heard == [("open", "a"), ("begin", "a")]
    shown.left(one)  # without an end of its own
    assert told.heard[2:] == [
        ("end", "failed"),
        ("open", "b"),
        ("begin", "b"),
        ("advance", 2),
        ("end", "finished"),
        ("open", "c"),
    ]
    shown.happened(other, "end", ["finished", {}])
    assert told.heard[-1] == ("end", "finished")
