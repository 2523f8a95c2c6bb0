"""This process's rank and the rendezvous address, read from environment variables.

Three launchers are supported: torchrun (or anything that sets its six variables, as submitit's
TorchDistributedEnvironment does), a SLURM job step, and none. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.errors import HarnessError

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

_PORTS = range(10000, 32768)
"""Unprivileged ports below Linux's ephemeral range, which the kernel can assign at any time."""

_FIRST_SPECIAL_STEP = 0xFFFFFFF0
"""SLURM gives step ids from here up to batch scripts, interactive shells etc.: no job steps."""


@dataclass(frozen=True)
class Placement:
    """This process among `size`: its rank, and the address of rank 0.

    Attributes:
        local_rank: the rank among the `local_size` processes of this machine.
        master_addr: host of rank 0.
        master_port: port of the rendezvous; 0 for a single process.
        source: what started the processes.
        attempt: how often they have been restarted (a requeue, an elastic restart).
        hosted: whether another process, such as torchrun's agent, already listens at the address;
            else rank 0 must.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    master_addr: str
    master_port: int
    source: Literal["single", "torchrun", "slurm"]
    attempt: int = 0
    hosted: bool = False


SINGLE = Placement(0, 1, 0, 1, "127.0.0.1", 0, "single")


def resolve(env: Mapping[str, str]) -> Placement:
    """The placement that `env` (usually os.environ) describes.

    torchrun's variables override SLURM's, as torchrun may run inside a job step. A plain process
    in the shell of salloc or sbatch is a single process, whatever the size of the allocation: only
    a process that srun started belongs to a job step. MASTER_ADDR and MASTER_PORT, which batch
    scripts often export, mean nothing alone, but override the address derived from SLURM.

    Raises:
        HarnessError: the variables are incomplete or contradict each other.
    """
    if any(env.get(name) for name in TORCHRUN[:4]):
        return _checked(_torchrun(env))
    if _in_step(env):
        return _checked(_slurm(env))
    return SINGLE


def first_host(nodelist: str) -> str:
    """The first host of a SLURM node list: n1 of "n[1-3,7],m01".

    Raises:
        HarnessError: not a node list.
    """
    parts = re.match(r"(?:[^\[\],]|\[[^\[\]]*\])+", nodelist)
    host = re.sub(r"\[(\w+)[^\[\]]*\]", r"\1", parts[0]) if parts else ""
    if not re.fullmatch(r"[\w.-]+", host) or nodelist.count("[") != nodelist.count("]"):
        raise HarnessError(
            f"the node list {nodelist!r} of SLURM cannot be parsed: set MASTER_ADDR to the host "
            "of the first task"
        )
    return host


def job_port(job: int, step: int, restart: int) -> int:
    """A port for this attempt of a job step. It changes after a requeue: the old port may be busy.

    Steps of one job, and jobs with neighbouring ids that may share a machine, get other ports too.
    """
    return _PORTS[(977 * job + 31 * step + restart) % len(_PORTS)]


def _torchrun(env: Mapping[str, str]) -> Placement:
    absent = [name for name in TORCHRUN if not env.get(name)]
    if absent:
        present = [name for name in TORCHRUN if env.get(name)]
        raise HarnessError(
            f"{', '.join(present)} set but {', '.join(absent)} not: start with torchrun, which "
            "sets all of them, or unset those"
        )
    return Placement(
        rank=_int(env, "RANK"),
        size=_int(env, "WORLD_SIZE"),
        local_rank=_int(env, "LOCAL_RANK"),
        local_size=_int(env, "LOCAL_WORLD_SIZE"),
        master_addr=env["MASTER_ADDR"],
        master_port=_int(env, "MASTER_PORT"),
        source="torchrun",
        attempt=_int(env, "TORCHELASTIC_RESTART_COUNT", default=0),
        hosted=env.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _in_step(env: Mapping[str, str]) -> bool:
    """Whether this is a job step: batch scripts have no step id, shells a special one."""
    step = env.get("SLURM_STEP_ID") or env.get("SLURM_STEPID") or ""
    return bool(step) and not (step.isdecimal() and int(step) >= _FIRST_SPECIAL_STEP)


def _slurm(env: Mapping[str, str]) -> Placement:
    step = _first(env, "SLURM_STEP_ID", "SLURM_STEPID")
    # The step may be smaller than the job (srun -n1 in a larger allocation).
    tasks = _first(env, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
    size = _int(env, tasks)
    restart = _int(env, "SLURM_RESTART_COUNT", default=0)
    address, port = SINGLE.master_addr, 0
    if size > 1:
        nodes = _first(env, "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
        address = env.get("MASTER_ADDR") or first_host(env[nodes])
        port = (
            _int(env, "MASTER_PORT")
            if env.get("MASTER_PORT")
            else job_port(_int(env, "SLURM_JOB_ID"), _int(env, step), restart)
        )
    return Placement(
        rank=_int(env, "SLURM_PROCID"),
        size=size,
        local_rank=_int(env, "SLURM_LOCALID"),
        local_size=_tasks_here(env) if size > 1 else 1,
        master_addr=address,
        master_port=port,
        source="slurm",
        attempt=restart,
    )


def _tasks_here(env: Mapping[str, str]) -> int:
    """Tasks of the step on this node: its share of a list such as "2(x3),1"."""
    name = _first(env, "SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE")
    counts: list[int] = []
    for part in env[name].split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise HarnessError(f"{name}={env[name]!r} does not list tasks per node; {_HELP}")
        counts += [int(match[1])] * int(match[2] or 1)
    if len(counts) == 1 or name == "SLURM_NTASKS_PER_NODE":
        return counts[0]
    node = _int(env, "SLURM_NODEID")
    if not 0 <= node < len(counts):
        raise HarnessError(f"SLURM_NODEID={node} but {name}={env[name]!r}; {_HELP}")
    return counts[node]


_HELP = "start the processes with srun or torchrun, or unset SLURM_STEP_ID for a single process"


def _first(env: Mapping[str, str], *names: str) -> str:
    """The first of `names` that is set."""
    for name in names:
        if env.get(name):
            return name
    raise HarnessError(f"a SLURM job step without {' or '.join(names)}: {_HELP}")


def _int(env: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = env.get(name)
    if not text:
        if default is not None:
            return default
        raise HarnessError(f"a SLURM job step without {name}: {_HELP}")
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise HarnessError(f"{name}={text!r} is not a number: start with torchrun or srun")
    return int(text)


def _checked(found: Placement) -> Placement:
    """`found`; HarnessError if it is impossible."""
    names = {
        "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
        "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_TASKS_PER_NODE"),
    }[found.source]
    rank, size, local_rank, local_size = (
        f"{name}={value}"
        for name, value in zip(
            names, (found.rank, found.size, found.local_rank, found.local_size), strict=True
        )
    )
    wrong = [
        f"{what} is not below {limit}"
        for what, limit, bad in (
            (rank, size, found.rank >= found.size),
            (local_rank, local_size, found.local_rank >= found.local_size),
        )
        if bad
    ]
    if found.local_size > found.size:
        wrong.append(f"{local_size} exceeds {size}")
    if found.size > 1 and not 0 < found.master_port < 65536:
        wrong.append(f"MASTER_PORT={found.master_port} is not a port")
    if wrong:
        raise HarnessError(f"{'; '.join(wrong)}: start again with torchrun or srun")
    return found
