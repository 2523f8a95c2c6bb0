"""`moco-harness report`: write the report's files and show its table and verdicts in short."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.cli import show
from harness.inputs import Inputs
from harness.plan import Plan
from harness.report.claim_summary import said_by, summary
from harness.report.claims import judge, verdict_counts
from harness.report.collect import Results, collect, collect_single
from harness.report.measures import measure
from harness.report.published import published
from harness.report.results_table import results_table
from harness.report.scale import is_papers_scale, one_line
from harness.report.table_text import TONES
from harness.report.terminal import NARROW, STYLE, terminal_table
from harness.report.write import own_place, write_report
from harness.site import Site
from harness.store.stale import Look


def report_command(made: Plan, site: Site, out: Path | None) -> None:
    """Write the report of the plan's runs into `out` (default RUNS/reports/NAME).

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    inputs = Inputs(site.data, site.runs)
    results = gather(made, site.runs, inputs)
    paths = write_report(results, out or own_place(site.runs, made.name))
    _show(results)
    show.unfinished(inputs)
    page = next(path for path in paths if path.suffix == ".html")
    show.line(f"report: {page}")


def watch_command(made: Plan, site: Site) -> None:
    """Show the table until all runs of the plan are over, or the user has seen enough."""
    from harness.cli.watch import watch

    inputs = Inputs(site.data, site.runs)
    if not watch(lambda: gather(made, site.runs, inputs, curves=False), show.console):
        show.line("stopped watching; the report is of the runs so far")


def gather(made: Plan, runs: Path, inputs: Look | None, *, curves: bool = True) -> Results:
    """What the plan's runs have found so far; without `curves` no journal is read.

    `inputs` looks at data and weights, but not for records that are published: they are others'.
    """
    inputs = None if published(runs) else inputs
    if made.expansion is not None and made.scale is not None:
        return collect(
            made.expansion, made.scale, runs, path=made.path, curves=curves, inputs=inputs
        )
    return collect_single(made.stages[0].recipe, runs, inputs=inputs)


def _show(results: Results) -> None:
    show.console.print(f"[bold]{escape(results.title)}[/]")
    show.console.print(f"[dim]{escape(_scale(results))}[/]")
    show.console.print(table(results))
    for warning in results.warnings:
        show.console.print(f"[yellow]note:[/] {escape(warning)}")
    judged = judge(results)
    if judged:
        show.console.print(f"[dim]The claims, judged by {measure(results.metric).label}:[/]")
        show.console.print(summary(verdict_counts(judged)))
    for each in judged:
        style = STYLE[TONES[each.verdict]]
        said = said_by(each.claim.by, each.claim.says)
        show.console.print(f"[{style}]{each.words}[/]: {escape(said)}")
        show.console.print(Padding(Text(each.evidence, style="dim"), (0, 0, 0, 2), expand=False))


def table(results: Results) -> Table:
    """The paper's numbers and ours for a terminal."""
    return terminal_table(results_table(results), NARROW)


def _scale(results: Results) -> str:
    """What the numbers are of, so that nobody takes a miniature for the paper."""
    if is_papers_scale(results):
        return f"the paper's scale: {one_line(results)}"
    rest = "; not comparable with the paper's numbers, its claims are what is tested"
    return f"not the paper's scale: {one_line(results)}" + (rest if results.ablation else "")
