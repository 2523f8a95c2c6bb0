"""`moco-harness report`: write the report's files and show its table and verdicts in short."""

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
from harness.recipe.ablation import Metric
from harness.report.blocks import Tone
from harness.report.claims import judge, tallied
from harness.report.collect import Results
from harness.report.setting import NAMES, UNITS, is_papers_scale, one_line
from harness.report.tables import TONES, cell_text, label, measured
from harness.report.tally import said_by, summary
from harness.site import Site

STYLE: dict[Tone, str] = {
    "plain": "default",
    "good": "green",
    "bad": "red",
    "unsure": "yellow",
    "quiet": "dim",
    "code": "default",
}


def report_command(made: Plan, site: Site, out: Path | None) -> None:
    """Write the report of the plan's runs into `out` (default RUNS/reports/NAME).

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    show_report(write(made, site, out))


def show_report(report: Report) -> None:
    """The report in short, and where it lies."""
    _show(report.results)
    show.unfinished(report.unfinished)
    show.line(f"report: {report.page}")


def _show(results: Results) -> None:
    show.console.print(f"[bold]{escape(results.title)}[/]")
    show.console.print(f"[dim]{escape(_scale(results))}[/]")
    show.console.print(table(results))
    for warning in results.warnings:
        show.console.print(f"[yellow]note:[/] {escape(warning)}")
    judged = judge(results)
    if judged:
        show.console.print(f"[dim]The claims, judged by {NAMES[results.metric]}:[/]")
        show.console.print(summary(tallied(judged)))
    for each in judged:
        style = STYLE[TONES[each.verdict]]
        said = said_by(each.claim.by, each.claim.says)
        show.console.print(f"[{style}]{each.words}[/]: {escape(said)}")
        show.console.print(Padding(Text(each.evidence, style="dim"), (0, 0, 0, 2), expand=False))


def table(results: Results) -> Table:
    """The paper's numbers and ours for a terminal."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column(escape(results.ablation.axis) if results.ablation else "recipe")
    if results.ablation is not None:
        made.add_column(_heading("paper", results.ablation.metric), justify="right")
    metrics = measured(results)
    for metric in metrics:
        made.add_column(_heading("ours", metric), justify="right")
    for cell in results.cells:
        row = [Text(label(results, cell))]
        if results.ablation is not None:
            row.append(Text("" if cell.printed is None else str(cell.printed)))
        for metric in metrics:
            said = cell_text(results, cell, metric)
            row.append(Text(said.text, style=STYLE[said.tone]))
        made.add_row(*row)
    return made


def _heading(whose: str, metric: Metric) -> str:
    return f"{whose}, {UNITS[metric]}\n{NAMES[metric]}"


def _scale(results: Results) -> str:
    """What the numbers are of, so that nobody takes a miniature for the paper."""
    if is_papers_scale(results):
        return f"the paper's scale: {one_line(results)}"
    rest = "; not comparable with the paper's numbers, its claims are what is tested"
    return f"not the paper's scale: {one_line(results)}" + (rest if results.ablation else "")
