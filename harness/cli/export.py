"""`moco-harness export`: a trained network for other libraries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.app import exporting
from harness.cli import show
from harness.export.formats import Format
from harness.site import Site


def export_command(
    run: str,
    form: Format,
    sets: Sequence[str],
    site: Site,
    to: Path | None,
    *,
    head: bool,
    key: bool,
) -> None:
    """Export, and print what was written.

    Raises:
        HarnessError: see `harness.app.export`.
    """
    made = exporting.export(run, form, site, to=to, head=head, key=key, sets=sets)
    show.line(f"{made.stage} for {form.value}:")
    for file in made.files:
        show.line(f"  {file}")
    show.line(f"SHA-256 of {made.weights.name}: {made.sha256}")
    for note in made.notes:
        show.line(f"note: {note}")
    if not made.written:
        show.line("nothing was written: the folder has exactly these files already")
    else:
        show.line("README.md describes the files and how to load them")
