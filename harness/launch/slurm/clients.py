"""SLURM's clients as this program calls them: one environment, one time limit, one kind of error.

They are called outside of the job that this process may be in, whose variables sbatch and srun
would obey, and without the user's own defaults for output and filters, which would change what is
read here. What chooses the cluster stays, the same for all of them, and so does what the user wants
of sbatch.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_S = 5.0
"""Seconds for a question: without a controller squeue would try for 9, and without an answer from
munge for ever."""
ORDER_S = 60.0
"""Seconds for an order: to cancel or requeue."""
SUBMIT_S = 30.0
"""Seconds for sbatch: a job that it may have made all the same is looked for by name."""

_SILENT = re.compile(
    r"unable to contact|munge|authentication error|timed out|zero bytes|missing socket"
    r"|connection (refused|failure|timed)|could not establish a configuration source"
    r"|no controllers|transport endpoint|unable to establish",
    re.IGNORECASE,
)
"""How a client says that it could not speak with SLURM."""
_MUNGE = re.compile(r"munge (en|de)code failed", re.IGNORECASE)

_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
_DROPPED = (
    *("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_"),
    *("SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_", "SCONTROL_"),
)


@dataclass(frozen=True)
class Said:
    """What a client answered."""

    lines: list[str] = field(default_factory=list)
    """Its output without empty lines and outer blanks."""
    error: str = ""
    """Why there is no answer, in a line; "" if there is."""
    silent: bool = False
    """It was no answer of SLURM's: the controller, munge or the network did not let one through."""
    stderr: str = ""
    """All that it complained of, if there is no answer."""

    @property
    def no_munge(self) -> bool:
        """munge on this machine did not work: no other client would get further."""
        return _MUNGE.search(self.error) is not None


@dataclass(frozen=True)
class Cluster:
    """What the controller says of itself."""

    name: str
    """ "" if it does not answer."""
    hides_others: bool = False
    """It shows nobody the jobs of another user (PrivateData)."""
    most: int | None = None
    """Elements that a job array may have (MaxArraySize); None: it does not tell."""
    silence: str = ""
    """Why it does not answer, if it was not reached; in a line."""


def ask(*words: str, timeout: float | None = None) -> Said:
    """Call a client and wait for its answer, at most `timeout` (TIMEOUT_S) seconds."""
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
        return Said(error=said or f"{words[0]}: nothing in {limit:g} s", silent=True)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        why = "not installed here" if missing else error.strerror
        return Said(error=f"{words[0]}: {why}")
    if done.returncode:
        complaints = done.stderr.decode(errors="replace")
        said = reason(complaints) or f"{words[0]}: exit code {done.returncode}"
        silent = _SILENT.search(complaints) is not None
        return Said(error=said, silent=silent, stderr=complaints)
    lines = done.stdout.decode(errors="replace").splitlines()
    return Said([line.strip() for line in lines if line.strip()])


def submit(script: Path) -> Said:
    """Call sbatch with a script."""
    return ask("sbatch", str(script), timeout=SUBMIT_S)


def order(*words: str) -> Said:
    """`ask`, with the patience that an order needs."""
    return ask(*words, timeout=ORDER_S)


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """What a client is given of `env`."""
    found = {k: v for k, v in env.items() if k in _KEPT or not k.startswith(_DROPPED)}
    chosen = found.pop("SBATCH_CLUSTERS", None)
    if chosen:  # or the jobs would be looked for where they were not sent
        found.setdefault("SLURM_CLUSTERS", chosen)
    return found


def cluster(patience: float | None = None) -> Cluster:
    """The cluster whose clients these are, asked for at most `patience` (TIMEOUT_S) seconds."""
    said = ask("scontrol", "show", "config", timeout=patience)
    config = pairs(said.lines)
    hides = "jobs" in config.get("PrivateData", "").lower().split(",")
    own = "" if os.environ.get("SLURM_CLUSTERS") else os.environ.get("SLURM_CLUSTER_NAME", "")
    size = config.get("MaxArraySize", "")
    most = int(size) if size.isdecimal() else None
    silence = said.error if said.silent else ""
    return Cluster(config.get("ClusterName") or own, hides, most, silence)


def pairs(lines: Sequence[str]) -> dict[str, str]:
    """`scontrol show config`'s lines as a mapping."""
    split = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in split}


def reason(complaints: str) -> str:
    """The line of a client's complaints that tells most: munge's, else the last; "" without any."""
    munge = [line.strip() for line in complaints.splitlines() if _MUNGE.search(line)]
    return munge[-1] if munge else last_line(complaints)


def last_line(text: str) -> str:
    """What a program or an exception says in the end; "" if it says nothing."""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
