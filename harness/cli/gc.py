"""`moco-harness gc`: find and delete files in a run root that are not needed any more."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from harness.cli import show
from harness.errors import DiskError, StoreError
from harness.launch.newest_jobs import Schedulers
from harness.launch.selected_launcher import opened
from harness.site import Site
from harness.spec.registry import launchers
from harness.store import garbage, submission
from harness.store.garbage import Garbage, Kind

_WORDS: dict[Kind, str] = {
    "checkpoints": "older checkpoints of finished stages",
    "set aside": "checkpoints of results that were moved aside",
    "code": "copies of the code that no job uses",
    "features": "features that evaluations share; extracted again when needed",
    "draft": "temporary files of killed processes",
}


def gc_command(site: Site, *, delete: bool) -> int:
    """Show what can be deleted and, with `delete`, delete it; returns 1 if a deletion failed or the
    run root could not be read to its end, else 0.

    Raises:
        StoreError: the run root or a submission's record cannot be read, or the folder is no run
            root.
    """
    if not garbage.is_run_root(site.runs):
        if site.runs.is_dir() and any(site.runs.iterdir()):
            raise StoreError(f"{site.runs}: contains no runs; name the run root with --runs")
        show.line(f"no runs under {site.runs}")
        return 0
    with contextlib.ExitStack() as stack:
        keeps: Kind | None = None
        if delete:
            try:  # no process may start to use a copy of the code during its deletion
                stack.enter_context(submission.claim(site.runs, show.line))
            except DiskError as error:
                keeps = "code"
                show.line(f"note: copies of the code stay this time ({error})")
        submissions = submission.everything(site.runs)
        held, notes = Schedulers().held(site.runs, submissions)
        for note in notes:
            show.line(f"note: {note}; files that its jobs may need are kept")
        stages = {stage for _, stage in held if stage}
        used = {Path(made.code).name for made, _ in held if made.code}
        found, wrong = [], []
        try:
            for one in _find(site, stages, used):
                if one.kind == keeps:
                    continue
                if delete:
                    try:
                        garbage.remove(one)
                    except StoreError as error:
                        wrong.append(str(error))
                        continue
                found.append(one)
        except StoreError as error:
            wrong.append(str(error))
    _tell(found)
    for text in wrong:
        show.line(f"not {'deleted' if delete else 'checked'}: {text}", "yellow")
    total = _amount(sum(one.size for one in found))
    if not found:
        show.line("nothing to delete")
    elif delete:
        show.line(f"deleted {total}")
    else:
        show.line(f"{total} in all; nothing was deleted; add --yes to delete it")
    return 1 if wrong else 0


def _find(site: Site, held: Collection[str], used: Collection[str]) -> Iterator[Garbage]:
    yield from garbage.find(
        site.runs, held, used, lambda why: show.line(f"not checked: {why}", "yellow")
    )
    if site.backend is not None:
        scratch = opened(launchers()[site.backend.kind], site).scratch()
        if scratch is not None:
            yield from garbage.drafts(*scratch)


def _tell(found: Sequence[Garbage]) -> None:
    if not found:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("what")
    table.add_column("where" if len(found) <= show.ROWS else "places", overflow="fold")
    table.add_column("size", justify="right")
    if len(found) <= show.ROWS:
        for one in found:
            table.add_row(_WORDS[one.kind], escape(str(one.place)), _amount(one.size))
    else:
        for kind, words in _WORDS.items():
            if sizes := [one.size for one in found if one.kind == kind]:
                table.add_row(words, str(len(sizes)), _amount(sum(sizes)))
    show.console.print(table)


def _amount(size: int) -> str:
    """A number of bytes as text: 3.2 GB, 40 MB, 1 kB, 0 kB."""
    if size >= 999.5e6:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 999.5e3 else f"{math.ceil(size / 1e3)} kB"
