"""`moco-harness data ...`: check and pack images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import path
from harness.imagefolder import shown

app = typer.Typer(help="Check and pack images.", no_args_is_help=True)


@app.command("pack")
def pack_(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC", help="Folder with train/CLASS/IMAGE and val/CLASS/IMAGE.", parser=path
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="DST", help="New folder for the pack.", parser=path)
    ],
    side: Annotated[
        int | None,
        typer.Option(
            min=8, help="Shrink larger images to this short side in pixels (default: no change)."
        ),
    ] = None,
    skip_broken: Annotated[
        bool,
        typer.Option(
            "--skip-broken", help="Leave out images that cannot be read, and record their names."
        ),
    ] = False,
) -> None:
    """Pack an image folder into a few large files; run again, it resumes, or verifies the pack."""
    from harness.cli import show
    from harness.data.pack import pack

    with _bars() as tell:
        made = pack(source, folder, side=side, tell=tell, skip_broken=skip_broken)
    for remark in made.remarks:
        show.line(f"note: {remark}")
    what = "packed earlier, and complete" if made.again else "packed and verified"
    show.line(f"{folder}: {made.images:,} images, {made.bytes / 2**30:.2f} GiB, {what}")


@app.command("check")
def check_(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of images, or a pack.", parser=path)
    ],
    leave_out: Annotated[
        bool,
        typer.Option(
            "--leave-out",
            help="List broken images in FOLDER/broken.txt; runs and packs skip them.",
        ),
    ] = False,
) -> None:
    """Decode every image, and list the broken ones."""
    from harness.cli import show
    from harness.data import broken
    from harness.errors import DataError

    with _bars() as tell:
        checked = broken.check(folder, tell)
    for remark in checked.remarks:
        show.line(f"note: {remark}")
    if not checked.broken:
        show.line(f"{shown(folder)}: all of {checked.images:,} images can be read")
    elif not leave_out:
        raise DataError(checked.message)
    else:
        path = broken.leave_out(checked)
        show.line(
            f"{shown(path)}: {len(checked.broken):,} more broken images listed, which runs and "
            "packs skip"
        )


@contextlib.contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars, one for each step of the work."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    from harness.cli import show

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=show.console) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield tell
