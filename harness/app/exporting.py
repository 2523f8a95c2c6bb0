"""Export a trained network as files for other libraries."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.command import Commands
from harness.errors import HarnessError, RecipeError, StoreError
from harness.launch import selection
from harness.site import Site, load_site
from harness.spec.registry import task
from harness.store.layout import StageFolder, stage_folder
from harness.store.ledger import Entry, read_entry
from harness.store.stale import why_other

if TYPE_CHECKING:
    from harness.export.card import ModelCard
    from harness.export.formats import Format
    from harness.export.network import Network

EXPORTS = "exports"
"""The default folder for exports in the run root."""


@dataclass(frozen=True)
class Exported:
    """The exported files, written now or earlier."""

    stage: str
    """The pre-training stage of the weights."""
    folder: Path
    weights: Path
    files: tuple[Path, ...]
    """The weights, their additional files, and the model card, README.md."""
    sha256: str
    """SHA-256 of the weights' file."""
    written: bool
    """False: identical files were there already."""
    notes: tuple[str, ...] = ()
    """What users of the weights must know."""


def export(
    run: Path | str,
    form: Format | str,
    site: Site | None = None,
    *,
    to: Path | None = None,
    head: bool = False,
    key: bool = False,
    sets: Sequence[str] = (),
) -> Exported:
    """Write the network of a finished pre-training in a library's format, with a model card.

    Args:
        run: a stage's id or folder, a recipe, or a part of a run's name that no other run has. For
            any stage of a run, its pre-training is exported.
        form: torchvision, timm, detectron2 or transformers.
        site: the machine; None: from the user's site file.
        to: the folder to make; None: one under RUNS/exports with the stage's name.
        head: include the projection head.
        key: export the key encoder instead of the query encoder.
        sets: changes of fields, if `run` is a recipe.

    Raises:
        HarnessError: `run` names nothing or several runs; the run has not finished; the format
            cannot express the network; or the folder holds something else.
    """
    from harness.export import folder as folders
    from harness.export import formats

    try:
        form = formats.Format(form)
    except ValueError:
        known = ", ".join(formats.Format)
        raise RecipeError(f"{form}: no export format; use {known}") from None
    site = site or load_site()
    entry = _finished(_pretraining(str(run), sets, site), Commands(site.runs, site.file))
    card, network = _gather(entry, form, head=head, key=key)
    content = dict(formats.files(form, network, card.metadata))
    weights, data = next(iter(content.items()))
    sha256 = hashlib.sha256(data).hexdigest()
    usage = formats.usage(form, network)
    content["README.md"] = card.page(form, usage, weights, sha256).encode()
    usual = _named(entry.folder.id, form, head=head, key=key)
    folder = to or entry.folder.path.parent / EXPORTS / usual
    written = folders.write(folder, content)
    return Exported(
        entry.folder.id,
        folder,
        folder / weights,
        tuple(folder / name for name in content),
        sha256,
        written,
        tuple(card.notes),
    )


def _gather(entry: Entry, form: Format, *, head: bool, key: bool) -> tuple[ModelCard, Network]:
    """The network and its model card. What the format cannot express is refused before a large file
    is read."""
    from harness.export import formats, measured
    from harness.export.card import ModelCard

    described, result = entry.described or {}, entry.result or {}
    try:
        recipe, _ = measured.recipe_of(entry)
    except HarnessError as error:
        raise StoreError(f"{entry.folder.path}: {error}; move the folder away") from error
    formats.refuse(form, recipe.model, head=head)
    from harness.export.network import read

    network = read(entry.folder, recipe, result, head=head, key=key)
    card = ModelCard(
        folder=entry.folder,
        recipe=recipe,
        plain=described["recipe"],
        result=result,
        measured=measured.measured(entry),
        key=key,
        head=head,
        mean=network.views.mean,
        std=network.views.std,
        statistics=network.statistics,
        lent=network.lent,
    )
    return card, network


def _named(stage: str, form: Format, *, head: bool, key: bool) -> str:
    """The folder's name under RUNS/exports."""
    return f"{stage}.{form.value}" + (".key" if key else "") + (".head" if head else "")


# ---- select the pre-training


def _pretraining(word: str, sets: Sequence[str], site: Site) -> StageFolder:
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
    path = None if whole else _recipe(word, must=bool(sets))
    if path is not None:
        return _of_recipe(path, sets, site.runs, commands)
    found = {_root(site.runs, id_).id for id_ in selection.run(word, ids, commands)}
    return stage_folder(site.runs, _one(word, sorted(found)))


def _recipe(word: str, *, must: bool) -> Path | None:
    """The recipe's file; None if the word names no recipe and `must` is false.

    Raises:
        RecipeError: the word names no recipe and `must` is true.
    """
    from harness.recipe.find import ENDINGS, find

    try:
        path = find(word)
    except RecipeError:
        if must or os.sep in word or word.endswith(ENDINGS):
            raise
        return None
    return path if must or path.is_file() or os.sep in word or word.endswith(ENDINGS) else None


def _of_recipe(path: Path, sets: Sequence[str], runs: Path, commands: Commands) -> StageFolder:
    """The only pre-training of the recipe.

    Raises:
        HarnessError: the recipe has several, or it was never started.
    """
    from harness.plan import make_plan

    trained = [each for each in make_plan(path, sets, runs).stages if task(each.kind).trains]
    begun = [each.id for each in trained if each.entry.state != "absent"]
    if not begun:
        again = commands.line("run", path, *(f"--set={each}" for each in sets))
        called = {each.recipe.name for each in trained}
        there = dict.fromkeys(map(selection.name, selection.known(runs)))
        others = [each for each in there if each.rpartition("-s")[0] in called]
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


def _finished(folder: StageFolder, commands: Commands) -> Entry:
    """The stage, if it has a valid result.

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
            "its weights are not a result" if entry.done else ("only finished runs can be exported")
        )
        raise StoreError(
            f"{folder.id}: pre-training is {entry.state}{why}; {unfit}. "
            f"{commands.line('status', '--all')} shows its state"
        )
    if why := why_other(entry) or why_shared(entry):
        raise StoreError(f"{folder.path}: {why}; name the run's own folder")
    return entry
