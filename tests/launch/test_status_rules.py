"""Every state that a stage can be in, and from what it follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from harness.command import Commands
from harness.launch.job_states import JobState, is_live
from harness.launch.slurm.jobs import LEFT
from harness.launch.status_rules import NEVER, Evidence, StageState, status_of
from harness.store import ledger


def job(state: str, reason: str = "", exit_: str = "") -> JobState:
    return JobState("12_3", state, reason, "n1", is_live(state), exit_, on="slurm")


def seen(found: ledger.FileState, state: str = "", reason: str = "", **other: Any) -> Evidence:
    exit_ = other.pop("exit", "")
    its = replace(job(state, reason, exit_), late=other.pop("late", False)) if state else None
    return Evidence(found, job=its, handed=its is not None, **other)


RUNS = Commands(Path("/runs/x"))
OWN: dict[str, Any] = {"own": True}
DIED: dict[str, Any] = {"own": True, "ended": ""}
STOPPED: dict[str, Any] = {"own": True, "ended": "interrupted", "detail": "stopped on request"}
BROKE: dict[str, Any] = {"own": True, "ended": "failed", "detail": "ValueError: seven"}

TABLE: list[tuple[str, Evidence, StageState, str]] = [
    # a result is a result
    ("finished, whatever SLURM says", seen("finished", "FAILED"), "finished", ""),
    ("diverged, whatever SLURM says", seen("diverged", "TIMEOUT", detail="nan"), "diverged", "nan"),
    ("damaged", seen("damaged", "RUNNING", detail="x.json"), "damaged", "x.json"),
    ("unreadable", seen("unreadable", detail="x.json"), "unreadable", "x.json"),
    # without a job
    ("never started", seen("absent"), "absent", ""),
    ("running here", seen("running", detail="process 1"), "running", "process 1"),
    ("broken off here", seen("interrupted", detail="stopped"), "interrupted", "stopped"),
    ("failed here", seen("failed", detail="no data"), "failed", "no data"),
    ("its submitter died", Evidence("absent", handed=True), "lost", "never submitted"),
    # it waits
    ("being submitted", seen("absent", "SUBMITTING"), "waiting", "is being submitted"),
    ("pending", seen("absent", "PENDING", "Priority"), "waiting", "job 12_3 is pending (Priority)"),
    ("pending, why is not told", seen("absent", "PENDING"), "waiting", "job 12_3 is pending"),
    ("to be tried again", seen("failed", "PENDING", "Priority"), "waiting", "is pending"),
    ("requeued", seen("interrupted", "PENDING", "BeginTime", **STOPPED), "interrupted",
     "will resume as job 12_3: pending (BeginTime)"),
    ("requeued, its past life still fresh", seen("running", "PENDING", "BeginTime", **DIED),
     "interrupted", "will resume as job 12_3"),
    ("requeued after a node's death", seen("interrupted", "PENDING", "BeginTime", own=True,
     ended="interrupted", lost="rank 1"), "interrupted",
     "rank 1 died; will resume as job 12_3: pending (BeginTime)"),
    ("requeued and held", seen("interrupted", "REQUEUE_HOLD", "job requeued in held state", **DIED),
     "held", "will resume as job 12_3: requeued and held (job requeued in held state)"),
    ("requeued and held, as squeue says it", seen("interrupted", "PENDING",
     "job requeued in held state", **DIED), "held", "will resume as job 12_3: held"),
    ("held", seen("absent", "PENDING", "JobHeldUser"), "held", "job 12_3 is held (JobHeldUser)"),
    ("its parent failed", seen("absent", "PENDING", NEVER), "cancelled", NEVER),
    # it runs
    ("running", seen("running", "RUNNING", detail="process 9 on n1", **OWN), "running", "process"),
    ("running, SLURM is slow to know", seen("running", "PENDING", detail="process 9"), "running",
     "process"),
    ("running, accounting alone answers", seen("running", "PENDING", detail="process 9", late=True,
     **OWN), "running", "process"),
    ("requeued, accounting alone answers", seen("interrupted", "PENDING", late=True, **STOPPED),
     "interrupted", "will resume as job 12_3: pending"),
    ("starting", seen("absent", "RUNNING"), "running", "is starting"),
    ("booting its node", seen("absent", "CONFIGURING"), "waiting", "is starting"),
    ("starting again", seen("interrupted", "RUNNING", **DIED), "running", "is starting"),
    ("suspended", seen("interrupted", "SUSPENDED", **DIED), "suspended", "is suspended"),
    ("suspended, its process still fresh", seen("running", "SUSPENDED", detail="process 9", **OWN),
     "suspended", "job 12_3 is suspended"),
    ("a process without the suspended job", seen("running", "SUSPENDED", detail="process 9"),
     "running", "process 9"),
    ("stopped here", seen("running", detail="process 9 is stopped", unresponsive="stopped"),
     "suspended", "process 9 is stopped"),
    ("stopped in its job", seen("running", "RUNNING", detail="process 9 is stopped",
     unresponsive="stopped", **OWN), "suspended", "process 9 is stopped"),
    ("silent", seen("running", "RUNNING", detail="process 9 has sent no heartbeat",
     unresponsive="silent", **OWN), "silent", "process 9"),
    ("its node does not answer", seen("running", "RUNNING", no_answer=True, unresponsive="silent",
     **OWN), "silent", "its node n1 does not answer"),
    ("its node has not answered for long", seen("interrupted", "RUNNING", no_answer=True, **DIED),
     "silent", "its node n1 does not answer"),
    ("ending", seen("interrupted", "COMPLETING", **DIED), "ending", "is ending"),
    ("ending, its process still fresh", seen("running", "COMPLETING", detail="process 9", **OWN),
     "ending", "job 12_3 is ending"),
    ("between two lives", seen("interrupted", "COMPLETING", **STOPPED), "interrupted", "requeued"),
    ("between two lives, for a node's death", seen("interrupted", "COMPLETING", own=True,
     ended="interrupted", lost="rank 1"), "interrupted", "rank 1 died; job 12_3 is being requeued"),
    ("failed, and its job is ending", seen("failed", "COMPLETING", **BROKE), "failed", "seven"),
    ("failed before, tried again", seen("failed", "RUNNING"), "running", "is starting"),
    # it is over
    ("out of memory", seen("interrupted", "OUT_OF_MEMORY", **DIED), "failed", "of memory on n1"),
    ("out of memory, whatever a peer said of it", seen("failed", "OUT_OF_MEMORY", **BROKE),
     "failed", "out of memory"),
    ("out of memory, by the log", seen("interrupted", "FAILED", exit="0:9",
     log="slurmstepd: error: Detected 1 oom_kill event in StepId=12.0.", **DIED),
     "failed", "out of memory"),
    ("a recorded mistake, whatever an older log line says", seen("failed", "FAILED", own=True,
     ended="failed", detail="3 images cannot be read",
     log="slurmstepd: error: Detected 1 oom_kill event in StepId=12.0."), "failed", "3 images"),
    ("out of memory, by the log and a worker", seen("failed", "FAILED", own=True,
     ended="failed", detail="DataLoader worker (pid 9) is killed by signal: Killed.",
     log="slurmstepd: error: Detected 1 oom_kill event in StepId=12.0."), "failed",
     "out of memory"),
    ("out of memory, by the log and a lost peer", seen("failed", "FAILED", own=True,
     ended="failed", detail="rank 0 lost contact in 'all-reduce': rank 1 died or hung",
     log="slurmstepd: error: Detected 1 oom_kill event in StepId=12.0."), "failed",
     "out of memory"),
    ("out of memory on the GPU, whatever an older log line says", seen("failed", "FAILED",
     own=True, ended="failed", detail="OutOfMemoryError: CUDA out of memory. Tried ...",
     log="slurmstepd: error: Detected 1 oom_kill event in StepId=12.0."), "failed",
     "memory on the GPU"),
    ("out of memory on the GPU", seen("failed", "FAILED", own=True, ended="failed",
     detail="OutOfMemoryError: CUDA out of memory. Tried ..."), "failed", "memory on the GPU"),
    ("time limit", seen("interrupted", "TIMEOUT", **DIED), "failed", "time limit"),
    ("time limit, a checkpoint written", seen("interrupted", "TIMEOUT", **STOPPED), "failed",
     "time limit"),
    ("a dead holder still fresh", seen("running", "TIMEOUT", **DIED), "failed", "time limit"),
    ("node failure", seen("interrupted", "NODE_FAIL", **DIED), "failed", "the node failed on n1"),
    ("deadline", seen("absent", "DEADLINE"), "failed", "deadline"),
    ("preempted for good", seen("interrupted", "PREEMPTED", **DIED), "interrupted", "preempted"),
    ("NCCL", seen("interrupted", "FAILED", exit="1:0", **DIED,
     log="[rank1]: torch.distributed.DistBackendError: NCCL error in: x.cpp:1, timeout\nbye"),
     "failed", "NCCL: [rank1]: torch.distributed.DistBackendError"),
    ("NCCL in the first process's words", seen("failed", "FAILED", own=True, ended="failed",
     detail="DistBackendError: NCCL error in: x"), "failed", "NCCL: DistBackendError"),
    ("a recorded mistake, whatever NCCL warned of", seen("failed", "FAILED", own=True,
     ended="failed", detail="3 images cannot be read",
     log="Warning: TORCH_NCCL: NCCL_ASYNC_ERROR_HANDLING is deprecated"), "failed", "3 images"),
    ("a user's mistake", seen("failed", "FAILED", own=True, ended="failed",
     detail="cifar10 is not whole; put it there"), "failed", "cifar10 is not whole; put it there"),
    ("a user's mistake before its attempt", seen("absent", "FAILED", exit="3:0",
     log="note: x\nerror: no such data\nsrun: error: task 0"), "failed", "no such data"),
    ("killed", seen("interrupted", "FAILED", exit="0:9", **DIED), "failed", "killed (signal 9)"),
    ("one of its processes", seen("interrupted", "FAILED", exit="9:0",
     log="srun: error: n2: task 2: Killed\nsrun: error: n1: tasks 0-1: Terminated", **DIED),
     "failed", "killed (signal 9), SIGKILL on n1, by a person or because memory ran out"),
    ("of which the others are killed", seen("interrupted", "FAILED", exit="7:0",
     log="srun: error: n2: task 2: Exited with exit code 7\nsrun: error: n1: task 0: Killed",
     **DIED), "failed", "the job ended with code 7"),
    ("with a core", seen("interrupted", "FAILED", exit="11:0",
     log="srun: error: n2: task 0: Segmentation fault (core dumped)", **DIED), "failed",
     "killed (signal 11), SIGSEGV"),
    ("killed, as srun tells it", seen("interrupted", "FAILED", exit="137:0", **DIED), "failed",
     "killed (signal 9)"),
    ("killed by something else", seen("interrupted", "FAILED", exit="0:11", **DIED), "failed",
     "killed (signal 11)"),
    ("a defect before its attempt", seen("absent", "FAILED", exit="1:0",
     log="Traceback\nModuleNotFoundError: No module named 'torch'\n"), "failed",
     "code 1; its log ends: ModuleNotFoundError: No module named 'torch'"),
    ("its run root is not there", seen("absent", "FAILED", exit="0:53", commands=RUNS), "failed",
     "its log could not be opened on n1, which cannot see /runs/x"),
    ("the same without accounting", seen("absent", "FAILED", "JobLaunchFailure", commands=RUNS),
     "failed", "could not start on n1: perhaps that node cannot see /runs/x"),
    ("killed before it said a word", seen("absent", "FAILED", "JobLaunchFailure", exit="0:9"),
     "failed", "killed (signal 9)"),
    ("a program that found no room", seen("interrupted", "FAILED", exit="135:0", **DIED), "failed",
     "killed (signal 7), SIGBUS on n1, no space left for a file or in /dev/shm"),
    ("a signal of real time", seen("absent", "FAILED", exit="0:40"), "failed",
     "killed (signal 40) on n1"),
    ("no Python there", seen("absent", "FAILED", exit="2:0",
     log="slurmstepd: error: execve(): /venv/bin/python: No such file or directory\n"
     "srun: error: n1: task 0: Exited with exit code 2"), "failed",
     "/venv/bin/python cannot be started on n1: No such file or directory"),
    ("no submitit there", seen("absent", "FAILED", exit="1:0",
     log="/venv/bin/python: Error while finding module specification for 'submitit.core._submit' "
     "(ModuleNotFoundError: No module named 'submitit')\n"), "failed", "named 'submitit'"),
    ("a full disk", seen("interrupted", "FAILED", exit="4:0", commands=RUNS, **DIED), "failed",
     "nothing could be written on n1, not even the log: the disk of /runs/x is full"),
    ("a code of ours without a word", seen("absent", "FAILED", exit="3:0"), "failed",
     "code 3 (data is missing or broken)"),
    ("its node would not boot", seen("absent", "BOOT_FAIL"), "failed",
     "the node could not boot on n1"),
    ("no word at all", seen("absent", "FAILED"), "failed", "ended with code ?"),
    ("no result", seen("absent", "COMPLETED", exit="0:0"), "failed", "ended without a result"),
    ("not requeued", seen("interrupted", "FAILED", **STOPPED), "interrupted", "stopped on request"),
    ("cancelled", seen("absent", "CANCELLED", "by ann"), "cancelled", "cancelled by ann"),
    ("cancelled, accounting is off", seen("absent", "CANCELLED", "Dependency"), "cancelled",
     "cancelled"),
    ("cancelled while it ran", seen("interrupted", "CANCELLED", "by ann", **STOPPED), "cancelled",
     "cancelled by ann"),
    ("cancelled, a peer complained", seen("failed", "CANCELLED", "by ann", **BROKE), "cancelled",
     "cancelled by ann"),
    # nobody knows
    ("vanished", seen("interrupted", "GONE", **DIED), "lost", "left the queue"),
    ("vanished before it began", seen("absent", "GONE"), "lost", "left the queue"),
    ("vanished this moment", seen("absent", "UNKNOWN", LEFT), "unknown", "is not known yet"),
    ("on another cluster", seen("interrupted", "UNKNOWN", "is on cluster b", **STOPPED), "unknown",
     "job 12_3 is on cluster b"),
    ("gone, but it said how it ended", seen("failed", "GONE", **BROKE), "failed", "seven"),
    ("gone after it was stopped", seen("interrupted", "GONE", **STOPPED), "interrupted", "stopped"),
    ("gone, the log knows of the time limit", seen("interrupted", "GONE", **DIED,
     log="x\nslurmstepd: error: *** STEP 12.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME "
     "LIMIT ***"), "failed", "time limit"),
    ("gone, the log knows of the node", seen("interrupted", "GONE", **DIED,
     log="slurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 2026 DUE TO NODE FAILURE ***"), "failed",
     "the node failed"),
    ("gone, the log knows of scancel", seen("interrupted", "GONE", **DIED,
     log="slurmstepd: error: *** STEP 12.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***"),
     "cancelled", "cancelled"),
    ("silent, but held", seen("running", "GONE", detail="process 9", **OWN), "running", "process"),
    ("nobody answers", seen("absent", "UNKNOWN"), "unknown", "SLURM does not answer"),
    ("nobody answers, it runs", seen("running", "UNKNOWN", detail="process 9", **OWN), "running",
     "process"),
    ("nobody answers, it failed", seen("failed", "UNKNOWN", **BROKE), "failed", "seven"),
    # in the background
    ("its turn will come", seen("absent", "RUNNING", background=True), "waiting", "turn"),
    ("its background job ended", seen("absent", "GONE", background=True), "lost",
     "background"),
]  # fmt: skip


@pytest.mark.parametrize(("evidence", "state", "says"), [row[1:] for row in TABLE],
                         ids=[row[0] for row in TABLE])  # fmt: skip
def test_the_state_that_follows(evidence: Evidence, state: StageState, says: str) -> None:
    found, why, _ = status_of(evidence)
    assert (found, says in why) == (state, True), (found, why)


def test_every_state_stands_in_the_table() -> None:
    assert {row[2] for row in TABLE} == set(get_args(StageState))


@pytest.mark.parametrize(
    ("evidence", "remedy"),
    [
        (seen("interrupted", "OUT_OF_MEMORY", **DIED), "raise slurm.mem_gb"),
        (seen("interrupted", "TIMEOUT", kind="linear", **DIED), "slurm.hours.linear"),
        (seen("absent", "PENDING", "JobHeldUser"), "scontrol release 12_3"),
        (seen("absent", "PENDING", NEVER), "scancel 12_3"),
        (seen("absent", "PENDING", "JobHeldAdmin"), "an administrator holds job 12_3"),
        (seen("absent", "PENDING", "PartitionTimeLimit"), "lower slurm.hours"),
        (seen("absent", "PENDING", "AssocMaxWallDurationPerJobLimit"), "account or qos"),
        (seen("absent", "PENDING", "AssocMaxJobsLimit"), ""),
        (seen("absent", "PENDING", "Resources"), ""),
        (seen("interrupted", "NODE_FAIL", **DIED), "slurm.extra.exclude"),
        (seen("absent", "DEADLINE"), "slurm.extra.deadline"),
        (
            seen("interrupted", "CANCELLED", "by root", user="ann", **DIED),
            "cancelled by root, not ann",
        ),
        (seen("interrupted", "CANCELLED", "by ann", user="ann", **DIED), ""),
        (seen("absent", "FAILED", exit="0:53"), "doctor --submit"),
        (seen("interrupted", "FAILED", exit="4:0", **DIED), "moco-harness gc"),
        (seen("interrupted", "FAILED", exit="0:9", **DIED), "raise slurm.mem_gb"),
        (seen("absent", "FAILED", log="ImportError: libcudnn.so.9: cannot open"), "modules:"),
        (seen("interrupted", "RUNNING", no_answer=True, **DIED), "SLURM requeues"),
    ],
)
def test_what_to_do(evidence: Evidence, remedy: str) -> None:
    found = status_of(evidence)[2]
    assert (remedy in found) if remedy else found == ""


@pytest.mark.parametrize("code", ["0:53", "4:0"])
def test_a_command_in_a_remedy_names_run_root_and_site_file(code: str, tmp_path: Path) -> None:
    site = tmp_path / "my site.yaml"
    site.write_text("device: cpu\n")
    asked = Commands(Path("/runs/x"), site)
    remedy = status_of(seen("interrupted", "FAILED", exit=code, commands=asked, **DIED))[2]
    assert f"--site '{site}' --runs /runs/x" in remedy
