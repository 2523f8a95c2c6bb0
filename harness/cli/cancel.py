"""`moco-harness cancel`: stop jobs and runs."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from harness.cli import show
from harness.cli.options import settings
from harness.command import Commands
from harness.errors import HarnessError, RecipeError
from harness.launch import cancel, selection
from harness.launch.status import Statuses, StatusReader
from harness.launch.status_rules import ALIVE
from harness.recipe.find import find_if_recipe
from harness.site import Site

SHOWN = 12


def cancel_command(
    words: Sequence[str], sets: list[str], seeds: str | None, site: Site, *, ask: bool
) -> None:
    """Stop the jobs and processes of the stages that `words` name: recipes, runs, stages.

    Args:
        sets, seeds: the options --set and --seeds; they apply to recipes.

    Raises:
        HarnessError: a word names nothing; a stage cannot be stopped from here (others are
            stopped); a job could not be stopped; or there is no terminal to ask on.
    """
    commands = Commands(site.runs, site.file)
    wanted, recipes = _wanted(words, settings(sets, seeds), site.runs, commands)
    if not recipes and (sets or seeds is not None):
        option = f"--set {sets[0]}" if sets else f"--seeds {seeds}"
        raise RecipeError(f"{option}: applies to recipes, but {words[0]} is a run")
    seen = StatusReader(site.runs, commands=commands).read()
    targets = cancel.aim(seen, wanted)
    for note in seen.notes:
        show.line(f"note: {note}")
    if left := _left(seen, {*wanted, *targets.behind}, recipes):
        show.line(
            f"note: of other seeds or settings, and go on: {show.named(left)}; to cancel them "
            "too, name them, or add --seeds or --set as for `run`"
        )
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


def _wanted(
    words: Sequence[str], sets: Sequence[str], runs: Path, commands: Commands
) -> tuple[set[str], set[str]]:
    """(the stages that the words name, the names of the recipes among the words). A word is first
    read as a stage's id or a run's whole name, then as a recipe, then as a part of a name."""
    found: set[str] = set()
    recipes: set[str] = set()
    ids = selection.known(runs)
    whole = {*ids, *map(selection.name, ids)}
    for word in words:
        recipe = None if word in whole else find_if_recipe(word, must=bool(sets))
        if recipe is None:
            found |= set(selection.run(word, ids, commands))
            continue
        from harness.plan import make_plan

        made = make_plan(recipe, sets, runs)
        recipes |= {stage.recipe.name for stage in made.stages if not made.is_beside(stage)}
        stages = {stage.id for stage in made.stages} & set(ids)
        if not stages and not sets and any(word in id_ for id_ in ids):
            stages = set(selection.run(word, ids, commands))
        found |= stages
    return found, recipes


def _left(seen: Statuses, cancelled: Collection[str], recipes: Collection[str]) -> list[str]:
    """The stages of these recipes that go on."""
    return [
        row.id
        for row in seen.rows
        if row.id not in cancelled
        and row.state in ALIVE
        and selection.recipe_name(selection.name(row.id)) in recipes
    ]


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
