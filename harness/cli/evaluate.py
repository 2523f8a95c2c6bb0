"""`moco-harness evaluate`: write an evaluation's recipe, then run it as `run` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.app import evaluating
from harness.cli import show
from harness.cli.run import RunOptions, run_command
from harness.site import Site


def evaluate_command(
    weights: str,
    on: Sequence[str],
    tasks: Sequence[str],
    size: int | None,
    to: Path | None,
    sets: Sequence[str],
    site: Site,
    how: RunOptions,
) -> int:
    """Write the recipe and run it; returns the exit code of `run`.

    Raises:
        HarnessError: see `harness.app.evaluate`, and `run`.
    """
    made = evaluating.write(weights, on, site, tasks=tasks, size=size, to=to, sets=sets)
    show.line(f"{made.said}")
    show.line(f"recipe: {made.recipe}{'' if made.new else ' (there already)'}")
    return run_command(made.recipe, sets, site, how)
