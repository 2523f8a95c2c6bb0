"""SLURM's clients as this program calls them: one environment, one time limit, one kind of error.

They are called outside of the job that this process may be in, whose variables sbatch and srun
would obey, and without the user's own defaults for output and filters, which would change what is
read here. What chooses the cluster stays, the same for all of them, and so does what the user wants
of sbatch.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

TIMEOUT_S = 5.0
"""Seconds for a question: without a controller squeue would try for 9."""
ORDER_S = 60.0
"""Seconds for an order: to cancel or requeue."""

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


@dataclass(frozen=True)
class Cluster:
    """What the controller says of itself."""

    name: str
    """ "" if it does not answer."""
    hides_others: bool = False
    """It shows nobody the jobs of another user (PrivateData)."""


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
    except subprocess.TimeoutExpired:
        return Said(error=f"{words[0]}: nothing in {limit:g} s")
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        why = "not installed here" if missing else error.strerror
        return Said(error=f"{words[0]}: {why}")
    if done.returncode:
        said = last_line(done.stderr.decode(errors="replace"))
        return Said(error=said or f"{words[0]}: exit code {done.returncode}")
    lines = done.stdout.decode(errors="replace").splitlines()
    return Said([line.strip() for line in lines if line.strip()])


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


@contextlib.contextmanager
def outside_of_jobs() -> Iterator[None]:
    """`environment` as this process's, for submitit, which calls sbatch by itself."""
    before = dict(os.environ)
    after = environment(before)
    try:
        for name in before.keys() - after.keys():
            del os.environ[name]
        os.environ.update(after)
        yield
    finally:
        for name in after.keys() - before.keys():
            os.environ.pop(name, None)
        os.environ.update(before)


def cluster() -> Cluster:
    """The cluster whose clients these are."""
    config = pairs(ask("scontrol", "show", "config").lines)
    hides = "jobs" in config.get("PrivateData", "").lower().split(",")
    own = "" if os.environ.get("SLURM_CLUSTERS") else os.environ.get("SLURM_CLUSTER_NAME", "")
    return Cluster(config.get("ClusterName") or own, hides)


def pairs(lines: Sequence[str]) -> dict[str, str]:
    """`scontrol show config`'s lines as a mapping."""
    split = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in split}


def last_line(text: str) -> str:
    """What a program or an exception says in the end; "" if it says nothing."""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
