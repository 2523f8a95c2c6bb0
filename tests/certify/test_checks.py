"""The checks on a testbed that is told what to show."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.certify import checks
from harness.errors import HarnessError
from harness.launch.stage_record import describe
from harness.plan import Plan
from harness.runtime import checkpoint
from harness.site import Site
from harness.store import atomic
from harness.store.layout import StageFolder, stage_folder


def life(folder: StageFolder, steps: Sequence[int], *, killed: bool = False) -> None:
    """An attempt that has made these steps; who is killed does not say how it ended."""
    path = folder.path / "attempts" / f"{len(folder.attempts()) + 1:04d}"
    path.mkdir(parents=True)
    lines = (json.dumps({"step": step, "train/loss": 1 / step}) + "\n" for step in steps)
    (path / "metrics.jsonl").write_text("".join(lines))
    if not killed:
        atomic.write_json(path / "ended.json", {"how": "interrupted"})


def finish(folder: StageFolder, weight: float = 1.0, **other: Any) -> None:
    state = {
        "stage": folder.id,
        "mechanism": {"w": torch.tensor([weight]), "b": torch.zeros(2)},
        "losses": [1.0],
    }
    checkpoint.save(folder.checkpoints, 5, state, 2)
    result = {"state": "finished", "step": 5, "values": {}, "processes": 2, "device": "cpu"}
    atomic.write_json(folder.path / "result.json", {**result, **other})


@dataclass
class Script:
    """A work whose stages do at once what the test says."""

    folders: list[StageFolder]
    acts: Callable[[StageFolder, str], None]
    closed: bool = False

    def check(self) -> None: ...

    def warn(self) -> None:
        self.acts(self.folders[0], "warned")

    def kill(self) -> None:
        self.acts(self.folders[0], "killed")

    def close(self) -> None:
        self.closed = True


@dataclass
class Stage:
    """A testbed of two processes."""

    acts: Callable[[StageFolder, str], None]
    processes: int = 2
    nodes: int = 1
    cuda: bool = False
    words: str = "a test"
    works: list[Script] = field(default_factory=list)
    differences: dict[str, float] = field(default_factory=lambda: {"moco": 1e-15, "nce": 1e-12})

    def start(self, plan: Plan, site: Site, processes: int) -> Script:
        assert processes in (1, 2)
        folders = [stage_folder(site.runs, stage.id) for stage in plan.todo]
        for stage, folder in zip(plan.todo, folders, strict=True):
            folder.create(describe(stage, "test"))
            self.acts(folder, "begun")
        self.works.append(Script(folders, self.acts))
        return self.works[-1]

    def call(self, work: str, words: Mapping[str, Any], site: Site, folder: Path) -> None:
        del site
        assert (work, words["folder"]) == ("trajectories", str(folder.absolute()))
        folder.mkdir()
        answer = {"differences": self.differences, "processes": 2, "device": "cpu"}
        atomic.write_json(folder / "answer.json", {**answer, "backend": "gloo"})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "data", tmp_path / "runs", "cpu", 1, 1.0)


@pytest.fixture
def recipes(tmp_path: Path, site: Site) -> Path:
    site.runs.mkdir()
    (tmp_path / "recipes").mkdir()
    return tmp_path / "recipes"


def obedient(weight: float = 1.0) -> Callable[[StageFolder, str], None]:
    """Each run takes 50 steps, if it is disturbed in lives of 20, 20 and 10."""

    def acts(folder: StageFolder, what: str) -> None:
        if folder.id.startswith("disturbed"):
            first, last = {"begun": (1, 20), "warned": (21, 40), "killed": (41, 50)}[what]
            life(folder, range(first, last + 1), killed=what == "warned")
            if what == "killed":
                finish(folder, weight)
        else:
            life(folder, range(1, 51))
            finish(folder)

    return acts


def test_a_run_that_survives(site: Site, recipes: Path) -> None:
    testbed = Stage(obedient())
    found = checks.requeue(testbed, site, recipes)
    assert found.outcome == "passed", found.says
    assert found.figures == {"steps": 50, "lives": 3, "differing": 0}
    assert all(work.closed for work in testbed.works)


def test_a_run_that_comes_back_as_another(site: Site, recipes: Path) -> None:
    found = checks.requeue(Stage(obedient(1.0000001)), site, recipes)
    assert found.outcome == "failed"
    assert "1 tensors differ (.mechanism.w)" in found.says


def test_a_journal_with_a_gap(site: Site, recipes: Path) -> None:
    def acts(folder: StageFolder, what: str) -> None:
        if folder.id.startswith("disturbed") and what == "warned":
            life(folder, range(22, 41), killed=True)
        else:
            obedient()(folder, what)

    found = checks.requeue(Stage(acts), site, recipes)
    assert found.outcome == "failed"
    assert "each step exactly once; losses differ" in found.says


def test_a_kill_that_was_a_warning(site: Site, recipes: Path) -> None:
    def acts(folder: StageFolder, what: str) -> None:
        if what == "killed":
            atomic.write_json(folder.attempts()[-1] / "ended.json", {"how": "interrupted"})
        obedient()(folder, what)

    found = checks.requeue(Stage(acts), site, recipes)
    assert found.outcome == "failed"
    assert found.says.endswith("wrote a record")


def test_a_run_that_is_always_too_quick(site: Site, recipes: Path) -> None:
    def acts(folder: StageFolder, _: str) -> None:
        life(folder, range(1, 51))
        finish(folder)

    testbed = Stage(acts)
    found = checks.requeue(testbed, site, recipes)
    assert found.outcome == "failed"
    assert "before it could be interrupted" in found.says
    assert len(testbed.works) == 2 * len(checks.LENGTHS_S)
    assert all(work.closed for work in testbed.works)


@pytest.mark.parametrize(("off", "outcome"), [(0.0, "passed"), (1e-3, "failed")])
def test_stages_of_one_and_of_two(site: Site, recipes: Path, off: float, outcome: str) -> None:
    def acts(folder: StageFolder, _: str) -> None:
        path = folder.path / "attempts" / "0001"
        path.mkdir(parents=True)
        loss = 3.0 + off * folder.id.startswith("all_end_to_end")
        (path / "metrics.jsonl").write_text(json.dumps({"step": 1, "train/loss": loss}) + "\n")
        finish(folder)

    found = checks.float32(Stage(acts), site, recipes)
    assert found.outcome == outcome, found.says
    assert set(found.figures) == {"moco", "end_to_end", "memory_bank"}
    assert found.figures["end_to_end"] == pytest.approx(off)


def test_a_stage_that_ran_elsewhere(site: Site, recipes: Path) -> None:
    def acts(folder: StageFolder, _: object) -> None:
        life(folder, [1])
        finish(folder)

    testbed = Stage(acts, cuda=True)
    with pytest.raises(HarnessError, match="ran on the CPU, though GPUs were asked for"):
        checks.float32(testbed, site, recipes)
    assert all(work.closed for work in testbed.works)


def test_a_stage_that_diverges(site: Site, recipes: Path) -> None:
    def acts(folder: StageFolder, _: str) -> None:
        life(folder, [1])
        finish(folder, state="diverged", message="the loss was nan")

    with pytest.raises(HarnessError, match="the loss was nan"):
        checks.float32(Stage(acts), site, recipes)


@pytest.mark.parametrize(("most", "outcome"), [(1e-12, "passed"), (1e-8, "failed")])
def test_trajectories(site: Site, tmp_path: Path, most: float, outcome: str) -> None:
    testbed = Stage(obedient(), differences={"moco": 1e-15, "nce": most})
    found = checks.float64(testbed, site, tmp_path / "float64")
    assert (found.outcome, f"at most {most:.1e} apart (nce)" in found.says) == (outcome, True)


def test_one_process_has_nothing_to_share(site: Site, recipes: Path) -> None:
    testbed = Stage(obedient(), processes=1)
    for check in (checks.float64, checks.float32):
        assert check(testbed, site, recipes).outcome == "skipped"
    assert testbed.works == []


def test_what_is_the_same(tmp_path: Path) -> None:
    one, other = StageFolder(tmp_path / "one"), StageFolder(tmp_path / "other")
    for folder in (one, other):
        folder.create({"id": folder.id})
        finish(folder)
    assert checks.differing(one, other) == []
    finish(other, 2.0)
    assert checks.differing(one, other) == [".mechanism.w"]
