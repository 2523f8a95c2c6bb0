"""`moco-harness report`: write the report's files and print its table and verdicts."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.app.reporting import write
from harness.app.results import Report
from harness.cli import show
from harness.plan import Plan
from harness.report.cell_differences import difference_tables
from harness.report.claim_summary import said_by, summary
from harness.report.claims import judge, verdict_counts
from harness.report.collect import Results
from harness.report.corruptions import corruption_lines
from harness.report.measures import measure
from harness.report.protocol_lines import protocol_lines
from harness.report.results_table import results_table
from harness.report.scale import concerns_paper, is_papers_scale, one_line
from harness.report.table_text import TONES
from harness.report.tables import further_table
from harness.report.terminal import NARROW, STYLE, stale_reasons, terminal_table
from harness.report.trial_lines import trial_lines
from harness.report.untrained import cells_not_above
from harness.site import Site


def report_command(made: Plan, site: Site, out: Path | None) -> None:
    """Write the report of the plan's runs into `out` (default RUNS/reports/NAME).

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    show_report(write(made, site, out))


def show_report(report: Report) -> None:
    """Print a summary of the report, and its place."""
    _show(report.results)
    for cell in cells_not_above(report.results, unclaimed=True):
        show.line(f"WARNING: not above the untrained network: {cell}", "bold red")
    show.unfinished(report.unfinished)
    show.line(f"report: {report.page}")


def _show(results: Results) -> None:
    show.console.print(f"[bold]{escape(results.title)}[/]")
    show.console.print(f"[dim]{escape(_scale(results))}[/]")
    show.console.print(table(results))
    if (further := further_table(results)) is not None:
        show.console.print(terminal_table(further, NARROW))
    for caption, found in difference_tables(results):
        show.console.print(f"[dim]{escape(caption)}[/]")
        show.console.print(terminal_table(found))
    for line in corruption_lines(results):
        show.console.print(escape(line))
    for line in [*protocol_lines(results), *trial_lines(results)]:
        show.console.print(f"[dim]{escape(line)}[/]")
    for warning in (*results.warnings, *stale_reasons(results_table(results))):
        show.console.print(f"[yellow]note:[/] {escape(warning)}")
    judged = judge(results)
    if judged:
        show.console.print(f"[dim]Claims, judged by {measure(results.metric).label}:[/]")
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
    """The scale of the numbers, so that a miniature is not mistaken for the paper."""
    if results.ablation is not None and not results.ablation.of_paper:
        return one_line(results)
    if is_papers_scale(results):
        return f"the paper's scale: {one_line(results)}"
    if not concerns_paper(results):
        return f"scale: {one_line(results)}"
    rest = "; compare claims, not numbers, with the paper"
    return f"not the paper's scale: {one_line(results)}" + (rest if results.ablation else "")
