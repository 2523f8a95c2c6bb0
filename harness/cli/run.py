"""`moco-harness run`: its output and questions, for every launcher."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from harness import command
from harness.app import planning
from harness.app.planning import refuse_without_data
from harness.app.progress import Declined, Progress
from harness.app.results import Outcome, Report, Submitted
from harness.app.running import run, run_until_decided
from harness.app.submitting import submit
from harness.cli import show
from harness.cli.report import show_report
from harness.command import Commands
from harness.errors import HarnessError
from harness.inputs import Inputs
from harness.launch.progress import watching
from harness.launch.protocol import Amount, Drafts
from harness.launch.selected_launcher import AUTO, chosen, unusable
from harness.launch.signals import StopFlag
from harness.output import inert
from harness.plan import Plan
from harness.preflight.warned import Preflight
from harness.redact import redact
from harness.site import Site
from harness.spec.registry import DEFAULT_LAUNCHER, launchers
from harness.stage.reporter import Reporter
from harness.store import submission


@dataclass(frozen=True)
class RunOptions:
    """Options of `run`."""

    on: str
    ask: bool
    again: bool
    dry: bool
    most: int | None
    """Maximum number of seeds for cells of undecided claims; None: the recipe's."""
    swept: bool = False
    """Whether the recipe was made by `sweep`."""


def run_command(path: Path, sets: Sequence[str], site: Site, options: RunOptions) -> int:
    """Run or submit what is missing of the recipe; returns the exit code.

    0: all is done or submitted. 1: a run failed or is being run by another process. 130: stopped
    on request.

    Raises:
        HarnessError: the recipe, the data, the site or the disk do not allow it.
    """
    on = chosen(options.on, site)
    if options.on == AUTO and site.backend is not None and on.kind != site.backend.kind:
        why = unusable(launchers()[site.backend.kind])
        show.line(f"note: {why}, so it runs here, not as the site file says")
    progress = PrintedProgress(site, as_option=options.swept or bool(sets))
    try:
        if options.most is not None:
            if not on.attached:
                raise HarnessError(
                    "--seeds-until-decided judges results between runs; add --on "
                    f"{DEFAULT_LAUNCHER}"
                )
            if options.dry:
                raise HarnessError(
                    "--seeds-until-decided cannot be combined with --dry-run: its plan depends on "
                    "results"
                )
            return run_until_decided(
                path,
                options.most,
                site,
                sets=sets,
                again=options.again,
                ask=options.ask,
                on=on.kind,
                progress=progress,
            ).exit_code
        if not on.attached:
            return submit(
                path,
                site,
                on=on.kind,
                sets=sets,
                again=options.again,
                ask=options.ask,
                dry=options.dry,
                progress=progress,
            ).exit_code
        if options.dry:
            inputs = Inputs(site.data, site.runs)
            plan = planning.plan(
                path, site, sets=sets, again=options.again, on=on.kind, inputs=inputs
            )
            progress.planned(plan, inputs.unfinished)
            progress.warned(planning.preflight(plan, site))
            show.refusal(lambda: planning.refuse_as_run(plan, site, on.kind))
            return 0
        return run(
            path,
            site,
            sets=sets,
            again=options.again,
            ask=options.ask,
            on=on.kind,
            progress=progress,
        ).exit_code
    except Declined:
        return 0


class PrintedProgress(Progress):
    """Prints progress and asks questions."""

    def __init__(self, site: Site, *, as_option: bool = False) -> None:
        self._site, self._as_option = site, as_option

    def planned(self, plan: Plan, unfinished: Sequence[str]) -> None:
        show.plan(plan, self._site, unfinished)

    def warned(self, found: Preflight) -> None:
        show.preflight(found, as_option=self._as_option)

    def drafts(self, plan: Plan, drafts: Drafts) -> None:
        del plan
        _drafts(drafts)

    def confirm(self, plan: Plan, amount: Amount) -> bool:
        if amount.unit == "hours":
            took = None if amount.hours is None else show.duration(amount.hours * 3600)
            return confirm(UNKNOWN if took is None else f"about {took} of work")
        # the user may know that the nodes have data which is absent here
        if not (amount.here or sys.stdin.isatty()):
            refuse_without_data(plan, self._site)
        return confirm(UNKNOWN if amount.hours is None else f"{_amount(amount)} of work")

    def begins(self, plan: Plan) -> None:
        del plan
        show.line("loading PyTorch ...")

    @contextmanager
    def working(self, stages: int) -> Iterator[tuple[Reporter, Callable[[], bool]]]:
        with StopFlag() as stopping, watching(show.console, stages) as reporter:
            yield reporter, stopping

    def note(self, text: str) -> None:
        show.line(f"note: {text}", "yellow")

    def say(self, text: str) -> None:
        show.line(text)

    def ended(self, outcome: Outcome) -> None:
        if outcome.tally is None:
            show.line("stopped at once; the same command resumes from the last checkpoint")
            return
        for stage_id, message in outcome.tally.failed:
            show.console.print(f"[red]failed:[/] {escape(stage_id)}: {escape(message)}")
            show.line(f"  details: {self._site.runs / stage_id}/attempts/")
        for message in filter(None, outcome.tally.elsewhere.values()):
            show.line(message)
        if outcome.left:
            self.left(outcome.left)
        if outcome.interrupted:
            show.line("stopped after a checkpoint; the same command resumes")

    def nothing_to_do(self, plan: Plan) -> None:
        show.nothing_to_do(plan)

    def left(self, stages: Sequence[str]) -> None:
        whose = f"{show.count(len(stages), 'stage')} run by another process: {show.named(stages)}"
        show.line(f"{whose}; call run again when it has finished")

    def reported(self, report: Report) -> None:
        show_report(report)

    def not_reported(self, error: HarnessError) -> None:
        show.line(f"the report could not be written: {error}")

    def submitted(self, made: Submitted) -> None:
        match made.why:
            case "dry":
                for array, text in made.scripts:
                    show.line(f"\n==> {array.name}\n{text}")
            case "busy":
                busy = sum(stage.action == "busy" for stage in made.plan.stages)
                show.line(f"nothing to submit: {busy} stages are already queued or running")
            case "meanwhile" if made.scripts:
                show.line("nothing to submit: another process has just submitted it")
            case "meanwhile":
                show.line("nothing to do: another process has just started it")
        if made.submission is not None:
            _submitted(made.submission, self._site)

    def recipe(self, path: Path) -> None:
        show.line(f"{path}: running what is missing or stale")

    def refused(self, path: Path, error: HarnessError) -> None:
        if isinstance(error, Declined):
            show.line(f"{path}: not run")
        else:
            print(inert(redact(f"error: {path}: {error}")), file=sys.stderr)

    def waiting(self, stages: int) -> None:
        show.line(f"waiting for {show.count(stages, 'stage')}")


UNKNOWN = "an unknown amount of work"


def confirm(work: str) -> bool:
    """Ask whether to start long work, e.g. "about 3 days of work"; without a terminal, refuse
    it."""
    if not sys.stdin.isatty():
        line = command.present(None, "--yes")
        raise HarnessError(f"this is {work}; add --yes to start without a question: {line}")
    import typer

    return typer.confirm(f"This is {work}. Start?")


def _submitted(made: submission.Submission, site: Site) -> None:
    stages = sum(len(array.stages) for array in made.arrays)
    if any(array.kind == "all" for array in made.arrays):
        show.line(f"running {stages} stages in the background as {made.id}")
    else:
        what = f"{stages} stages" if stages else "the report, which had no job yet,"
        show.line(f"submitted {what} in {len(made.arrays)} arrays and jobs as {made.id}")
    show.line(f"  logs: {submission.folder(site.runs, made.id)}")
    show.line(f"  watch with: {Commands(site.runs, site.file).line('status', '--watch')}")


def _drafts(drafts: Drafts) -> None:
    """Print what will be submitted to a scheduler: jobs, their dependencies, nodes and GPUs,
    hours."""
    title = f"to {drafts.to}"
    table = Table(box=None, pad_edge=False, header_style="bold", title=title)
    table.title_justify, table.title_style = "left", "bold"
    for heading in ("array", "jobs", "of", "after", "nodes", "GPUs", "at most"):
        table.add_column(heading, justify="right" if heading in ("array", "jobs") else "left")
    for n, draft in enumerate(drafts.each):
        array = draft.array
        after = ", ".join(map(str, [*array.after, *array.waits])) if array.stages else "all"
        table.add_row(
            str(n),
            str(len(array.stages) or 1),
            array.kind,
            after,
            str(draft.nodes),
            str(draft.gpus),
            show.duration(3600 * draft.hours),
        )
    show.console.print(table)
    show.line(f"{drafts.where}; {_amount(drafts.amount)}")


def _amount(about: Amount) -> str:
    if about.hours is None:
        return f"{about.unit}: unknown, as nothing similar was measured here yet"
    hours = about.hours
    return f"about {hours:,.0f} {about.unit}" if hours >= 10 else f"about {hours:.2g} {about.unit}"
