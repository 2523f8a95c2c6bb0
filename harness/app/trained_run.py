"""The finished pre-training that a user means by a name, a folder or a recipe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.command import Commands
from harness.errors import StoreError
from harness.launch import selection
from harness.recipe.find import find_if_recipe
from harness.site import Site
from harness.spec.registry import task
from harness.store.layout import StageFolder, stage_folder
from harness.store.ledger import Entry, read_entry
from harness.store.stale import why_other


def pretraining(word: str, sets: Sequence[str], site: Site) -> StageFolder:
    """The stage that trained the run that `word` names.

    Raises:
        HarnessError: `word` names no run, or several.
    """
    commands = Commands(site.runs, site.file)
    own = Path(os.path.abspath(word))  # noqa: PTH100 - links stay, and are refused
    if word and StageFolder(own).begun:
        return _root(own.parent, own.name)
    ids = selection.known(site.runs)
    whole = not sets and word in {*ids, *map(selection.name, ids)}
    path = None if whole else find_if_recipe(word, must=bool(sets))
    if path is not None:
        return _of_recipe(path, sets, site.runs, commands)
    found = {
        _root(site.runs, id_).id
        for id_ in selection.run(word, _trained(word, ids, site.runs), commands)
    }
    return stage_folder(site.runs, _one(word, sorted(found)))


def _trained(word: str, ids: Sequence[str], runs: Path) -> Sequence[str]:
    """The ids, without evaluations of given weights: a run's name is part of theirs. All, if only
    evaluations have the word in their names."""
    own = [id_ for id_ in ids if word in id_ and not _only_evaluates(_root(runs, id_))]
    return own or ids


def _only_evaluates(folder: StageFolder) -> bool:
    """Whether the pre-training's stage holds given weights as they are."""
    try:
        recipe = (folder.described or {})["recipe"]
        return bool(recipe["model"]["weights"]) and recipe["optim"]["epochs"] == 0
    except (StoreError, KeyError, TypeError):
        return False  # whatever uses the folder reports what is wrong with it


def _of_recipe(path: Path, sets: Sequence[str], runs: Path, commands: Commands) -> StageFolder:
    """The only pre-training of the recipe.

    Raises:
        HarnessError: the recipe has several, or it was never started.
    """
    from harness.plan import make_plan

    made = make_plan(path, sets, runs)
    trained = [each for each in made.stages if task(each.kind).trains and not made.is_beside(each)]
    begun = [each.id for each in trained if each.entry.state != "absent"]
    if not begun:
        again = commands.line("run", path, *(f"--set={each}" for each in sets))
        called = {each.recipe.name for each in trained}
        there = dict.fromkeys(map(selection.name, selection.known(runs)))
        others = [each for each in there if selection.recipe_name(each) in called]
        also = f"\nruns of that name with other settings: {', '.join(others[: selection.SHOWN])}"
        raise StoreError(
            f"{path}: not run yet with these settings; {again}{also if others else ''}"
        )
    return stage_folder(runs, _one(str(path), begun))


def _one(word: str, ids: Sequence[str]) -> str:
    if len(ids) == 1:
        return ids[0]
    shown = "\n".join(f"  {each}" for each in ids[: selection.SHOWN])
    rest = f"\n  and {len(ids) - selection.SHOWN} more" if len(ids) > selection.SHOWN else ""
    raise StoreError(f"{word}: matches {len(ids)} pre-trainings; name one of them:\n{shown}{rest}")


def _root(runs: Path, stage_id: str) -> StageFolder:
    """The first stage in the chain of parents; the stage itself if it has no parent."""
    folder = stage_folder(runs, stage_id)
    seen: set[str] = set()
    while (above := folder.parent) is not None and folder.id not in seen:
        seen.add(folder.id)  # damaged records may form a circle
        folder = above
    return folder


def finished(folder: StageFolder, commands: Commands, what: str = "pre-training") -> Entry:
    """The stage, if it has a valid result.

    Args:
        what: the stage's work, for messages.

    Raises:
        HarnessError: it has none.
    """
    from harness.export.measured import why_shared

    entry = read_entry(folder)
    if entry.state in ("damaged", "unreadable"):
        raise StoreError(entry.detail)
    if entry.state != "finished":
        why = f": {entry.detail}" if entry.detail else ""
        unfit = (
            "its weights are not a result"
            if entry.done
            else "only a finished run has weights to use"
        )
        raise StoreError(
            f"{folder.id}: {what} is {entry.state}{why}; {unfit}. "
            f"{commands.line('status', '--all')} shows its state"
        )
    if why := why_other(entry) or why_shared(entry):
        raise StoreError(f"{folder.path}: {why}; name the run's own folder")
    return entry
