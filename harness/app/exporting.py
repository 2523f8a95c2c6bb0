"""Export a trained network as files for other libraries."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.app.exported import EXPORTS, Exported
from harness.app.public import public
from harness.app.trained_run import finished, pretraining
from harness.command import Commands
from harness.errors import HarnessError, RecipeError, StoreError
from harness.site import Site, load_site
from harness.store.ledger import Entry

if TYPE_CHECKING:
    from harness.export.card import ModelCard
    from harness.export.formats import Format
    from harness.export.network import Network


@public
def export(
    run: Path | str,
    form: Format | str,
    site: Site | None = None,
    *,
    to: Path | None = None,
    head: bool = False,
    key: bool = False,
    task: str | None = None,
    sets: Sequence[str] = (),
) -> Exported:
    """Write the network of a finished pre-training in a library's format, with a model card; or the
    whole detector that one of the run's tasks has trained.

    Args:
        run: a stage's id or folder, a recipe, or a part of a run's name that no other run has. For
            any stage of a run, its pre-training is exported.
        form: torchvision, timm, detectron2 or transformers.
        site: the machine; None: from the user's site file.
        to: the folder to make; None: one under RUNS/exports with the stage's name.
        head: include the projection head.
        key: export the key encoder instead of the query encoder.
        task: the name under the recipe's `tasks:` of a task that trained a detector, e.g. voc, or
            of one of its trials, voc=t1: the detector is exported, for detectron2.
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
    if task is not None:
        from harness.app.detector_export import export_detector

        if form != formats.Format.detectron2 or head or key:
            raise RecipeError(
                f"--task {task}: whole detectors are exported for detectron2 only, without --head "
                "and --key: use --format detectron2"
            )
        return export_detector(str(run), task, site, to, sets)
    entry = finished(pretraining(str(run), sets, site), Commands(site.runs, site.file))
    card, network = _gather(entry, form, head=head, key=key)
    content = dict(formats.files(form, network, card.metadata))
    weights, data = next(iter(content.items()))
    sha256 = hashlib.sha256(data).hexdigest()
    usage = formats.usage(form, network)
    content["README.md"] = card.page(form, usage, weights, sha256).encode()
    usual = _named(entry.folder.id, form, head=head, key=key)
    folder = to or entry.folder.path.parent / EXPORTS / usual
    written = folders.write(folder, content)
    files = tuple(folder / name for name in content)
    notes = tuple(card.notes)
    return Exported(entry.folder.id, folder, folder / weights, files, sha256, written, notes)


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
