"""`moco-harness cancel`: stop jobs and runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cli import show
from harness.errors import HarnessError
from harness.launch import cancel, choose
from harness.launch.truth import Truth

SHOWN = 12


def cancel_command(words: Sequence[str], sets: Sequence[str], runs: Path, *, ask: bool) -> None:
    """Stop what works on the stages that `words` name: recipes, runs, stages.

    Raises:
        HarnessError: a word names nothing; a stage is not ours to stop (the others are stopped);
            SLURM refused; or there is no terminal to ask on.
    """
    wanted = _wanted(words, sets, runs)
    seen = Truth(runs).look()
    targets = cancel.aim(seen, wanted)
    for note in seen.notes:
        show.line(f"note: {note}")
    if targets.stages:
        _tell(targets)
        if ask and not _agreed():
            return
        cancel.stop(targets)
        count = len(targets.stages)
        show.line(f"asked {count} {'stage' if count == 1 else 'stages'} to stop")
        show.line("  they write a checkpoint and end; moco-harness status shows when")
    elif not targets.refused:
        for text in targets.idle[:SHOWN]:
            show.line(text)
        show.line("nothing to cancel")
    if targets.refused:
        raise HarnessError("\n".join(["not cancelled:", *targets.refused[:SHOWN]]))


def _wanted(words: Sequence[str], sets: Sequence[str], runs: Path) -> set[str]:
    found: set[str] = set()
    ids = choose.known(runs)
    for word in words:
        if word not in ids and word.endswith((".yaml", ".yml")):
            from harness.plan import make_plan
            from harness.recipe.find import find

            found |= {stage.id for stage in make_plan(find(word), sets, runs).stages} & set(ids)
        else:
            found |= set(choose.run(word, ids))
    return found


def _tell(targets: cancel.Targets) -> None:
    for stage in targets.stages[:SHOWN]:
        show.line(f"  {stage}")
    if len(targets.stages) > SHOWN:
        show.line(f"  and {len(targets.stages) - SHOWN} more stages")
    if targets.jobs:
        count = len(targets.jobs)
        show.line(f"{count} {'job' if count == 1 else 'jobs'} of SLURM will be cancelled")
    for what in targets.processes.values():
        show.line(f"{what} will be stopped")
    if targets.behind:
        show.line(f"{len(targets.behind)} stages that wait for them will be cancelled with them")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise HarnessError("nothing was cancelled; say --yes to cancel unasked")
    import typer

    return typer.confirm("Cancel?")
