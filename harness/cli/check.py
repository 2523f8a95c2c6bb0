"""`moco-harness check`: compare runs with targets and baselines, for people and for CI."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from harness.app.checking import check
from harness.app.results import INTERRUPTED
from harness.check.baseline import Baseline, load_baseline, make_baseline, write_baseline
from harness.check.cells import CellRuns, CurrentState
from harness.check.compare import ALARM, comparisons
from harness.check.files import is_json, is_junit, write_json, write_junit
from harness.check.verdict import Failure, Judged, Verdict
from harness.cli import show
from harness.cli.run import PrintedProgress
from harness.errors import HarnessError, RecipeError, StoreError
from harness.replace import refuse_others
from harness.report.runs import LOSS
from harness.site import Site
from harness.store import atomic
from harness.store.edition import present

Writer = Callable[[Path, Sequence[Verdict], str, Sequence[Failure]], None]

STOPPED = "stopped on request, before any result was judged"

_STYLE: dict[Judged, str] = {
    "passed": "green",
    "short": "red",
    "below": "red",
    "above": "red",
    "stale": "yellow",
    "missing": "yellow",
    "incomparable": "yellow",
    "waiting": "blue",
    "skipped": "dim",
}


@dataclass(frozen=True)
class CheckOptions:
    """Options of `check`."""

    run: bool = False
    wait: bool = False
    ask: bool = True
    seeds: tuple[int, ...] = ()
    """Replace the recipes' own; () keeps those."""
    against: Path | None = None
    write: Path | None = None
    """A baseline to write."""
    json: Path | None = None
    junit: Path | None = None


def check_command(
    paths: Sequence[Path], sets: Sequence[str], site: Site, options: CheckOptions
) -> int:
    """Judge the recipes' results, after running what is missing if required; returns the exit code.

    0: all passed or was skipped. TargetMissed's: some result is not as required, stale, missing or
    incomparable. NotYet's: some results are not there yet. 130: stopped on request.

    Raises:
        RecipeError: a file cannot be accepted, or a recipe has nothing to be compared with; the
            other recipes have been judged.
        StoreError: a file cannot be written, or a baseline would lack results.
    """
    _may_write(options)
    found = check(
        paths,
        site,
        sets=sets,
        seeds=options.seeds,
        against=options.against,
        without_baseline=options.write is not None,
        run=options.run,
        wait=options.wait,
        ask=options.ask,
        progress=PrintedProgress(site),
    )
    if found is None:
        return INTERRUPTED
    if found.verdicts or not found.failures:
        _show(found.verdicts, ran=options.run)
    show.unfinished(found.unfinished)
    unwritten: list[HarnessError] = []
    for path, write in ((options.json, write_json), (options.junit, write_junit)):
        try:
            if path is not None:
                write(path, found.verdicts, str(found.now.editions), found.failures)
        except HarnessError as error:
            unwritten.append(error)
    if unwritten:
        raise unwritten[0]
    found.refuse()
    if options.write:
        _write(found.cells, found.now, options.write)
    return found.exit_code


@contextmanager
def fresh(json: Path | None, junit: Path | None, baseline: Path | None = None) -> Iterator[None]:
    """Remove the files of an earlier call, so that its verdicts are not taken for those of this
    call. If this call fails or is stopped, the new files hold the error. A file named twice, also
    as the baseline, is kept: a later check refuses it.

    Raises:
        RecipeError: there is a file of another kind, which is kept.
        StoreError: a file cannot be written.
    """
    own: list[tuple[Path, Writer]] = []
    wrong: list[HarnessError] = []
    kinds = ((json, "--json", is_json, write_json), (junit, "--junit", is_junit, write_junit))
    named = [os.path.realpath(path) for path in (json, junit, baseline) if path is not None]
    for path, option, ours, write in kinds:
        if path is None or named.count(os.path.realpath(path)) > 1:
            continue
        try:
            refuse_others(path, f"a file that check {option} wrote", ours)
            path.unlink(missing_ok=True)
            own.append((path, write))
        except HarnessError as error:
            wrong.append(error)
        except OSError as error:
            wrong.append(atomic.write_error(error, path))
    try:
        if wrong:
            raise wrong[0]
        yield
    except KeyboardInterrupt:
        _fail(own, STOPPED)
        raise typer.Exit(INTERRUPTED) from None
    except BaseException as error:
        _fail(own, getattr(error, "message", "") or str(error) or type(error).__name__)
        raise
    _fail(own, STOPPED)


def discard(words: Sequence[str], before: float) -> None:
    """`fresh` for a command line that was refused before the command started.

    Args:
        words: the command line.
        before: start of the call, in seconds since 1970; files written later belong to this call.
    """
    said: dict[str, Path] = {}
    for word, after in zip(words, [*words, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        path = Path(value if equals else after)
        with suppress(OSError):
            if name in ("--json", "--junit") and path.is_file() and path.stat().st_mtime < before:
                said[name] = path
    with suppress(HarnessError), fresh(said.get("--json"), said.get("--junit")):
        raise HarnessError("the command line is wrong; no result was judged")


def _fail(files: Sequence[tuple[Path, Writer]], message: str) -> None:
    """Write the files that do not exist yet."""
    for path, write in files:
        if not path.exists():
            with suppress(StoreError):
                write(path, [], str(present()), [Failure("check", message)])


def _may_write(options: CheckOptions) -> None:
    written = [path for path in (options.write, options.json, options.junit) if path]
    places = [os.path.realpath(path) for path in written]
    for path, place in zip(written, places, strict=True):
        if places.count(place) > 1:
            raise RecipeError(f"{path}: named for two output files; name two different paths")
    if baseline := options.write:  # for another kind of file, the reader's error gives the lines
        refuse_others(baseline, "a baseline", lambda _: bool(load_baseline(baseline)))


def _show(verdicts: Sequence[Verdict], *, ran: bool) -> None:
    if show.console.is_terminal:
        show.console.print(_table(verdicts))
    else:
        for each in verdicts:
            show.line(f"{each.of}  {each.metric}  {each.judged}  {each.says}")
    for each in verdicts:
        if each.warning:
            show.line(f"WARNING: {each.of}: {each.metric} passes, but {each.warning}", "bold red")
    if shared := comparisons(verdicts):
        level = f"{100 * ALARM / shared:.3g} %"
        show.line(
            f"if nothing has changed, {show.count(shared, 'comparison')} with the baseline find "
            f"something in {100 * ALARM:g} % of the calls ({level} each)"
        )
    if not ran and any(verdict.needs_a_run for verdict in verdicts):
        show.line("to run what is missing or stale first, add --run")
    waits = sum(verdict.judged == "waiting" for verdict in verdicts)
    if waits:
        show.line(
            f"{show.count(waits, 'verdict')} not ready: call check again when the runs have "
            "ended, or with --wait"
        )


def _table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("of", "metric", "", "why"):
        table.add_column(heading)
    for verdict in verdicts:
        table.add_row(
            escape(verdict.of),
            verdict.metric,
            f"[{_STYLE[verdict.judged]}]{verdict.judged}[/]",
            escape(verdict.says),
        )
    return table


def _write(cells: Sequence[CellRuns], now: CurrentState, path: Path) -> None:
    """Write the baseline, and print its changes from an older one."""
    made = make_baseline(cells, now)
    older = load_baseline(path) if path.exists() and path.stat().st_size else None
    write_baseline(made, path)
    for record in made.cells:
        was = older.cell(record.recipe, record.cell) if older else None
        for sample in record.metrics:
            digits = 4 if sample.metric == LOSS else 2
            measured = f"{sample.mean:.{digits}f} ± {sample.sd:.{digits}f}"
            words = f"{record.called}  {sample.called}  {measured}"
            before = was.sample(sample.metric, sample.task or "") if was else None
            if before is not None:
                words += f", before {before.mean:.{digits}f} ± {before.sd:.{digits}f}"
            show.line(f"{words} ({len(record.seeds)} seeds)")
    if gone := list(_no_longer(older, made)):
        show.line(f"WARNING: no longer in {path}: {', '.join(gone)}", "bold yellow")
    show.line(f"baseline: {path}")


def _no_longer(older: Baseline | None, made: Baseline) -> Iterator[str]:
    """What the older baseline had besides, in words."""
    for was in older.cells if older is not None else ():
        now = made.cell(was.recipe, was.cell)
        if now is None:
            yield was.called
            continue
        for sample in was.metrics:
            if now.sample(sample.metric, sample.task or "") is None:
                yield f"{sample.called} of {was.called}"
        if was.curve is not None and now.curve is None:
            yield f"kNN's curve of {was.called}"
        if was.trace is not None and now.trace is None:
            yield f"the loss trace of {was.called}"
