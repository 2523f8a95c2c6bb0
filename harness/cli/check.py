"""`moco-harness check`: the recipe's targets held against its runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from harness.check import Verdict, check
from harness.cli import show
from harness.errors import RecipeError, TargetMissed
from harness.plan import make_plan

_STYLE = {"passed": "green", "short": "red", "stale": "yellow", "missing": "yellow"}


def check_command(path: Path, sets: Sequence[str], runs: Path) -> int:
    """Print each target's outcome; returns 0 if all passed, else TargetMissed's exit code.

    Raises:
        RecipeError: the file cannot be accepted, or states no target.
    """
    made = make_plan(path, sets, runs)
    verdicts = check(made.expansion or made.stages[0].recipe, runs)
    if not verdicts:
        raise RecipeError(f"{path}: no targets to check; add some under about.targets or targets")
    if show.console.is_terminal:
        show.console.print(_table(verdicts))
    else:
        for verdict in verdicts:
            named = f"{verdict.cell}  {verdict.target.metric}  {verdict.judged}"
            show.line(f"{named}  {verdict.says}")
    return 0 if all(verdict.passed for verdict in verdicts) else TargetMissed.exit_code


def _table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("target of", "metric", "", "why"):
        table.add_column(heading)
    for verdict in verdicts:
        table.add_row(
            escape(verdict.cell),
            verdict.target.metric,
            f"[{_STYLE[verdict.judged]}]{verdict.judged}[/]",
            escape(verdict.says),
        )
    return table
