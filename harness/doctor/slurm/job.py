"""Run the probe as a job on a node, requested as a stage's job is."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.data_roots import each
from harness.doctor import machine, probe
from harness.doctor.finding import Finding, ok, problem, warning
from harness.doctor.slurm import sight
from harness.errors import HarnessError
from harness.launch.job_states import JobState
from harness.launch.slurm import remote_task
from harness.launch.slurm.site import SlurmSite
from harness.site import Site
from harness.store import atomic, submission

MINUTES = 10.0


def findings(site: Site, own: SlurmSite, note: Callable[[str], object]) -> Iterator[Finding]:
    """Submit the probe to one node with a stage's requests, wait, and judge its answer.

    Args:
        note: called with what the job waits for.
    """
    folder = submission.folder(site.runs.absolute(), f"doctor-{submission.new_id()}")
    token = secrets.token_hex(8)

    def note_state(state: JobState) -> None:
        because = f" ({state.reason})" if state.reason else ""
        note(f"job {state.job} is {state.state.lower()}{because}")

    try:
        folder.mkdir(parents=True)
        atomic.write(folder / "token.txt", lambda file: file.write(token.encode()))
        words = {"folder": str(folder), "data": str(site.data.absolute())}
        one = own.model_copy(update={"nodes": 1})
        sent = remote_task.send(("probe", words), site, one, folder, minutes=MINUTES)
        remote_task.wait(sent, folder / "answer.json", on_change=note_state)
        found = atomic.read_json(folder / "answer.json")
    except OSError as error:
        yield problem("job", str(atomic.write_error(error, folder)))
        return
    except remote_task.Failed as error:
        yield problem("job", str(error))
        if not error.silent:
            return
        note("checking what a node sees, with a job that needs no shared folder")
        yield from sight.findings(own, site.runs.absolute(), error.node)
        return
    except HarnessError as error:
        yield problem("job", str(error))
        return
    yield ok("job", f"job {sent.array.job} ran on {found['host']}")
    yield _shared(site.runs, found["token"] == token, str(found["host"]), Path(found["harness"]))
    yield from _python(found)
    yield from _modules(own, found)
    yield from machine.judge(found, gpus=own.gpus_per_node, device=site.device)
    if not found["data"] and all(root.is_dir() for root in each(site.data)):
        yield problem(
            "data on node",
            f"{found['host']} cannot see {site.data}: set data: in the site file to a folder that "
            "all nodes see",
        )
    if found["free_gb"] < machine.LITTLE_GB:
        yield warning("disk on node", f"{found['host']}: {found['free_gb']} GB free for runs")
    yield machine.judge_network(found, machine.sync_of(site))
    shutil.rmtree(folder, ignore_errors=True)


def _python(found: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether jobs use the same Python and libraries as this machine."""
    there: Mapping[str, str] = found["computes"]
    differs = [
        f"{what} is {there[what] or 'missing'}, here {mine or 'missing'}"
        for what, mine in probe.python().items()
        if mine != there[what]
    ]
    if differs:
        yield problem(
            "python on node",
            f"{found['host']} has another Python: {'; '.join(differs)}. modules: or setup: in the "
            "site file change it (PYTHONPATH, PYTHONHOME): remove that",
        )


def _modules(own: SlurmSite, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether the modules are loaded: an old `module` reports no error if it fails."""
    loaded = found["modules"]  # None: this `module` does not list them
    wanted = [word for module in own.modules for word in module.split()]
    if loaded is None:
        return
    absent = [w for w in wanted if not any(m == w or m.startswith(f"{w}/") for m in loaded)]
    if absent:
        there = ", ".join(loaded) or "none"
        yield problem(
            "modules",
            f"{', '.join(absent)} (slurm.modules): not loaded on {found['host']}; loaded: {there}",
        )


def _shared(runs: Path, same: bool, host: str, package: Path) -> Finding:
    if not same:
        return problem("shared", f"{host} sees other files in {runs} than this machine does")
    if runs.absolute() not in package.parents:
        return problem(
            "shared",
            f"{host} imports the harness from {package}, not the copy in {runs}: do not change "
            "PYTHONPATH and PYTHONSAFEPATH in slurm.setup",
        )
    return ok("shared", f"{host} reads and writes {runs}, and imports the harness from there")
