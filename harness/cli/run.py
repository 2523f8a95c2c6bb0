"""`moco-harness run`: plan, run what is missing, report."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.markup import escape

from harness import command
from harness.cli import show
from harness.errors import HarnessError, NoData, StoreError
from harness.estimate import computer
from harness.inputs import Inputs
from harness.plan import Plan
from harness.presence import look_for
from harness.site import Site
from harness.store import atomic, provenance
from harness.store.layout import stage_folder

INTERRUPTED = 130
FAILED = 1
UNMEASURED_IMAGES = 2_000_000
"""Images to pass through that `run` begins unasked on a machine that has measured nothing alike."""


def run_command(
    path: Path,
    sets: Sequence[str],
    site: Site,
    *,
    ask: bool,
    again: bool = False,
    added: Mapping[str, Sequence[int]] | None = None,
    dry: bool = False,
) -> int:
    """Run what is missing of the recipe here; returns the exit code.

    With `dry` it only shows the plan.

    0: all is done. 1: a run failed or is being run by another process. 130: stopped on request.

    Raises:
        HarnessError: the recipe, the data or the disk do not allow it.
    """
    from harness.launch.outlook import look

    on = computer(site.device, site.processes)
    inputs = Inputs(site.data, site.runs)
    made = look(path, sets, site.runs, again=again, added=added, on=on, inputs=inputs).plan
    show.plan(made, site, inputs)
    refused = [stage for stage in made.stages if stage.action == "refuse"]
    if refused:
        raise StoreError(refused[0].why)
    busy = [stage.id for stage in made.stages if stage.action == "busy"]
    if dry:
        return 0
    if not made.todo:
        if busy:
            _left(busy)
        else:
            show.nothing_to_do(made)
        return report(made, site) or (FAILED if busy else 0)
    if ask:
        ask_long(made, site)
    writable(site.runs)
    code = _work(made, site)
    reported = report(made, site)
    return code or reported or (FAILED if busy else 0)


def tell_no_commit() -> None:
    """Note that the results will name no commit, where there is a checkout that has one."""
    if provenance.is_checkout() and (why := provenance.why_no_commit()):
        show.line(f"note: results will name no commit: {why}", "yellow")


def _work(made: Plan, site: Site) -> int:
    tell_no_commit()
    show.line("loading PyTorch ...")
    from harness.launch.here import run_here
    from harness.launch.progress import watching
    from harness.launch.signals import StopFlag
    from harness.track.follow import start

    followers = start(site.runs, [stage.id for stage in made.todo])
    with StopFlag() as stopping, watching(show.console, len(made.todo)) as reporter:
        try:
            tally = run_here(made, site, reporter, stopping)
        except KeyboardInterrupt:
            show.line("stopped at once; the same command goes on from the last checkpoint")
            return INTERRUPTED
    if followers.warning:
        show.line(f"note: {followers.warning}")
    for stage_id, message in tally.failed:
        show.console.print(f"[red]failed:[/] {escape(stage_id)}: {escape(message)}")
        show.line(f"  what is known of it: {site.runs / stage_id}/attempts/")
    for message in filter(None, tally.elsewhere.values()):
        show.line(message)
    left = [s.id for s in made.stages if s.action == "busy" or s.id in tally.elsewhere]
    if left := [id_ for id_ in left if stage_folder(site.runs, id_).result is None]:
        _left(left)
    if tally.interrupted:
        show.line("stopped; the same command goes on from here")
        return INTERRUPTED
    return tally.exit_code


def _left(stages: list[str]) -> None:
    whose = f"{show.count(len(stages), 'stage')} left to another process: {show.named(stages)}"
    show.line(f"{whose}; run again when it has finished")


def report(made: Plan, site: Site) -> int:
    """Write the report; returns the exit code."""
    from harness.cli.report import report_command

    try:
        report_command(made, site, None)
    except HarnessError as error:
        show.line(f"the report could not be written: {error}")
        return FAILED
    return 0


def ask_long(made: Plan, site: Site) -> None:
    """Before work that is long, or may be."""
    if made.hours is not None:
        if made.hours > site.ask_above_hours:
            refuse_without_data(made, site)
            confirm(f"about {show.duration(made.hours * 3600)}")
    elif made.images is None or made.images > UNMEASURED_IMAGES:
        refuse_without_data(made, site)
        confirm("an unknown amount")


def refuse_without_data(made: Plan, site: Site) -> None:
    """Raise NoData if something that no run fetches is not under the data root: nobody should be
    asked to agree to work that cannot begin."""
    lacking = [
        found.says
        for found in look_for((s.recipe for s in made.todo), site.data)
        if not found.there and not found.comes
    ]
    if lacking:
        raise NoData("\n".join(lacking))


def confirm(about: str) -> None:
    """Ask whether to begin so much work; without a terminal, refuse it."""
    if not sys.stdin.isatty():
        line = command.present(None, "--yes")
        raise HarnessError(f"this is {about} of work; say --yes to begin it unasked: {line}")
    import typer

    if not typer.confirm(f"This is {about} of work. Begin?"):
        raise typer.Exit(0)


def writable(runs: Path) -> None:
    """Raise a StoreError unless the run root can be written."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
        probe = runs / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise atomic.explain(error, runs, "--runs") from error
