"""`moco-harness logs`: the newest attempt's log."""

from __future__ import annotations

import sys

from harness.cli import show
from harness.command import Commands
from harness.launch import selection
from harness.launch.logs import Printer, alive, follow, sources, verdict
from harness.launch.status import Row, StatusReader
from harness.output import inert
from harness.site import Site


def logs_command(word: str, site: Site, *, following: bool) -> None:
    """Print the logs of the stage that `word` names, then the stage's state.

    Raises:
        StoreError: `word` names no stage or several, or the run root cannot be read.
    """
    runs = site.runs
    commands = Commands(runs, site.file)
    stage_id = selection.one(word, selection.known(runs), commands)
    try:
        if following:
            row = follow(commands, stage_id, _write)
        else:
            row = StatusReader(runs, commands=commands).read({stage_id}).rows[0]
            printer = Printer(_write)
            for path in sources(runs, stage_id):
                printer.print(path)
    except KeyboardInterrupt:
        return
    if not sources(runs, stage_id):
        show.line(_none(row))
    for text in verdict(commands, row):
        show.line(text)


def _write(text: str) -> None:
    sys.stdout.write(inert(text.replace("\r", "\n")))  # progress bars overwrite their line
    sys.stdout.flush()


def _none(row: Row) -> str:
    """Why there is no log."""
    if row.job is not None and alive(row) and row.state != "running":
        return "no log yet: its job has not started"
    if row.job is not None:
        return "no log: its job wrote none"
    if row.entry.state == "absent":
        return "no log: it never started"
    return "no log: its output went to the terminal of `moco-harness run`"
