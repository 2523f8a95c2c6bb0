"""`moco-harness doctor`: check whether the site file fits this machine and its cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from harness.cli import show
from harness.doctor import machine
from harness.doctor.finding import Examiner, Finding, ok, problem, warning
from harness.errors import RecipeError, StoreError
from harness.launch.selected_launcher import unusable
from harness.site import Site, load_site
from harness.spec.declarations import Launcher
from harness.spec.named_code import call
from harness.spec.registry import launchers

_STYLE = {"ok": "green", "warning": "yellow", "problem": "red"}
BEFORE = len("problem") + 2 + 13 + 1
"""Characters before what a finding says."""


def doctor_command(
    site: Path | None, runs: Path | None, data: Sequence[Path] | None, *, submit: bool
) -> int:
    """Print a line for each finding; returns 1 if there is a problem, else 0."""
    try:
        where = load_site(runs=runs, data=data, site=site)
    except RecipeError as error:
        return _print([problem("site file", str(error))])
    return _print(_findings(where, submit))


def _findings(where: Site, submit: bool) -> Iterator[Finding]:
    yield _site(where)
    for note in where.notes:
        yield warning("site file", note)
    yield from machine.findings(where)
    if where.backend is None or not submit:
        # a login node trains nothing, but has the same environment as jobs
        try:
            yield from _probed(machine.probe_here(), where)
        except StoreError as error:
            yield problem("TMPDIR", str(error))
    examiner = None if where.backend is None else _examiner(launchers()[where.backend.kind])
    if examiner is not None:
        yield from examiner.findings(
            where, lambda text: show.line(f"  {text}", "dim"), submit=submit
        )


def _probed(found: Mapping[str, Any] | str, where: Site) -> Iterator[Finding]:
    """The findings about PyTorch and the devices, from the probe's answer."""
    if isinstance(found, str):
        yield problem("torch", f"{found}; reinstall it")
        return
    alone = where.backend is None
    yield from machine.judge(
        found,
        gpus=where.processes if alone and where.processes > 1 and found["gpus"] else 0,
        device=where.device if alone else "cpu",
    )
    if alone:
        yield machine.judge_network(found, machine.sync_of(where))


def _examiner(declared: Launcher) -> Examiner | None:
    found: Examiner | None = call(declared.examiner) if declared.examiner is not None else None
    return found


def _site(where: Site) -> Finding:
    if where.backend is not None:
        return ok("site file", f"valid, with a {where.backend.kind} section: run submits jobs")
    others = [each for each in launchers().values() if each.section is not None]
    for each in others:
        if not unusable(each) and (examiner := _examiner(each)) is not None:
            return warning(
                "site file",
                f"has no {each.kind} section, so `run` runs on this machine, though it can submit "
                f"jobs; add at least `{examiner.least()}`",
            )
    absent = " or ".join(each.kind for each in others)
    said = "none" if where.read is None else f"{where.read}: valid, no {absent} section"
    return ok("site file", f"{said}: `run` runs on this machine")


def _print(findings: Iterable[Finding]) -> int:
    code = 0
    for found in findings:
        level = f"[{_STYLE[found.level]}]{found.level:<7}[/]"
        lines = show.wrapped(found.says, max(1, show.console.width - BEFORE))
        says = escape(f"\n{' ' * BEFORE}".join(lines))
        show.console.print(f"{level}  {escape(found.about):<13} {says}", soft_wrap=True)
        code = code or int(found.level == "problem")
    return code
