"""Placements from environments as torchrun and SLURM set them, and those that are half set."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.errors import HarnessError
from harness.runtime.environment import SINGLE, Placement, first_host, job_port, resolve

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "gpu7",
    "MASTER_PORT": "29500",
}
STEP = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "7",
    "SLURM_LOCALID": "2",
    "SLURM_NODEID": "1",
    "SLURM_TASKS_PER_NODE": "3(x2),1",
    "SLURM_JOB_NODELIST": "n[2-3,7],m01",
}


def without(env: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in names}


def test_a_plain_process_is_alone() -> None:
    assert resolve({}) == resolve({"PATH": "/bin", "RANK": "", "MASTER_ADDR": "gpu7"}) == SINGLE
    assert (SINGLE.rank, SINGLE.size, SINGLE.source) == (0, 1, "single")


def test_torchrun() -> None:
    assert resolve(TORCHRUN) == Placement(3, 8, 1, 2, "gpu7", 29500, "torchrun")
    agent = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2"}
    found = resolve({**STEP, **TORCHRUN, **agent})
    assert (found.source, found.rank, found.hosted, found.attempt) == ("torchrun", 3, True, 2)


def test_a_slurm_job_step() -> None:
    port = job_port(4711, 0, 0)
    assert resolve(STEP) == Placement(5, 7, 2, 3, "n2", port, "slurm")
    assert resolve({**STEP, "SLURM_NODEID": "2", "SLURM_LOCALID": "0"}).local_size == 1
    again = resolve({**STEP, "SLURM_RESTART_COUNT": "1"})
    assert again.attempt == 1
    assert again.master_port != port


def test_the_step_may_be_smaller_than_the_job() -> None:
    step = {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "m01",
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "1",
    }
    found = resolve({**STEP, **step})
    assert (found.size, found.local_size, found.master_addr) == (2, 2, "m01")


def test_one_task_needs_no_meeting_point() -> None:
    env = {
        "SLURM_STEP_ID": "1",
        "SLURM_PROCID": "0",
        "SLURM_NTASKS": "1",
        "SLURM_LOCALID": "0",
    }
    assert resolve(env) == Placement(0, 1, 0, 1, "127.0.0.1", 0, "slurm")


def test_a_batch_script_may_choose_the_meeting_point() -> None:
    found = resolve({**STEP, "MASTER_ADDR": "ib0", "MASTER_PORT": "12000"})
    assert (found.master_addr, found.master_port) == ("ib0", 12000)


@pytest.mark.parametrize("step", [{}, {"SLURM_STEP_ID": "4294967290"}, {"SLURM_STEP_ID": ""}])
def test_a_shell_in_an_allocation_is_alone(step: dict[str, str]) -> None:
    shell = {**without(STEP, "SLURM_STEP_ID"), "SLURM_PROCID": "0", **step}
    assert resolve(shell) == SINGLE


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (without(TORCHRUN, "WORLD_SIZE"), "RANK, .* set but WORLD_SIZE not: start with torchrun"),
        ({"RANK": "0"}, "RANK set but WORLD_SIZE, LOCAL_RANK"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE set but RANK"),
        ({**TORCHRUN, "MASTER_ADDR": ""}, "MASTER_ADDR not"),
        ({**TORCHRUN, "RANK": "8"}, "RANK=8 is not below WORLD_SIZE=8"),
        ({**TORCHRUN, "RANK": "-1"}, "RANK='-1' is not a number"),
        ({**TORCHRUN, "RANK": "1.0"}, "RANK='1.0'"),
        ({**TORCHRUN, "WORLD_SIZE": "two"}, "WORLD_SIZE='two' is not a number"),
        ({**TORCHRUN, "LOCAL_RANK": "2"}, "LOCAL_RANK=2 is not below LOCAL_WORLD_SIZE=2"),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "9"}, "LOCAL_WORLD_SIZE=9 exceeds WORLD_SIZE=8"),
        ({**TORCHRUN, "MASTER_PORT": "65536"}, "MASTER_PORT=65536 is not a port"),
        (without(STEP, "SLURM_PROCID"), "without SLURM_PROCID: start .* srun or torchrun"),
        (without(STEP, "SLURM_NTASKS"), "without SLURM_STEP_NUM_TASKS or SLURM_NTASKS"),
        (without(STEP, "SLURM_LOCALID"), "without SLURM_LOCALID"),
        (without(STEP, "SLURM_NODEID"), "without SLURM_NODEID"),
        (without(STEP, "SLURM_JOB_ID"), "without SLURM_JOB_ID"),
        (without(STEP, "SLURM_JOB_NODELIST"), "SLURM_STEP_NODELIST or SLURM_JOB_NODELIST"),
        (without(STEP, "SLURM_TASKS_PER_NODE"), "SLURM_TASKS_PER_NODE or SLURM_NTASKS_PER_NODE"),
        ({**STEP, "SLURM_TASKS_PER_NODE": "2(y2)"}, r"='2\(y2\)'"),
        ({**STEP, "SLURM_NODEID": "3"}, "SLURM_NODEID=3 but SLURM_TASKS_PER_NODE="),
        ({**STEP, "SLURM_PROCID": "7"}, "SLURM_PROCID=7 is not below SLURM_NTASKS=7"),
        ({**STEP, "SLURM_STEP_ID": "x"}, "SLURM_STEP_ID='x' is not a number"),
        ({**STEP, "SLURM_JOB_NODELIST": "n[1"}, "node list 'n.1'"),
    ],
)
def test_half_an_environment_is_refused(env: dict[str, str], message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        resolve(env)


@pytest.mark.parametrize(
    ("nodelist", "host"),
    [
        ("n1", "n1"),
        ("n[1-3,7],m01", "n1"),
        ("m01,n[1-3]", "m01"),
        ("gpu-a[007-012]", "gpu-a007"),
        ("r[1-2]n[01-04],x", "r1n01"),
        ("n[3]-ib,n5", "n3-ib"),
        ("node3.cluster.org,node4.cluster.org", "node3.cluster.org"),
        ("127.0.0.1,127.0.0.2", "127.0.0.1"),
    ],
)
def test_first_host(nodelist: str, host: str) -> None:
    assert first_host(nodelist) == host


@pytest.mark.parametrize("nodelist", ["", ",", "n[", "n[]", "[-3]x", "n]1", "n 1", "n[1-2"])
def test_what_is_no_node_list(nodelist: str) -> None:
    with pytest.raises(HarnessError, match="set MASTER_ADDR"):
        first_host(nodelist)


def test_ports() -> None:
    ports = [job_port(job, 0, restart) for job in range(10**6, 10**6 + 500) for restart in (0, 1)]
    assert all(10000 <= port <= 32767 for port in ports)
    assert len(set(ports)) == len(ports)
    assert job_port(5, 0, 0) != job_port(5, 1, 0)
    assert {job_port(job, 0, 0) for job in range(22768)} == set(range(10000, 32768))


def test_no_torch_is_needed() -> None:
    code = "import sys, harness.runtime.environment; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
