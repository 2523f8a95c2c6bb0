"""`moco-harness report`: write the report's files and show its table and verdicts in short."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from harness.cli import show
from harness.plan import Plan
from harness.report.claims import judge
from harness.report.collect import CellResult, Results, collect, collect_single
from harness.report.write import write_report

_STYLE = {"reproduced": "green", "not reproduced": "red"}


def report_command(made: Plan, runs: Path, out: Path | None) -> None:
    """Write the report of the plan's runs into `out` (default RUNS/reports/NAME).

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    if made.expansion is not None and made.scale is not None:
        results = collect(made.expansion, made.scale, runs)
    else:
        results = collect_single(made.stages[0].recipe, runs)
    paths = write_report(results, out or runs / "reports" / made.name)
    _show(results)
    page = next(path for path in paths if path.suffix == ".html")
    show.line(f"report: {page}")


def _show(results: Results) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", title=escape(results.title))
    table.title_justify, table.title_style = "left", "bold"
    table.add_column(escape(results.ablation.axis) if results.ablation else "recipe")
    if results.ablation is not None:
        table.add_column(f"paper, {results.ablation.metric}", justify="right")
    table.add_column(f"ours, {results.metric}", justify="right")
    for cell in results.cells:
        printed = "" if cell.printed is None else str(cell.printed)
        row = [escape(cell.label), escape(printed)] if results.ablation else [escape(cell.label)]
        table.add_row(*row, escape(_ours(results, cell)))
    show.console.print(table)
    for warning in results.warnings:
        show.console.print(f"[yellow]note:[/] {escape(warning)}")
    for each in judge(results):
        style = _STYLE.get(each.verdict, "yellow")
        show.console.print(
            f"[{style}]{each.verdict}[/]: {escape(each.claim.says)} [dim]{escape(each.evidence)}[/]"
        )


def _ours(results: Results, cell: CellResult) -> str:
    found = results.summary(cell)
    if found is not None:
        spread = "" if found.sd is None else f" ± {found.sd:.1f}"
        return f"{found.mean:.1f}{spread}" + (f" ({found.n} seeds)" if found.n > 1 else "")
    states = dict.fromkeys(value.standing for value in results.values(cell))
    return ", ".join(states) or "left out"
