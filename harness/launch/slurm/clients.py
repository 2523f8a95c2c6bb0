"""Calls of SLURM's clients: one environment, one time limit, one kind of error.

Clients run outside the job that this process may be in: its variables would change what sbatch and
srun do. The user's defaults for output and filters are removed too, as they would change the output
that is read here. Variables that choose the cluster stay, the same for all clients, and so do the
user's options for sbatch.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_S = 5.0
"""Seconds for a query: without a controller squeue tries for 9, and without an answer from munge
for ever."""
ORDER_S = 60.0
"""Seconds for a command that cancels or requeues."""
SUBMIT_S = 30.0
"""Seconds for sbatch; a job that it may still have made is then searched by name."""
AT_ONCE = 500
"""Maximum number of jobs or names in one call: Linux limits an argument to 128 KiB."""

_SILENT = re.compile(
    r"unable to contact|munge|authentication error|timed out|zero bytes|missing socket"
    r"|connection (refused|failure|timed)|could not establish a configuration source"
    r"|no controllers|transport endpoint|unable to establish",
    re.IGNORECASE,
)
"""Messages of a client that could not connect to SLURM."""
_MUNGE = re.compile(r"munge (en|de)code failed", re.IGNORECASE)

_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
_DROPPED = (
    *("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_"),
    *("SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_", "SCONTROL_"),
    *("SBATCH_ARRAY_INX", "SBATCH_ERROR", "SBATCH_GPUS_PER_NODE", "SBATCH_INPUT"),
    *("SBATCH_JOB_NAME", "SBATCH_MEM_PER_NODE", "SBATCH_NO_REQUEUE", "SBATCH_OPEN_MODE"),
    *("SBATCH_OUTPUT", "SBATCH_REQUEUE", "SBATCH_SIGNAL", "SBATCH_TIMELIMIT", "SBATCH_WAIT"),
)
"""Variables that a client does not get, by how they begin. Those of sbatch would replace what the
job's script asks for, and the harness depends on these options."""


@dataclass(frozen=True)
class ClientOutput:
    """A client's answer."""

    lines: list[str] = field(default_factory=list)
    """Its output, stripped, without empty lines."""
    error: str = ""
    """Why there is no answer, in one line; "" if there is one."""
    silent: bool = False
    """SLURM was not reached: the controller, munge or the network failed."""
    stderr: str = ""
    """All error output, if there is no answer."""

    @property
    def no_munge(self) -> bool:
        """munge on this machine failed: other clients would fail too."""
        return _MUNGE.search(self.error) is not None


@dataclass(frozen=True)
class Cluster:
    """What the controller reports about the cluster."""

    name: str
    """ "" if it does not answer."""
    hides_others: bool = False
    """It hides other users' jobs (PrivateData)."""
    most: int | None = None
    """Maximum number of elements of a job array (MaxArraySize); None: unknown."""
    silence: str = ""
    """Why it was not reached, in one line; "" if it was."""


def ask(*words: str, timeout: float | None = None) -> ClientOutput:
    """Call a client and wait for its answer, at most `timeout` (default TIMEOUT_S) seconds."""
    limit = TIMEOUT_S if timeout is None else timeout
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            timeout=limit,
            env=environment(os.environ),
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as late:
        complaints = (late.stderr or b"").decode(errors="replace")
        said = reason(complaints) if _SILENT.search(complaints) else ""
        return ClientOutput(error=said or f"{words[0]}: no answer in {limit:g} s", silent=True)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        why = "not installed on this machine" if missing else error.strerror
        return ClientOutput(error=f"{words[0]}: {why}")
    if done.returncode:
        complaints = done.stderr.decode(errors="replace")
        said = reason(complaints) or f"{words[0]}: exit code {done.returncode}"
        silent = _SILENT.search(complaints) is not None
        return ClientOutput(error=said, silent=silent, stderr=complaints)
    lines = done.stdout.decode(errors="replace").splitlines()
    return ClientOutput([line.strip() for line in lines if line.strip()])


def portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """The names, at most AT_ONCE at a time."""
    return (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))


def submit(script: Path) -> ClientOutput:
    """Call sbatch with a script."""
    return ask("sbatch", str(script), timeout=SUBMIT_S)


def order(*words: str) -> ClientOutput:
    """`ask`, with the longer time limit of a command that changes jobs."""
    return ask(*words, timeout=ORDER_S)


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for a client, made from `env`."""
    found = {k: v for k, v in env.items() if k in _KEPT or not k.startswith(_DROPPED)}
    chosen = found.pop("SBATCH_CLUSTERS", None)
    if chosen:  # so that jobs are searched on the cluster that has them
        found.setdefault("SLURM_CLUSTERS", chosen)
    found["SLURM_BITSTR_LEN"] = "0"  # else squeue and sacct cut an array's waiting elements short
    return found


def cluster(timeout: float | None = None) -> Cluster:
    """The cluster of these clients; waits at most `timeout` (default TIMEOUT_S) seconds."""
    said = ask("scontrol", "show", "config", timeout=timeout)
    config = pairs(said.lines)
    hides = "jobs" in config.get("PrivateData", "").lower().split(",")
    own = "" if os.environ.get("SLURM_CLUSTERS") else os.environ.get("SLURM_CLUSTER_NAME", "")
    size = config.get("MaxArraySize", "")
    most = int(size) if size.isdecimal() else None
    silence = said.error if said.silent else ""
    return Cluster(config.get("ClusterName") or own, hides, most, silence)


def pairs(lines: Sequence[str]) -> dict[str, str]:
    """The lines of `scontrol show config` as a mapping."""
    split = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in split}


def reason(complaints: str) -> str:
    """The most useful line of a client's error output: munge's, else the last; "" if there is
    none."""
    munge = [line.strip() for line in complaints.splitlines() if _MUNGE.search(line)]
    return munge[-1] if munge else last_line(complaints)


def last_line(text: str) -> str:
    """The last line of a program's output or an exception's message; "" if it is empty."""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
