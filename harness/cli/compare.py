"""`moco-harness report --compare A B`: compare two sets of runs of one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from harness.app.reporting import gather
from harness.cli import show
from harness.errors import HarnessError
from harness.inputs import Inputs
from harness.plan import make_plan
from harness.report.blocks import Block, Items, Notice, Paragraph
from harness.report.claims import judge
from harness.report.results_json import as_json
from harness.report.side_by_side import FILE, Report, compare, pairs, read_report
from harness.report.table import Table
from harness.report.terminal import stale_reasons, terminal_table
from harness.report.write import rendered, write_files
from harness.store import atomic


def compare_command(
    recipe: Path | None, sets: Sequence[str], both: tuple[Path, Path], out: Path | None
) -> None:
    """Show the comparison and, if `out` is given, write it there as Markdown, a page and JSON.

    Each of `both` is a report (its folder or results.json), or a run root, which needs the recipe.

    Raises:
        HarnessError: one of them is neither, or they have nothing in common.
    """
    a, b = (_report(path, recipe, sets) for path in both)
    document = compare(a, b, (str(both[0]), str(both[1])))
    show.console.print(f"[bold]{escape(document.title)}[/]")
    for section in document.sections:
        for block in section.blocks:
            _print(block)
    if out is not None:
        files = {
            name.replace("report", "comparison"): text for name, text in rendered(document).items()
        }
        files["comparison.json"] = atomic.dump([asdict(pair) for pair in pairs(a, b)])
        for path in write_files(files, out):
            show.line(str(path))


def _print(block: Block) -> None:
    match block:
        case Table():
            show.console.print(terminal_table(block))
            for reason in stale_reasons(block):
                show.line(reason, "yellow")
            show.console.print()
        case Paragraph():
            show.line(block.text, "dim")
        case Items():
            for item in block.items:
                show.line(item)
        case Notice():
            show.line(f"{block.label}: {block.text}", "yellow")


def _report(path: Path, recipe: Path | None, sets: Sequence[str]) -> Report:
    if path.is_file() or (path / FILE).is_file():
        return read_report(path)
    if not path.is_dir():
        raise HarnessError(f"{path}: no report and no run root")
    if recipe is None:
        raise HarnessError(f"{path}: a run root; name a recipe too, or name a report's folder")
    results = gather(make_plan(recipe, sets, path), path, Inputs(None, path), curves=False)
    return as_json(results, judge(results), [])
