"""`moco-harness report --compare A B` and the results of `recipes diff`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from harness.app.comparing import compare
from harness.cli import show
from harness.report.blocks import Block, Document, Items, Notice, Paragraph
from harness.report.side_by_side import DETAILS
from harness.report.table import Table
from harness.report.terminal import stale_reasons, terminal_table
from harness.site import Site


def compare_command(
    recipe: Path | None,
    sets: Sequence[str],
    both: tuple[Path, Path],
    out: Path | None,
    site: Site | None = None,
) -> None:
    """Show the comparison and, if `out` is given, write it there as Markdown, a page and JSON; see
    `harness.app.compare`."""
    made = compare(*both, recipe=recipe, sets=sets, site=site, out=out)
    show_document(made.document, DETAILS)
    for path in made.files:
        show.line(str(path))


def show_document(document: Document, *left_out: str) -> None:
    """Print a document's title and blocks, without some of its sections."""
    show.console.print(f"[bold]{escape(document.title)}[/]")
    for section in document.sections:
        for block in section.blocks if section.heading not in left_out else ():
            _print(block)


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
