"""Checks of a machine: folders to read and write, PyTorch, devices, trackers."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import harness
from harness import interpreter
from harness.command import Commands
from harness.data_roots import each
from harness.doctor.finding import Finding, ok, problem, warning
from harness.errors import HarnessError, StoreError, cannot_be_read
from harness.site import Site
from harness.spec.declarations import Tracker
from harness.spec.registry import trackers
from harness.store import atomic, provenance
from harness.temporary import temporary_folder
from harness.track import feed
from harness.track.protocol import TrackerError

LITTLE_GB = 20.0
"""Free space below which a long pre-training's checkpoints may not fit."""
PROBE_S = 300.0


def findings(site: Site) -> Iterator[Finding]:
    """Findings about the folders, Python and the trackers, as seen from this machine."""
    yield _runs(site.runs)
    for root in each(site.data):
        yield _data(root)
    version = ".".join(map(str, sys.version_info[:3]))
    yield ok("python", f"{version}, {sys.executable}; harness of {Path(harness.__file__).parent}")
    yield _code()
    try:
        declared = trackers()
    except HarnessError as error:
        yield problem("trackers", str(error))
        return
    for tracker in declared.values():
        yield _tracker(tracker, sync_of(site))


def _runs(runs: Path) -> Finding:
    probe = runs / f".doctor.{secrets.token_hex(4)}"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        atomic.write_json(probe, {})
        probe.unlink()
        free = shutil.disk_usage(runs).free / 1e9
    except (OSError, StoreError) as error:
        reason = str(error) if isinstance(error, StoreError) else atomic.write_error(error, runs)
        return problem("run root", str(reason))
    if free < LITTLE_GB:
        return warning(
            "run root", f"{runs}: writable, but only {free:.1f} GB free; free some space"
        )
    return ok("run root", f"{runs}: writable, {free:,.0f} GB free")


def _data(data: Path) -> Finding:
    try:
        names = sorted(p.name for p in data.iterdir() if not p.name.startswith("."))
    except FileNotFoundError:
        return warning(
            "data root",
            f"{data}: does not exist; a run creates it for downloads, but ImageNet must be in it "
            "already: set data: in the site file",
        )
    except OSError as error:
        return problem("data root", cannot_be_read(error, data))
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return ok("data root", f"{data}: {shown or 'empty'}")


def _code() -> Finding:
    """Whether results will record the commit of their code."""
    known, _ = provenance.code()
    if known["commit"] is not None:
        changed = f", {said}" if (said := provenance.changes(known)) else ""
        if known["dirty"] is None:
            return warning("code", f"commit {known['commit'][:12]}{changed}: {known['why']}")
        return ok("code", f"commit {known['commit'][:12]}{changed}")
    says = f"results will not name a commit: {known.get('why') or 'no reason given'}"
    return (warning if provenance.is_checkout() else ok)("code", says)


def sync_of(site: Site) -> str:
    """The command that uploads data that the trackers do not have yet."""
    return Commands(site.runs, site.file).line("sync")


def _tracker(tracker: Tracker, sync: str) -> Finding:
    try:
        found = feed.access(tracker)
    except (HarnessError, TrackerError) as error:
        return problem(tracker.kind, str(error))
    if found.mode == "online":
        to = f"to {found.server}" if found.server else ""
        project = f"project {found.project}" if found.project else ""
        return ok(tracker.kind, ", ".join(filter(None, ("online", to, project))))
    why = f" ({found.why})" if found.why else ""
    later = f"; `{sync}` uploads later" if found.mode == "offline" else ""
    return ok(tracker.kind, f"{found.mode}{why}{later}")


def probe_here() -> dict[str, Any] | str:
    """The probe's answer for this machine, run in its own process; or why there is none.

    Raises:
        StoreError: there is no folder for temporary files.
    """
    with temporary_folder() as folder:
        words = interpreter.command("harness.doctor.probe", str(folder))
        try:
            done = subprocess.run(
                words, capture_output=True, timeout=PROBE_S, env=interpreter.environment()
            )
        except subprocess.TimeoutExpired:
            return f"importing PyTorch and listing devices took more than {PROBE_S:g} s"
        answer = folder / "answer.json"
        if not answer.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            return said[-1] if said else f"exit code {done.returncode}"
        found: dict[str, Any] = json.loads(answer.read_text())
        return found


def judge(found: Mapping[str, Any], *, gpus: int, device: str) -> Iterator[Finding]:
    """Convert the probe's answer to findings.

    Args:
        gpus: how many the site requests; 0: none.
        device: the site's.
    """
    where = found["host"]
    if found["error"]:
        yield problem(
            "torch", f"on {where}: {found['error']}; correct slurm.setup or the environment"
        )
        return
    yield ok("torch", f"{found['torch']} on {where}, Python {found['python']}")
    index = device.rpartition(":")[2]
    wanted = max(1, gpus, int(index) + 1 if index.isdecimal() else 0)
    seen, names = found["gpus"], ", ".join(dict.fromkeys(found["names"]))
    if device == "cpu" or not (gpus or seen or device.startswith("cuda")):
        yield ok("devices", f"the CPU, {found['cores']} cores ({found['cpu']})")
    elif seen < wanted:
        yield problem(
            "devices",
            f"PyTorch sees {seen} GPUs on {where}, not {wanted}: check the driver, that this "
            "PyTorch is a CUDA build, and the site file's device and slurm.gpus_per_node",
        )
    else:
        yield ok("devices", f"{seen} GPUs: {names}")
    if seen > 1 and device != "cpu" and not found["nccl"]:
        yield problem("NCCL", f"this PyTorch has no NCCL, so GPUs cannot share a run on {where}")
    elif seen and device != "cpu":
        yield ok("NCCL", "available" if found["nccl"] else "not needed for one GPU")


def judge_network(found: Mapping[str, Any], sync: str = "moco-harness sync") -> Finding:
    """Whether trackers that need the network can be reached from where the probe ran."""
    host, reached = found["host"], found["reached"]
    wanted = [(t, access.server) for t, access in feed.online() if access.server]
    if lost := [server for tracker, server in wanted if not reached.get(tracker.kind)]:
        return warning(
            "network",
            f"{host} cannot reach {' and '.join(lost)}: runs are recorded; to upload them, call "
            f"`{sync}` on a machine with network",
        )
    titles = " and ".join(tracker.title for tracker, _ in wanted)
    return ok("network", f"{host} reaches {titles}" if titles else "not needed")
