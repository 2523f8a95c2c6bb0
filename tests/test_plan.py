from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from miniature_recipe import MINIATURE

import harness
from harness import plan as module
from harness.errors import RecipeError, StoreError
from harness.launch.job_states import JobState
from harness.launch.stage_record import describe
from harness.plan import Job, Plan, make_plan
from harness.recipe.identity import stage_id
from harness.recipe.schema import SCHEMA_VERSION, Recipe
from harness.store import atomic
from harness.store.attempt import Attempt, begin
from harness.store.edition import edition
from harness.store.layout import StageFolder, stage_folder

RECIPES = Path(harness.__file__).parent.parent / "recipes"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipes" / "tiny.yaml"
    path.parent.mkdir()
    path.write_text(MINIATURE)
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def folder(made: Plan, kind: str, runs: Path) -> StageFolder:
    (stage,) = [stage for stage in made.stages if stage.kind == kind]
    found = stage_folder(runs, stage.id)
    found.create(describe(stage, made.name))
    return found


def finish(found: StageFolder, state: str = "finished", **facts: Any) -> None:
    attempt = begin(found)
    result = {"state": state, "step": 8, "values": {}}
    result["edition"] = edition((found.described or {})["kind"], "moco")
    attempt.finish({**result, "message": "nan at step 3" if state == "diverged" else "", **facts})
    attempt.end(state)


def actions(recipe: Path, runs: Path) -> list[str]:
    return [stage.action for stage in make_plan(recipe, [], runs).stages]


def test_nothing_is_done_yet(recipe: Path, runs: Path) -> None:
    made = make_plan(recipe, [], runs)
    assert [(stage.kind, stage.action) for stage in made.stages] == [
        ("pretrain", "run"),
        ("knn", "run"),
        ("linear", "run"),
    ]
    assert (made.name, made.seconds, made.hours) == ("tiny", None, None)
    assert made.todo == made.stages
    assert not runs.exists(), "a plan makes nothing"


def interrupted(found: StageFolder) -> None:
    begin(found).end("interrupted")


def failed(found: StageFolder) -> None:
    begin(found).end("failed", "ValueError: seven")


def killed(found: StageFolder) -> None:
    path = found.path / "attempts" / "0001"
    path.mkdir()
    (path / "alive.json").write_text('{"pid": 0}')


def running(found: StageFolder) -> None:
    request_end.append(begin(found))


def damaged(found: StageFolder) -> None:
    (found.path / "result.json").write_text("{")


def damaged_description(found: StageFolder) -> None:
    (found.path / "stage.json").write_text("{")


def diverged(found: StageFolder) -> None:
    finish(found, "diverged")


request_end: list[Attempt] = []


@pytest.fixture(autouse=True)
def _end() -> Any:
    yield
    while request_end:
        request_end.pop().end("interrupted")


@pytest.mark.parametrize(
    ("make", "expected", "why"),
    [
        (interrupted, ["resume", "run", "run"], "interrupted"),
        (killed, ["resume", "run", "run"], "ended without a record"),
        (failed, ["retry", "run", "run"], "ValueError: seven"),
        (finish, ["skip", "run", "run"], "finished"),
        (running, ["busy", "busy", "busy"], "process "),
        (damaged, ["refuse", "refuse", "refuse"], "result.json"),
        (damaged_description, ["refuse", "refuse", "refuse"], "stage.json"),
        (diverged, ["skip", "skip", "skip"], "nan at step 3"),
    ],
)
def test_what_is_done_about_each_state_of_pre_training(
    recipe: Path, runs: Path, make: Callable[[StageFolder], None], expected: list[str], why: str
) -> None:
    make(folder(make_plan(recipe, [], runs), "pretrain", runs))
    made = make_plan(recipe, [], runs)
    assert [stage.action for stage in made.stages] == expected
    assert why in made.stages[0].why
    assert [s.action for s in made.todo] == [a for a in expected if a in ("run", "resume", "retry")]


@pytest.mark.parametrize(
    ("make", "expected"),
    [(interrupted, "resume"), (failed, "retry"), (finish, "skip"), (running, "busy"),
     (diverged, "skip"), (damaged, "refuse")],
)  # fmt: skip
def test_what_is_done_about_each_state_of_a_probe(
    recipe: Path, runs: Path, make: Callable[[StageFolder], None], expected: str
) -> None:
    made = make_plan(recipe, [], runs)
    finish(folder(made, "pretrain", runs))
    make(folder(made, "linear", runs))
    assert actions(recipe, runs) == ["skip", "run", expected]


def test_children_that_are_done_stay_so_while_the_parent_is_made_again(
    recipe: Path, runs: Path
) -> None:
    made = make_plan(recipe, [], runs)
    running(folder(made, "pretrain", runs))
    finish(folder(made, "knn", runs))
    assert actions(recipe, runs) == ["busy", "skip", "busy"]


@pytest.mark.parametrize("make", [interrupted, failed, killed])
def test_what_began_with_weights_that_are_made_again_is_begun_again(
    recipe: Path, runs: Path, make: Callable[[StageFolder], None]
) -> None:
    made = make_plan(recipe, [], runs)
    finish(folder(made, "pretrain", runs), edition="0123456789ab")
    make(folder(made, "linear", runs))
    assert [stage.action for stage in make_plan(recipe, [], runs, again=True).stages] == [
        "again",
        "run",
        "again",
    ]
    busy = folder(made, "knn", runs)
    running(busy)
    assert make_plan(recipe, [], runs, again=True).stages[1].action == "busy"


def test_what_began_before_its_pre_training_was_made_anew_is_begun_again(
    recipe: Path, runs: Path
) -> None:
    """Its folder was moved away and run again; what the probe has trained is of other features."""
    made = make_plan(recipe, [], runs)
    for kind, make, hour in (("pretrain", finish, 12), ("linear", interrupted, 13)):
        make(found := folder(made, kind, runs))
        record = found.attempts()[0] / "attempt.json"
        record.write_text(json.dumps({"started": f"2026-11-30T{hour}:00:00Z"}))
    assert actions(recipe, runs) == ["skip", "run", "resume"]
    record.write_text(json.dumps({"started": "2026-11-30T11:00:00Z"}))
    assert actions(recipe, runs) == ["skip", "run", "again"]
    shutil.rmtree(folder(made, "pretrain", runs).path)
    assert actions(recipe, runs) == ["run", "run", "again"]


def test_an_older_edition_is_skipped_and_named(recipe: Path, runs: Path) -> None:
    finish(folder(make_plan(recipe, [], runs), "pretrain", runs), edition="0123456789ab")
    stage = make_plan(recipe, [], runs).stages[0]
    assert (stage.action, stage.why) == ("skip", "finished, of edition 0123456789ab")


def test_a_control_diverges_in_none(recipe: Path, runs: Path) -> None:
    made = make_plan(recipe, ["optim.epochs=0"], runs)
    assert [stage.action for stage in made.stages] == ["run"] * 3
    assert made.stages[0].seconds in (None, 0.0)


def test_a_file_is_no_run_root(recipe: Path, runs: Path) -> None:
    runs.touch()
    with pytest.raises(StoreError, match=r"runs: a file, not a folder.*--runs"):
        make_plan(recipe, [], runs)


def test_a_wrong_recipe(recipe: Path, runs: Path) -> None:
    with pytest.raises(RecipeError, match=r"optim\.lr"):
        make_plan(recipe, ["optim.lr=-1"], runs)


def test_what_a_process_needs_to_run_a_stage(recipe: Path, runs: Path) -> None:
    made = make_plan(recipe, [], runs)
    pretrain, knn, _ = (describe(stage, "group") for stage in made.stages)
    assert (pretrain["parent"], knn["parent"]) == (None, pretrain["id"])
    assert (knn["kind"], knn["schema"], knn["group"]) == ("knn", SCHEMA_VERSION, "group")
    again = Recipe.model_validate_json(json.dumps(knn["recipe"]))
    assert again == made.stages[1].recipe
    assert stage_id(again, "knn") == knn["id"]


def test_given_weights_cost_what_their_recipe_states(runs: Path) -> None:
    made = make_plan(RECIPES / "released_v1_200.yaml", [], runs)
    assert (made.stated_hours, made.stated_gpu_hours) == (8, 64)
    assert made.images is None, "of a folder, before it is looked at"


def test_given_weights_cost_their_tasks_trial_by_trial(runs: Path) -> None:
    path = RECIPES / "segmentation_voc.yaml"
    made = make_plan(path, [], runs)
    assert made.stated_hours == pytest.approx(3.6)
    assert made.stated_gpu_hours == pytest.approx(8 * 3.6)
    assert made.images == 5 * 30_000 * 16
    for stage in made.stages[:3]:  # the weights, and two of five trials
        found = stage_folder(runs, stage.id)
        found.create(describe(stage, made.name))
        finish(found)
    assert make_plan(path, [], runs).stated_hours == pytest.approx(3.6 * 3 / 5)


@pytest.mark.parametrize(
    ("name", "hours", "images"),
    [
        ("detection_voc_c4", 18, 5 * 24_000 * 16),
        ("detection_voc_dc5", 12.7, 5 * 24_000 * 16),
        ("detection_voc07_c4", 6.7, 5 * 9_000 * 16),
        ("detection_coco_fpn_6x", 39, 540_000 * 16),
        ("detection_coco_c4_2x", 29.2, 180_000 * 16),
    ],
)
def test_a_start_of_a_table_of_detection_costs(
    runs: Path, name: str, hours: float, images: int
) -> None:
    made = make_plan(RECIPES / f"{name}.yaml", [], runs)
    assert made.stated_hours == pytest.approx(hours)
    assert made.images == images
    table = make_plan(RECIPES / f"ablation_{name}.yaml", [], runs)
    assert table.stated_hours == pytest.approx(4 * hours), "four starts, random weights too"


def test_beside_pre_training_the_stated_cost_is_of_it_alone(recipe: Path, runs: Path) -> None:
    recipe.write_text(MINIATURE + FINETUNE + "about: {cost: {hours: 5, on: it, source: it}}\n")
    made = make_plan(recipe, [], runs)
    assert made.stated_hours == 5
    before = make_plan(recipe, ["tasks.fine.epochs=1"], runs).images
    assert made.images is not None
    assert before is not None
    each = made.stages[0].recipe.data.images or 0
    assert made.images - before == 2 * 2 * each > 0, "two trials, two epochs more"


FINETUNE = """\
tasks:
  fine: {kind: finetune, epochs: 3, batch: 16, lr: 0.1, schedule: {kind: constant}, trials: 2}
"""


def test_a_plan_of_500_runs_reads_each_file_once_and_a_stages_few(
    recipe: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale = recipe.parent / "scale.yaml"
    scale.write_text("ablation: momentum\nrecipe: tiny.yaml\nmetric: knn/top1\nmargin: 1\n")
    reads: list[Path] = []
    parses: list[Path] = []
    read_json, read_bytes = atomic.read_json, Path.read_bytes

    def counted(path: Path) -> Any:
        reads.append(path)
        return read_json(path)

    def counted_bytes(path: Path) -> bytes:
        if path.suffix == ".yaml":
            parses.append(path)
        return read_bytes(path)

    monkeypatch.setattr(atomic, "read_json", counted)
    monkeypatch.setattr(Path, "read_bytes", counted_bytes)
    monkeypatch.setattr(module, "edition", lambda *_: "e")
    per_run = []
    for seeds in (10, 84):
        reads.clear()
        parses.clear()
        made = make_plan(scale, [f"seeds={list(range(seeds))}"], runs)
        assert len({stage.id for stage in made.stages}) == len(made.stages) >= 6 * 3 * seeds
        per_run.append(len(reads) / len(made.stages))
        assert len(parses) <= 6
    assert per_run[0] == per_run[1] <= 3
    assert len(made.stages) == 84 * 6 * 3


@dataclass(frozen=True)
class ScheduledJob:
    """What a cluster might say of a job."""

    job: str = "12_3"
    state: str = "PENDING"
    reason: str = ""
    live: bool = True
    on: str = "slurm"
    cluster: str = ""

    @property
    def says(self) -> str:
        return f"is {self.state.lower()}" + (f" ({self.reason})" if self.reason else "")


def with_jobs(recipe: Path, runs: Path, behind: str = "", **scheduled: Job) -> list[str]:
    ids = {stage.kind: stage.id for stage in make_plan(recipe, [], runs).stages}
    jobs = {ids[kind]: job for kind, job in scheduled.items()}  # type: ignore[index]
    made = make_plan(recipe, [], runs, jobs=jobs, behind=behind)
    return [
        f"{s.action}: {s.why}" if s.action in ("busy", "skip") else s.action for s in made.stages
    ]


def test_what_a_job_has_is_left_to_it(recipe: Path, runs: Path) -> None:
    waits = ScheduledJob(reason="Priority")
    why = "job 12_3 is pending (Priority)"
    assert with_jobs(recipe, runs, knn=waits) == ["run", f"busy: {why}", "run"]
    assert with_jobs(recipe, runs, pretrain=waits) == [f"busy: {why}"] * 3
    assert with_jobs(recipe, runs, "slurm", pretrain=waits) == [f"busy: {why}", "run", "run"]
    assert with_jobs(recipe, runs, "other", pretrain=waits) == [f"busy: {why}"] * 3
    over = ScheduledJob(state="FAILED", live=False)
    assert with_jobs(recipe, runs, pretrain=over) == ["run", "run", "run"]


def test_what_a_job_may_have_is_left_to_it_too(recipe: Path, runs: Path) -> None:
    unsure = JobState("12_3", "UNKNOWN", on="slurm")
    found = with_jobs(recipe, runs, "slurm", linear=unsure)
    assert found == ["run", "run", "busy: job 12_3 may have it, but SLURM does not answer"]


def test_files_come_before_jobs(recipe: Path, runs: Path) -> None:
    made = make_plan(recipe, [], runs)
    finish(folder(made, "pretrain", runs), weights="w")
    finish(folder(made, "knn", runs), weights="w")
    ending = ScheduledJob(state="COMPLETING")
    found = with_jobs(recipe, runs, pretrain=ending, knn=ending)
    assert found == ["skip: finished", "skip: finished", "run"]
    attempt = begin(folder(made, "linear", runs))
    over = ScheduledJob(state="FAILED", live=False)
    assert with_jobs(recipe, runs, linear=over)[2].startswith("busy: process ")
    attempt.end("interrupted")
    assert with_jobs(recipe, runs, linear=over)[2] == "resume"
    assert with_jobs(recipe, runs, linear=ScheduledJob())[2] == "busy: job 12_3 is pending"


def test_what_waits_for_a_job_does_not_wait_for_its_failed_last_life(
    recipe: Path, runs: Path
) -> None:
    found = folder(make_plan(recipe, [], runs), "pretrain", runs)
    begin(found).end("failed", "out of memory")
    again = ScheduledJob(state="RUNNING")
    assert with_jobs(recipe, runs, "slurm", pretrain=again)[1:] == ["run", "run"]


def test_whoever_slurm_has_ended_runs_nothing(recipe: Path, runs: Path) -> None:
    """Though its last touch is fresh, and its process on a machine that cannot be looked at."""
    found = folder(make_plan(recipe, [], runs), "pretrain", runs)
    attempt = begin(found)
    who = {"host": "node-7", "boot": "b", "pid": 7, "slurm": {"job": "12_3", "restart": 0}}
    (attempt.path / "alive.json").write_text(json.dumps(who))
    over = ScheduledJob(state="NODE_FAIL", live=False)
    assert with_jobs(recipe, runs, pretrain=over) == ["resume", "run", "run"]
    for other in (
        replace(over, job="12_4"),  # not the one that holds it
        replace(over, state="UNKNOWN"),
    ):
        assert with_jobs(recipe, runs, pretrain=other)[0].startswith("busy: ")
    attempt.end("interrupted")
