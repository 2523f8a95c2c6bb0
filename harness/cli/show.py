"""Plain printing and the plan's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from harness.plan import Plan, PlannedStage
    from harness.site import Site

ROWS = 40
"""Runs that a table shows; of more, it shows a summary."""

REASONS = 10
"""Reasons that stand below it."""

console = Console(highlight=False)

_STYLE = {
    "run": "cyan",
    "resume": "cyan",
    "retry": "yellow",
    "again": "cyan",
    "skip": "dim",
    "busy": "blue",
    "refuse": "red",
}


def line(text: str) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """About `seconds`, in words: 40 s, 12 min, 3.5 h, 2.2 days."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def _cell(stage: PlannedStage) -> str:
    words: str = stage.entry.state if stage.action == "skip" and stage.entry.done else stage.action
    if stage.action == "skip" and not stage.entry.done:
        words = "none"
    return f"[{_STYLE[stage.action]}]{words}[/]"


def plan(made: Plan, site: Site) -> None:
    """Print the plan: a row for each run, what is skipped and why, how long, and where to."""
    runs = _by_run(made)
    kinds = list(dict.fromkeys(stage.kind for stage in made.stages))
    if len(runs) <= ROWS:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("run")
        table.add_column("seed", justify="right")
        for kind in kinds:
            table.add_column(kind)
        table.add_column("about", justify="right")
        for stages in runs:
            by_kind = {stage.kind: stage for stage in stages}
            parts = [s.seconds for s in stages if s.action != "skip"]
            known = None if None in parts else sum(p for p in parts if p)
            took = "" if not parts else "?" if known is None else duration(known)
            first = stages[0].recipe
            table.add_row(
                escape(first.name),
                str(first.seed),
                *(_cell(by_kind[k]) if k in by_kind else "" for k in kinds),
                took,
            )
        console.print(table)
    reasons = sorted({s.why for s in made.stages if s.action in ("busy", "refuse", "retry")})
    for why in reasons[:REASONS]:
        line(f"  {why}")
    if len(reasons) > REASONS:
        line(f"  ... and {len(reasons) - REASONS} more")
    stale = sum(s.stale for s in made.stages if s.action == "skip")
    if stale:
        line(f"  {stale} finished stages are of other code, libraries or weights: stale")
        line("  run --again moves them aside and runs them anew")
    done = len(made.stages) - len(made.todo)
    counted = f"{len(made.todo)} to do, {done} done or not due"
    line(f"{len(runs)} runs, {len(made.stages)} stages: {counted}")
    if made.todo:
        line(f"{_how_long(made)}; files go to {site.runs}")


def _by_run(made: Plan) -> list[list[PlannedStage]]:
    runs: dict[tuple[str, int], list[PlannedStage]] = {}
    for stage in made.stages:
        runs.setdefault((stage.recipe.name, stage.recipe.seed), []).append(stage)
    return list(runs.values())


def _how_long(made: Plan) -> str:
    if made.seconds is not None:
        return f"about {duration(made.seconds)}, as measured here"
    hours = made.stated_hours
    cost = made.todo[0].recipe.about.cost or (made.scale.about.cost if made.scale else None)
    for stage in made.todo:
        cost = stage.recipe.about.cost or cost
    if hours is None or cost is None:
        return "how long is not known: nothing like it was measured here yet"
    return f"about {duration(hours * 3600)} on {cost.on} ({cost.source}); not measured here yet"
