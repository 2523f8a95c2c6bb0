"""`moco-harness report --watch`: show the table while its runs continue, here or elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from harness.app.reporting import gather
from harness.cli import show
from harness.cli.report import table
from harness.inputs import Inputs
from harness.plan import Plan
from harness.recipe.ablation import Metric
from harness.recipe.reported import is_measured, reported
from harness.report.collect import Results
from harness.report.curves import is_number
from harness.report.runs import WORDS, Run
from harness.site import Site
from harness.spec.registry import task, task_of
from harness.store import journal

EVERY_S = 2.0
"""Minimum seconds between two updates; at least ten times the duration of one."""

GOING_ON = ("absent", "running", "interrupted", "failed")
"""A run in one of these states may still get a value: it may be waiting, or run again."""


def watch_command(made: Plan, site: Site) -> None:
    """Show the table until all runs of the plan are over, or the user stops it."""
    inputs = Inputs(site.data, site.runs)
    if not watch(lambda: gather(made, site.runs, inputs, curves=False), show.console):
        show.line("stopped watching; the report shows the results so far")


def watch(
    read: Callable[[], Results],
    console: Console,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Update the table until all its runs are over.

    On a terminal the table is redrawn in place; elsewhere each change is a line.

    Returns:
        Whether all are over; False: the user stopped watching.
    """
    try:
        drawn = console.is_terminal and not console.is_dumb_terminal
        with (_live if drawn else _lines)(console) as update:
            while True:
                began = time.monotonic()
                results = read()
                update(results)
                if all(over(results, run) for run in results.runs):
                    return True
                sleep(max(EVERY_S, 10 * (time.monotonic() - began)))
    except KeyboardInterrupt:
        return False


def over(results: Results, run: Run) -> bool:
    """Whether the run has all its values, or will never have them."""
    expected = [(metric, "") for metric in _metrics(results, run)]
    for name, said in run.recipe.tasks.items():
        data = said.data or run.recipe.data
        expected += [(metric, name) for metric in reported(task(said.kind), data)]
    return not any(results.value(run, *each).standing in GOING_ON for each in expected)


@contextmanager
def _live(console: Console) -> Iterator[Callable[[Results], None]]:
    with Live(console=console, auto_refresh=False) as live:
        yield lambda results: live.update(picture(results), refresh=True)


@contextmanager
def _lines(console: Console) -> Iterator[Callable[[Results], None]]:
    known: dict[str, str] = {}

    def update(results: Results) -> None:
        for run in results.runs:
            said = "; ".join(_said(results, run, metric) for metric in _metrics(results, run))
            if known.get(run.name) != said:
                known[run.name] = said
                console.print(f"{run.name}: {said}", markup=False, soft_wrap=True)

    yield update


def picture(results: Results) -> Group:
    """The table, and a line for each running stage."""
    done = sum(over(results, run) for run in results.runs)
    lines = [Text(f"  {line}", style="dim") for run in results.runs for line in _going_on(run)]
    return Group(
        Text(results.title, style="bold"),
        table(results),
        *lines,
        Text(
            f"{done} of {len(results.runs)} runs have ended (Ctrl-C stops watching, not the runs)"
        ),
    )


def _metrics(results: Results, run: Run) -> list[Metric]:
    """The metrics expected of the run: the judged one, then those of its other stages."""
    others = (
        metric
        for metric, kind in task_of().items()
        if kind in run.stages and is_measured(metric, run.recipe.data)
    )
    return list(dict.fromkeys((results.metric, *others)))


def _said(results: Results, run: Run, metric: Metric) -> str:
    value = results.value(run, metric)
    state = WORDS.get(value.standing, value.standing)
    number = "" if value.value is None else f" {value.value:.2f}"
    return f"{metric}{number}" if state == "finished" else f"{metric}{number} {state}"


def _going_on(run: Run) -> Iterator[str]:
    for stage in run.stages.values():
        if stage.state == "running":
            last = journal.last(stage.entry.folder) or {}
            parts = [
                f"{name} {value:.{digits}f}"
                for name, digits in (
                    *(("epoch", 1), ("train/loss", 2), ("knn/top1", 1)),
                    ("knn/mean_per_class", 1),
                )
                if is_number(value := last.get(name))
            ]
            yield ", ".join([f"{run.name}: {stage.kind}", *parts])
