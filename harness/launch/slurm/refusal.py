"""Messages for submissions that SLURM refuses: why, what was submitted before, what to change."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence

from harness.errors import HarnessError
from harness.launch.job_states import never_starts
from harness.launch.slurm.clients import Cluster
from harness.launch.slurm.queue import QueueAnswer
from harness.launch.slurm.site import SlurmSite
from harness.store.submission import Array, Submission

_SIZE = "gpus_per_node, mem_gb, cpus_per_process, nodes, constraint"
_FIELDS = {
    r"job array": "max_array",
    r"partition (name|specified)|access.*partition": "partition",
    r"qos(?!.*limit)": "qos",
    r"account(?!ing)": "account",
    r"feature": "constraint",
    r"time ?limit": "hours.{kind}",
    r"memory": "mem_gb",
    r"gres|generic resource": "gpus_per_node",
    r"node ?config|node ?count|node ?limit|cpu count|badconstraints": _SIZE,
    r"partitionconfig": f"{_SIZE}, hours.{{kind}}",
}
"""SLURM's error messages, and the fields of the site file that they are about."""
_TOO_MANY = re.compile(r"submit ?limit|job limit|submitjob|maxsubmit", re.IGNORECASE)
"""SLURM's message if the user has too many jobs; the same as for one job that is too large."""


def refuse_in_advance(own: SlurmSite, arrays: Sequence[Array], cluster: Cluster) -> None:
    """Raise a HarnessError if it is already known that nothing will be submitted."""
    if cluster.silence:
        raise HarnessError(
            f"SLURM does not answer: {cluster.silence}. Nothing was submitted. Its controller, or "
            "munge on this machine, may be down: try again later, or ask your administrators"
        )
    largest = max(len(array.stages) for array in arrays)
    # 0: no arrays; a job that is alone is not submitted as one
    if cluster.most is not None and largest > (most := max(1, cluster.most)):
        raise HarnessError(
            f"slurm.max_array of the site file is {own.max_array}, so an array would have "
            f"{largest} elements, but this cluster allows {most} (MaxArraySize is "
            f"{cluster.most}): lower it to {most}. Nothing was submitted"
        )


def refusal_text(record: Submission, n: int, why: str, own: SlurmSite, *, refused: bool) -> str:
    """The message for a submission that stopped at its array number `n`.

    Args:
        why: sbatch's message.
        refused: SLURM refused it; else SLURM did not answer, and there may be a job.
    """
    array = record.arrays[n]
    what = f"{array.kind}, {len(array.stages)} stages" if array.stages else "the report"
    before = sum(len(each.stages) for each in record.arrays[:n])
    left = sum(len(each.stages) for each in record.arrays[n:])
    done = "Nothing was submitted"
    if n:
        done = f"{n} earlier arrays were submitted ({before} stages); {left} stages were not"
    elif not refused:
        done = "No earlier array was submitted"
    if not refused:
        return (
            f"SLURM does not answer ({what}): {why}. {done}. Run again later; jobs that SLURM "
            "created are then found by name"
        )
    mend = "Correct the site file, and run again"
    if _TOO_MANY.search(why):
        mend = (
            "If you have too many jobs at a time, run again when some have ended; else request "
            "less in the site file"
        )
    elif fields := _fields(why, own, array.kind):
        mend = f"Correct the site file ({fields}), and run again"
    return f"SLURM refused {what}: {why}. {done}. {mend}"


def never_start(own: SlurmSite, record: Submission, answer: QueueAnswer) -> str:
    """Which accepted jobs SLURM will never start as they were requested; "" if none."""
    arrays = {array.job: array for array in record.arrays}
    lines: dict[str, str] = {}
    for state in answer.jobs.values():
        number = state.job.partition("_")[0]
        if state.live and never_starts(state.reason) and number in arrays:
            kind = arrays[number].kind
            fields = _fields(state.reason, own, kind) or "the section slurm of the site file"
            lines[number] = f"job {number} ({kind}): {state.reason}; see {fields}"
    if not lines:
        return ""
    text = "\n".join(f"  {line}" for line in lines.values())
    every = " ".join(array.job for array in record.arrays if array.job is not None)
    return (
        f"{record.id} was submitted, but SLURM will never start it as requested:\n{text}\nCancel "
        f"it with: scancel {every}\nThen correct the site file, and run again"
    )


def _fields(why: str, own: SlurmSite, kind: str) -> str:
    """The fields of the site file that SLURM's message is about, with their values; "" if none."""
    named = [name for words, name in _FIELDS.items() if re.search(words, why, re.IGNORECASE)]
    paths = dict.fromkeys(path.format(kind=kind) for each in named for path in each.split(", "))
    said = {path: operator.attrgetter(path)(own) for path in paths}
    return ", ".join(
        f"slurm.{path}: {value:g}" if isinstance(value, float) else f"slurm.{path}: {value}"
        for path, value in said.items()
        if value
    )
