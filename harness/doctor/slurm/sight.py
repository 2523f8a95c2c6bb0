"""Which folders a node can see, checked by a job that needs none of them.

A job whose log cannot be opened leaves only its end state. This job writes nothing: its result is
its exit code.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from harness.doctor.finding import Finding, problem, warning
from harness.errors import StoreError
from harness.launch.job_states import is_live
from harness.launch.slurm import clients
from harness.launch.slurm.site import SlurmSite
from harness.store import atomic
from harness.temporary import temporary_folder

POLL_S = 1.0
WAIT_S = 120.0
"""Seconds after which a job that does not end is given up: its node may be down."""
LOOKED = 64
"""Part of the exit code that shows that the check ran."""
_QUESTIONS = (
    (1, '[ -d "$runs" ]'),
    (2, 'probe="$runs/.doctor.$SLURM_JOB_ID"; { : > "$probe"; } 2>/dev/null && rm "$probe"'),
    (4, '[ -x "$python" ]'),
    (8, '"$python" -c "import submitit" 2>/dev/null'),
    (16, '[ -z "$mark" ] || { ls "$runs" >/dev/null 2>&1; [ -e "$mark" ]; }'),
)
"""Added to the exit code for each check of the shell that fails."""


def findings(own: SlurmSite, runs: Path, node: str) -> Iterator[Finding]:
    """Findings about folders of this machine that the node does not see.

    Args:
        own: how jobs are requested.
        node: the node to check; "": any node on which the job starts.
    """
    where = node or "a node"
    try:
        code = _ask(own, runs, node)
    except StoreError as error:
        yield problem("TMPDIR", str(error))
        return
    if code is None or not code & LOOKED:
        yield warning("sight", f"could not check what {where} sees of the run root")
    elif code & 1:
        yield problem(
            "run root on node",
            f"{where} cannot see {runs}: set runs: in the site file to a folder that all nodes see",
        )
    elif code & 16:
        yield problem(
            "run root on node",
            f"{where} has a different folder with the path {runs}, perhaps on a local disk: set "
            "runs: in the site file to a folder that all nodes share",
        )
    elif code & 2:
        yield problem(
            "run root on node",
            f"{where} cannot write to {runs}: free some space if its disk is full, or set runs: "
            "in the site file to a folder that all nodes can write to",
        )
    if code is not None and code & 4:
        yield problem(
            "python on node",
            f"{where} cannot see or start {sys.executable}: move the environment that calls run "
            "to a folder that all nodes see",
        )
    elif code is not None and code & 8:
        yield problem(
            "python on node",
            f"{sys.executable} does not find its libraries on {where}: the whole environment, and "
            "the Python behind it, must be on a folder that all nodes see",
        )


def _ask(own: SlurmSite, runs: Path, node: str) -> int | None:
    """The exit code of the job that checked; None if there is none."""
    asks = {
        **{name: value for name, value in own.extra.items() if value is not False},
        "partition": own.partition,
        "account": own.account,
        "qos": own.qos,
        "constraint": own.constraint,
        "job-name": "moco-doctor",
        "time": 5,
        "nodes": 1,
        "ntasks": 1,
        "gpus-per-node": own.gpus_per_node or None,
        "output": "/dev/null",
        "chdir": "/",
        **({"nodelist": node} if node else {}),
    }
    options = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in asks.items()
        if value is not None
    ]
    with _marked(runs) as mark, temporary_folder() as folder:
        names = {"runs": str(runs), "mark": mark, "python": sys.executable}
        lines = ["#!/bin/bash", *(f"{name}={shlex.quote(text)}" for name, text in names.items())]
        lines.append(f"code={LOOKED}")
        lines += [f"{asked} || (( code |= {bit} ))" for bit, asked in _QUESTIONS]
        script = folder / "look.sh"
        text = "\n".join([*lines, "exit $code\n"])
        atomic.write(script, lambda file: file.write(text.encode()))
        said = clients.order("sbatch", "--parsable", *options, str(script))
        job = said.lines[-1].partition(";")[0] if said.lines else ""
        return _code(job) if job.isdecimal() else None


@contextlib.contextmanager
def _marked(runs: Path) -> Iterator[str]:
    """A new file in the run root, by which a node recognises this folder among others of the same
    name; "" if it cannot be made."""
    mark = runs / f".doctor.{secrets.token_hex(4)}"
    try:
        mark.touch(exist_ok=False)
    except OSError:
        yield ""
        return
    try:
        yield str(mark)
    finally:
        with contextlib.suppress(OSError):
            mark.unlink()


def _code(job: str) -> int | None:
    """The exit code of a job once it is over; None if unknown. The job is cancelled if it takes too
    long, or if the caller is interrupted."""
    until = time.monotonic() + WAIT_S
    try:
        while time.monotonic() < until:
            said = clients.ask("scontrol", "--oneliner", "show", "job", job)
            words = dict(w.split("=", 1) for line in said.lines for w in line.split() if "=" in w)
            if "JobState" not in words:
                return None
            if not is_live(words["JobState"]):
                code = words.get("ExitCode", "").partition(":")[0]
                return int(code) if code.isdecimal() else None
            time.sleep(POLL_S)
    except BaseException:
        clients.order("scancel", job)
        raise
    clients.order("scancel", job)
    return None
