"""`moco-harness doctor`: does the site file fit this machine and its cluster?"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.markup import escape

from harness.cli import show
from harness.doctor import cluster, machine
from harness.doctor.finding import Finding, ok, problem, warning
from harness.errors import RecipeError
from harness.site import Site, load_site

_STYLE = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor_command(site: Path | None, runs: Path | None, data: Path | None, *, submit: bool) -> int:
    """Print a line for each finding; returns 1 if there is a problem, else 0."""
    try:
        where = load_site(runs=runs, data=data, site=site)
    except RecipeError as error:
        return _print([problem("site file", str(error))])
    return _print(_look(where, site, submit))


def _look(where: Site, named: Path | None, submit: bool) -> Iterator[Finding]:
    yield _site(where, named)
    for note in where.notes:
        yield warning("site file", note)
    yield from machine.look(where)
    if where.slurm is None or not submit:
        # a login node computes nothing, but has the environment that jobs have
        found = machine.probe_here()
        if isinstance(found, str):
            yield problem("torch", f"{found}; install it anew")
        else:
            alone = where.slurm is None
            yield from machine.judge(
                found,
                gpus=where.processes if alone and where.processes > 1 and found["gpus"] else 0,
                device=where.device if alone else "cpu",
            )
            if alone:
                yield machine.judge_network(found, machine.sync_of(where))
    if where.slurm is None:
        return
    findings = list(cluster.look(where.slurm))
    yield from findings
    if not submit:
        yield ok("nodes' inside", "not looked at; --submit sends a short job")
    elif any(found.level == "problem" for found in findings):
        yield warning("job", "not sent, as it would not run; mend what is above first")
    else:
        from harness.doctor import job

        yield from job.look(where, where.slurm, lambda text: show.line(f"  {text}", "dim"))


def _site(where: Site, named: Path | None) -> Finding:
    if where.slurm is not None:
        return ok("site file", "valid, with a slurm section: run submits jobs")
    if shutil.which("sbatch") is not None:
        gpus = cluster.most_gpus()
        least = f"slurm: {{gpus_per_node: {gpus}}}" if gpus else "slurm: {}"
        return warning(
            "site file",
            "has no slurm section, so run runs here, though this machine submits jobs; say "
            f"at least `{least}`",
        )
    said = "valid" if named is not None else "none named"
    return ok("site file", f"{said}, no slurm section: run runs here")


def _print(findings: Iterable[Finding]) -> int:
    code = 0
    for found in findings:
        level = f"[{_STYLE[found.level]}]{found.level:<7}[/]"
        says = escape(found.says)
        show.console.print(f"{level}  {escape(found.about):<13} {says}", soft_wrap=True)
        code = code or int(found.level == "problem")
    return code
