"""Each of SLURM's words for a job's state: what status, plan, run and cancel make of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from launch.world import CONFIG, World, accounted, listed

from harness.errors import HarnessError
from harness.launch.cancel import aim
from harness.launch.job_states import STATES
from harness.launch.newest_jobs import Schedulers, newest_jobs
from harness.launch.plan_with_jobs import PlanWithJobs
from harness.launch.status import StatusReader
from harness.plan import over
from harness.store import submission

SLURM = {
    # the word: (status before its process has begun, while that lives, plan, cancel)
    "BOOT_FAIL": ("failed", "failed", "to do", "idle"),
    "CANCELLED": ("cancelled", "cancelled", "to do", "idle"),
    "COMPLETED": ("failed", "failed", "to do", "idle"),
    "COMPLETING": ("ending", "ending", "busy", "scancel"),
    "CONFIGURING": ("waiting", "running", "busy", "scancel"),
    "DEADLINE": ("failed", "failed", "to do", "idle"),
    "EXPEDITING": ("waiting", "interrupted", "busy", "scancel"),
    "FAILED": ("failed", "failed", "to do", "idle"),
    "LAUNCH_FAILED": ("waiting", "interrupted", "busy", "scancel"),
    "NODE_FAIL": ("failed", "failed", "to do", "idle"),
    "OUT_OF_MEMORY": ("failed", "failed", "to do", "idle"),
    "PENDING": ("waiting", "interrupted", "busy", "scancel"),
    "POWER_UP_NODE": ("waiting", "running", "busy", "scancel"),
    "PREEMPTED": ("interrupted", "interrupted", "to do", "idle"),
    "RECONFIG_FAIL": ("waiting", "interrupted", "busy", "scancel"),
    "REQUEUED": ("waiting", "interrupted", "busy", "scancel"),
    "REQUEUE_FED": ("waiting", "interrupted", "busy", "scancel"),
    "REQUEUE_HOLD": ("held", "held", "busy", "scancel"),
    "RESIZING": ("running", "running", "busy", "scancel"),
    "RESV_DEL_HOLD": ("held", "held", "busy", "scancel"),
    "REVOKED": ("unknown", "running", "asked for", "refused"),
    "RUNNING": ("running", "running", "busy", "scancel"),
    "SIGNALING": ("running", "running", "busy", "scancel"),
    "SPECIAL_EXIT": ("held", "held", "busy", "scancel"),
    "STAGE_OUT": ("ending", "ending", "busy", "scancel"),
    "STOPPED": ("suspended", "suspended", "busy", "scancel"),
    "SUSPENDED": ("suspended", "suspended", "busy", "scancel"),
    "TIMEOUT": ("failed", "failed", "to do", "idle"),
    "UPDATE_DB": ("running", "running", "busy", "scancel"),
    "A_LATER_SLURMS": ("running", "running", "busy", "scancel"),
}
"""All base states and flags of SLURM's manual (job_state_codes), to 25.05."""


def test_the_table_is_whole() -> None:
    assert {*SLURM, "SUBMITTING", "UNKNOWN", "GONE"} == {*STATES, "A_LATER_SLURMS"}


OVER = [word for word, (_, _, plan, _) in SLURM.items() if plan != "busy"]
"""Of a job that lives the controller's word counts; these accounting tells too."""


@pytest.mark.parametrize(
    ("by", "word"), [*(("squeue", word) for word in SLURM), *(("sacct", word) for word in OVER)]
)
def test_what_is_made_of_it(world: World, by: str, word: str) -> None:
    before, alive, plan, cancel = SLURM[word]
    fresh, begun = world.stage(run="tiny-s0"), world.stage(run="tiny-s1")
    world.attempt(begun, job="12_1")
    made = world.submit(fresh, begun)
    said = accounted if by == "sacct" else listed
    world.says(by, said(made, "12_0", word) + said(made, "12_1", word))
    if by == "squeue":
        world.says("sacct", code=1)
    seen = StatusReader(world.root).read()
    found = {row.id: row for row in seen.rows}
    assert (found[fresh.id].state, found[begun.id].state) == (before, alive), found

    targets = aim(seen, {fresh.id})
    assert targets.jobs == ({"slurm": ["12_0"]} if cancel == "scancel" else {})
    assert (len(targets.idle), len(targets.refused)) == (cancel == "idle", cancel == "refused")

    assert _plan(world.root, fresh.id) == plan


def _plan(runs: Path, stage: str) -> str:
    submissions = submission.everything(runs)
    answer = newest_jobs(runs, submissions, {stage}, Schedulers())
    jobs = answer.states
    try:
        PlanWithJobs(None, jobs, submissions, answer.numbers, answer.notes).check()  # type: ignore[arg-type]
    except HarnessError:
        return "asked for"
    return "to do" if over(jobs[stage]) else "busy"


def test_who_waits_for_a_person_is_told_what_to_do(world: World) -> None:
    stage = world.stage()
    made = world.submit(stage)
    for reason in ("JobHeldUser", "job requeued in held state", "launch failed requeued held"):
        world.says("squeue", listed(made, "12", "PENDING", reason))
        (row,) = StatusReader(world.root).read().rows
        assert (row.state, row.remedy) == ("held", "scontrol release 12")
        (job,) = newest_jobs(world.root, [made], {stage.id}, Schedulers()).states.values()
        assert job.says.endswith(": scontrol release 12"), "the plan says it too"


def test_a_node_that_does_not_answer(world: World) -> None:
    stages = [world.stage(run=f"tiny-s{n}") for n in range(3)]
    for n, silent in enumerate((0, 60, 600)):
        world.attempt(stages[n], job=f"12_{n}", silent_s=silent)
    made = world.submit(*stages)
    says = "".join(listed(made, f"12_{n}", "RUNNING", node="n[1-2]") for n in range(3))
    world.says("squeue", says)
    world.says("scontrol", CONFIG)
    for answer, states in (
        ("mixed\n", ["running", "silent", "running"]),
        ("mixed\nallocated*\n", ["running", "silent", "silent"]),
        ("down\n", ["running", "silent", "silent"]),
    ):
        world.says("sinfo", answer)
        found = {row.id: row for row in StatusReader(world.root).read().rows}
        assert [found[stage.id].state for stage in stages] == states
    assert len(world.called("sinfo")) == 3, "one question a look"
    assert "n[1-2] does not answer" in found[stages[1].id].why
