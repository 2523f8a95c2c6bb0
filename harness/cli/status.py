"""`moco-harness status`: what the run root holds."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from harness.cli import show
from harness.errors import StoreError
from harness.store import journal
from harness.store.ledger import Entry, everything

_STYLE = {
    "finished": "green",
    "diverged": "magenta",
    "running": "blue",
    "interrupted": "yellow",
    "failed": "red",
    "damaged": "red",
    "absent": "dim",
}


def status_command(runs: Path, *, every: bool) -> None:
    """Print a summary by ablation and, if `every` or there are few, a row for each stage."""
    entries = list(everything(runs))
    if not entries:
        show.line(f"no runs under {runs} yet; begin with: moco-harness run recipes/quickstart.yaml")
        return
    groups: dict[str, Counter[str]] = {}
    for entry in entries:
        groups.setdefault(_group(entry), Counter())[entry.state] += 1
    if every or len(entries) <= show.ROWS:
        _rows(entries)
    for group, states in sorted(groups.items()):
        counted = ", ".join(f"[{_STYLE[s]}]{n} {s}[/]" for s, n in sorted(states.items()))
        show.console.print(f"[bold]{escape(group)}[/]: {counted}")


def _group(entry: Entry) -> str:
    if entry.described is None:
        return "(damaged)"
    return str(entry.described.get("group", "?"))


def _rows(entries: list[Entry]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("stage", "state", "step", "figures", "detail"):
        table.add_column(heading, justify="right" if heading == "step" else "left")
    for entry in entries:
        step, figures = _latest(entry)
        table.add_row(
            escape(entry.folder.id),
            f"[{_STYLE[entry.state]}]{entry.state}[/]",
            step,
            escape(figures),
            escape(entry.detail),
        )
    show.console.print(table)


def _latest(entry: Entry) -> tuple[str, str]:
    if entry.result is not None:
        values = entry.result.get("values", {})
        step = str(entry.result.get("step", ""))
    else:
        values, step = {}, ""
        with contextlib.suppress(StoreError):  # unreadable: the row has no figures
            for record in journal.read(entry.folder):
                values |= {k: v for k, v in record.items() if "/" in k}
                step = str(record["step"])
    shown = [
        f"{name} {values[name]:.2f}"
        for name in ("train/loss", "knn/top1", "linear/top1")
        if isinstance(values.get(name), int | float)
    ]
    return step, ", ".join(shown)
