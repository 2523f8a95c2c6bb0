"""`moco-harness data ...`: prepare images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import path

app = typer.Typer(help="Prepare images.", no_args_is_help=True)


@app.command("pack")
def pack_(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC", help="Holds train/CLASS/IMAGE and val/CLASS/IMAGE.", parser=path
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="DST", help="A new folder for the pack.", parser=path)
    ],
    side: Annotated[
        int | None,
        typer.Option(
            min=8, help="Make images smaller, to this short side in pixels (default: keep all)."
        ),
    ] = None,
) -> None:
    """Pack an image folder into a few large files; begun again, it goes on, or verifies."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from harness.cli import show
    from harness.data.pack import pack

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=show.console) as bars:
        tasks: dict[str, object] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)  # type: ignore[arg-type]

        made = pack(source, folder, side=side, tell=tell)
    what = "was packed already, and is whole" if made.again else "packed and verified"
    show.line(f"{folder}: {made.images:,} images, {made.bytes / 2**30:.2f} GiB, {what}")
