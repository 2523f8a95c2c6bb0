"""`moco-harness cancel`: stop jobs and runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cli import show
from harness.command import Commands
from harness.errors import HarnessError, RecipeError
from harness.launch import cancel, selection
from harness.launch.status import StatusReader
from harness.site import Site

SHOWN = 12


def cancel_command(words: Sequence[str], sets: Sequence[str], site: Site, *, ask: bool) -> None:
    """Stop the jobs and processes of the stages that `words` name: recipes, runs, stages.

    Raises:
        HarnessError: a word names nothing; a stage cannot be stopped from here (others are
            stopped); a job could not be stopped; or there is no terminal to ask on.
    """
    commands = Commands(site.runs, site.file)
    wanted = _wanted(words, sets, site.runs, commands)
    seen = StatusReader(site.runs, commands=commands).read()
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
        show.line(f"  they write a checkpoint and end; to see when: {commands.line('status')}")
    elif not targets.refused:
        for text in targets.idle[:SHOWN]:
            show.line(text)
        show.line("nothing to cancel")
    if targets.refused:
        raise HarnessError("\n".join(["not cancelled:", *targets.refused[:SHOWN]]))


def _wanted(words: Sequence[str], sets: Sequence[str], runs: Path, commands: Commands) -> set[str]:
    """The stages that the words name. A word is first read as a stage's id or a run's whole name,
    then as a recipe, then as a part of a name."""
    found: set[str] = set()
    ids = selection.known(runs)
    whole = {*ids, *map(selection.name, ids)}
    of_recipes = False
    for word in words:
        recipe = None if word in whole else _recipe(word, must=bool(sets))
        if recipe is None:
            found |= set(selection.run(word, ids, commands))
            continue
        from harness.plan import make_plan

        of_recipes = True
        stages = {stage.id for stage in make_plan(recipe, sets, runs).stages} & set(ids)
        if not stages and not sets and any(word in id_ for id_ in ids):
            stages = set(selection.run(word, ids, commands))
        found |= stages
    if sets and not of_recipes:
        raise RecipeError(f"--set {sets[0]}: applies to recipes, but {words[0]} is a run")
    return found


def _recipe(word: str, *, must: bool) -> Path | None:
    """The recipe's file; None if the word names no recipe and `must` is false.

    Raises:
        RecipeError: the word names no recipe and `must` is true.
    """
    from harness.recipe.find import find

    try:
        path = find(word)
    except RecipeError:
        if must or word.endswith((".yaml", ".yml")):
            raise
        return None
    return path if must or path.is_file() or word.endswith((".yaml", ".yml")) else None


def _tell(targets: cancel.Targets) -> None:
    for stage in targets.stages[:SHOWN]:
        show.line(f"  {stage}")
    if len(targets.stages) > SHOWN:
        show.line(f"  and {len(targets.stages) - SHOWN} more stages")
    for text in cancel.consequences(targets):
        show.line(text)
    if targets.behind:
        show.line(f"{len(targets.behind)} stages that wait for them will be cancelled too")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise HarnessError("nothing was cancelled; add --yes to cancel without a question")
    import typer

    return typer.confirm("Cancel?")
