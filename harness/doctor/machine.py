"""Whether a machine has what runs need: places to read and write, PyTorch, devices, W&B."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import harness
from harness import interpreter
from harness.command import Commands
from harness.doctor.finding import Finding, ok, problem, warning
from harness.errors import RecipeError, StoreError, cannot_be_read
from harness.site import Site
from harness.store import atomic, provenance
from harness.track import mode

LITTLE_GB = 20.0
"""Free space below which a long pre-training's checkpoints may not fit."""
PROBE_S = 300.0


def look(site: Site) -> Iterator[Finding]:
    """What can be told from here about the places, Python and W&B."""
    yield _runs(site.runs)
    yield _data(site.data)
    version = ".".join(map(str, sys.version_info[:3]))
    yield ok("python", f"{version}, {sys.executable}; harness of {Path(harness.__file__).parent}")
    yield _code()
    yield _wandb(sync_of(site))


def _runs(runs: Path) -> Finding:
    probe = runs / f".doctor.{secrets.token_hex(4)}"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        atomic.write_json(probe, {})
        probe.unlink()
        free = shutil.disk_usage(runs).free / 1e9
    except (OSError, StoreError) as error:
        reason = str(error) if isinstance(error, StoreError) else atomic.explain(error, runs)
        return problem("run root", str(reason))
    if free < LITTLE_GB:
        return warning("run root", f"{runs}: writable, but only {free:.1f} GB free; make room")
    return ok("run root", f"{runs}: writable, {free:,.0f} GB free")


def _data(data: Path) -> Finding:
    try:
        names = sorted(p.name for p in data.iterdir() if not p.name.startswith("."))
    except FileNotFoundError:
        return warning(
            "data root",
            f"{data}: not there; a run makes it for data that it downloads, but ImageNet has to be "
            "in it: say where with data: in the site file",
        )
    except OSError as error:
        return problem("data root", cannot_be_read(error, data))
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return ok("data root", f"{data}: {shown or 'empty'}")


def _code() -> Finding:
    """Whether results will name the commit of their code."""
    known, _ = provenance.code()
    if known["commit"] is not None:
        changed = ", with uncommitted changes" if known["dirty"] else ""
        return ok("code", f"commit {known['commit'][:12]}{changed}")
    says = f"results will name no commit: {known.get('why') or 'no reason given'}"
    return (warning if provenance.is_checkout() else ok)("code", says)


def sync_of(site: Site) -> str:
    """The command that uploads what is not in W&B yet."""
    return Commands(site.runs, site.file).line("sync")


def _wandb(sync: str) -> Finding:
    try:
        chosen = mode.decide()
    except RecipeError as error:
        return problem("wandb", str(error))
    if chosen == "online":
        return ok("wandb", f"online, to {mode.server()}, project {mode.project()}")
    why = {"offline": "no key, or asked for", "disabled": "as asked for"}[chosen]
    later = f"; `wandb login`, and `{sync}` later uploads" if chosen == "offline" else ""
    return ok("wandb", f"{chosen} ({why}){later}")


def probe_here() -> dict[str, Any] | str:
    """What the probe finds on this machine, in a process of its own; or why it found nothing."""
    with tempfile.TemporaryDirectory() as folder:
        words = interpreter.command("harness.doctor.probe", folder)
        try:
            done = subprocess.run(
                words, capture_output=True, timeout=PROBE_S, env=interpreter.environment()
            )
        except subprocess.TimeoutExpired:
            return f"importing PyTorch and looking for devices took more than {PROBE_S:g} s"
        answer = Path(folder) / "answer.json"
        if not answer.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            return said[-1] if said else f"exit code {done.returncode}"
        found: dict[str, Any] = json.loads(answer.read_text())
        return found


def judge(found: Mapping[str, Any], *, gpus: int, device: str) -> Iterator[Finding]:
    """The probe's answer as findings.

    Args:
        gpus: how many the site asks for; 0: none.
        device: the site's.
    """
    where = found["host"]
    if found["error"]:
        yield problem("torch", f"on {where}: {found['error']}; mend slurm.setup or the environment")
        return
    yield ok("torch", f"{found['torch']} on {where}, Python {found['python']}")
    seen, names = found["gpus"], ", ".join(dict.fromkeys(found["names"]))
    if device == "cpu" or not (gpus or seen or device.startswith("cuda")):
        yield ok("devices", f"the CPU, {found['cores']} cores ({found['cpu']})")
    elif seen < max(1, gpus):
        yield problem(
            "devices",
            f"PyTorch sees {seen} GPUs on {where}, not {max(1, gpus)}: check the driver, that this "
            "PyTorch is a CUDA build, and slurm.gpus_per_node",
        )
    else:
        yield ok("devices", f"{seen} GPUs: {names}")
    if seen > 1 and device != "cpu" and not found["nccl"]:
        yield problem("NCCL", f"this PyTorch has none, so GPUs cannot share a run on {where}")
    elif seen and device != "cpu":
        yield ok("NCCL", "available" if found["nccl"] else "not needed by one GPU")


def judge_network(found: Mapping[str, Any], sync: str = "moco-harness sync") -> Finding:
    """Whether W&B can be reached from where the probe ran."""
    if not mode.online() or found["wandb"]:
        return ok("network", f"{found['host']} reaches W&B" if found["wandb"] else "not needed")
    return warning(
        "network",
        f"{found['host']} does not reach {mode.server()}: runs are recorded, and "
        f"`{sync}` on a machine with network uploads them",
    )
