from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cli.tiny import TINY

from harness.launch.here import stages as here
from harness.launch.local import job as local
from harness.launch.local.job import INTERRUPTED, LocalJob
from harness.launch.protocol import Tally
from harness.plan import Plan, make_plan
from harness.site import Site
from harness.store import submission
from harness.store.submission import Array

Ran = list[Sequence[str]]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return make_plan(tmp_path / "tiny.yaml", [], tmp_path / "runs")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """The ids of the stages that are run, at each call; nothing is run in earnest."""
    calls: Ran = []

    def run(plan: Plan, site: Site, reporter: object, stopping: Callable[[], bool]) -> Tally:
        del site, reporter
        calls.append([stage.id for stage in plan.todo])
        return Tally(interrupted=stopping())

    monkeypatch.setattr(here, "run_here", run)
    monkeypatch.setattr(local, "report", lambda *_: "report.html")
    return calls


def job(plan: Plan, *handed: str) -> LocalJob:
    """The background job of a submission of these kinds of stages."""
    runs = plan.path.parent / "runs"
    ids = tuple(stage.id for stage in plan.stages if stage.kind in handed)
    sid = submission.new_id()
    arrays = [Array(f"moco-{sid}-0", "all", ids)]
    made = submission.new(
        sid, on="local", recipe=str(plan.path), sets=(), name="tiny", code="", arrays=arrays
    )
    submission.write(runs, made)
    return LocalJob(sid, str(plan.path), (), str(runs), "/nowhere", "cpu", 1, False, None)


def test_it_runs_what_it_was_handed_and_nothing_else(plan: Plan, ran: Ran) -> None:
    """A job of SLURM's, say, has the others: this process cannot know."""
    assert len(plan.todo) == 3
    assert job(plan, "knn", "linear")() == "report.html"
    assert ran == [[stage.id for stage in plan.todo[1:]]]


def test_what_is_done_meanwhile_is_not_run(plan: Plan, ran: Ran) -> None:
    made = job(plan, "pretrain", "knn")
    folder = plan.stages[1].entry.folder
    folder.create({"id": folder.id})
    (folder.path / "result.json").write_text('{"state": "finished", "values": {}}')
    made()
    assert ran == [[plan.stages[0].id]]


def test_a_record_that_is_gone(plan: Plan, ran: Ran, capfd: pytest.CaptureFixture[str]) -> None:
    made = job(plan, "knn")
    (Path(made.runs) / "submissions" / f"{made.submission}.json").unlink()
    with pytest.raises(SystemExit, match="4"):
        made()
    assert "the record of this submission" in capfd.readouterr().err
    assert ran == []


@pytest.fixture
def unheard() -> Iterator[list[int]]:
    """The signals that would have ended the process, or been lost."""
    found: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: found.append(number))
    yield found
    signal.signal(signal.SIGTERM, before)


def test_it_listens_before_it_plans(
    plan: Plan, ran: Ran, unheard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def planning(*words: Any, **more: Any) -> Plan:
        os.kill(os.getpid(), signal.SIGTERM)
        return make_plan(*words, **more)

    monkeypatch.setattr(local, "make_plan", planning)
    with pytest.raises(SystemExit, match=str(INTERRUPTED)):
        job(plan, "pretrain")()
    assert unheard == []
    assert len(ran) == 1
