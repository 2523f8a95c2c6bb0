"""Run all checks one after the other, and write the certificate."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.certify import checks, papers
from harness.errors import HarnessError
from harness.launch.protocol import Testbed
from harness.site import Site
from harness.spec.registry import trackers
from harness.store import certificate, submission
from harness.store.certificate import Certificate, Check
from harness.store.edition import edition


def work_folder(runs: Path) -> Path:
    """Folder for the runs of this edition's checks."""
    return runs / certificate.FOLDER / f"runs-{edition('pretrain', 'moco')}"


def certify(
    testbed: Testbed, site: Site, on_check: Callable[[Check], object]
) -> tuple[Certificate, Path]:
    """Run all checks; returns the certificate and its path.

    The short runs are removed if all checks passed. The long ones are kept and resumed next time.

    Args:
        on_check: called with each check's outcome.

    Raises:
        StoreError: the run root cannot be written.
    """
    folder = work_folder(site.runs.absolute())
    short = folder / submission.new_id()
    (short / "recipes").mkdir(parents=True)
    inner, long = replace(site, runs=short), replace(site, runs=folder / "long")
    tries: dict[str, Callable[[], Check | list[Check]]] = {
        "1 = N processes, float64": lambda: checks.float64(testbed, inner, short / "float64"),
        "1 = N processes, stages": lambda: checks.float32(testbed, inner, short / "recipes"),
        "kill and requeue": lambda: checks.requeue(testbed, inner, short / "recipes"),
        "CIFAR-10 demo": lambda: papers.demo(testbed, long),
        "released weights": lambda: papers.released(testbed, long),
    }
    found: list[Check] = []
    with _unmirrored():
        for name, tried in tries.items():
            try:
                outcome = tried()
            except (HarnessError, OSError) as error:
                outcome = Check(name, "failed", str(error))
            for check in outcome if isinstance(outcome, list) else [outcome]:
                found.append(check)
                on_check(check)
    made = _certificate(testbed, inner, found)
    path = certificate.write(site.runs, made)
    if not any(check.outcome == "failed" for check in found):
        shutil.rmtree(short, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
    return made, path


def _certificate(testbed: Testbed, site: Site, found: list[Check]) -> Certificate:
    record: dict[str, Any] = checks.attempt(site)
    machine, packages = record.get("machine") or {}, record.get("packages") or {}
    backend = "none" if testbed.processes == 1 else "nccl" if testbed.cuda else "gloo"
    return Certificate(
        edition=edition("pretrain", "moco"),
        hardware={
            "device": str(machine.get("device", "unknown")),
            "cpu": str(machine.get("cpu", "unknown")),
            "nodes": testbed.nodes,
            "processes": testbed.processes,
            "backend": backend,
        },
        versions={"python": str(record.get("python", "unknown")), **packages},
        checks=tuple(found),
        when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


@contextlib.contextmanager
def _unmirrored() -> Iterator[None]:
    """Context in which no tracker receives the runs, as they are no results."""
    off = dict(tracker.off for tracker in trackers().values())
    before = {name: os.environ[name] for name in off if name in os.environ}
    os.environ.update(off)
    try:
        yield
    finally:
        for name in off:
            os.environ.pop(name, None)
        os.environ.update(before)
