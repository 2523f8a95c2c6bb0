"""The source of a recipe: the run whose weights it takes, its folder, and whether it can be used.

`model.weights.run` names it to take its query encoder. `continue_from` names it to resume with all
of its state. Its id is part of the recipe's identity, its folder is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.recipe.identity import digest
from harness.recipe.schema import Recipe
from harness.recipe.section import last_part, plain
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry

WHERE = "source"
"""The key in stage.json for the source's folder, if it is not beside the stage, or for the path of
a file of weights, if it is not under the data root."""

KEPT = ("seed", "data", "augment", "contrast", "precision")
"""Fields that must be the same in a run and in the one that it continues, besides model and
batch."""


def named(recipe: Recipe) -> tuple[str, str]:
    """(field, value) of the recipe's source; ("", "") if it has none."""
    if recipe.continue_from is not None:
        return "continue_from", recipe.continue_from
    weights = recipe.model.weights
    if weights is not None and weights.run is not None:
        return "model.weights.run", weights.run
    return "", ""


def located(recipe: Recipe, runs: Path) -> StageFolder | None:
    """The source's folder; a path is relative to the run root. None: the recipe has no source."""
    _, said = named(recipe)
    return StageFolder((runs / said).absolute()) if said else None


def of_stage(recipe: Recipe, folder: StageFolder) -> StageFolder | None:
    """As `located`, for a stage: the recipe in its stage.json has only the source's id."""
    kept = (folder.described or {}).get(WHERE)
    if isinstance(kept, str) and last_part(kept) == last_part(named(recipe)[1]):
        return StageFolder(Path(kept))
    return located(recipe, folder.path.parent)


def noted(recipe: Recipe, runs: Path) -> dict[str, str]:
    """The entry for the source's folder, or for a file of weights outside the data root, in the
    stage.json of the recipe's pre-training."""
    weights = recipe.model.weights
    if weights is not None and weights.file is not None:
        return {WHERE: weights.file} if weights.file.startswith("/") else {}
    found = located(recipe, runs)
    return {} if found is None or found.path.parent == runs.absolute() else {WHERE: str(found.path)}


def with_place(recipe: Recipe, described: Mapping[str, Any]) -> Recipe:
    """The recipe of a stage.json, which has only the name of a file outside the data root, with the
    path that is noted beside it."""
    weights, kept = recipe.model.weights, described.get(WHERE)
    if weights is None or weights.file is None or not isinstance(kept, str):
        return recipe
    if not kept.startswith("/") or last_part(kept) != weights.file:
        return recipe
    model = recipe.model.model_copy(update={"weights": weights.model_copy(update={"file": kept})})
    return recipe.model_copy(update={"model": model})


def why_unfit(recipe: Recipe, source: StageFolder) -> str:
    """Why the recipe cannot take its source's weights, and what to do; "" if it can."""
    field, _ = named(recipe)
    entry = read_entry(source)
    about, result = entry.described, entry.result
    where = f"{field}: {source.path}"
    if about is None or entry.state == "absent":
        lacking = entry.detail or "no such stage"
        return f"{where}: {lacking}; for a stage of another run root, give its folder's path"
    if about.get("id") != source.id:
        return f"{where}: a copy of {about.get('id')}; name the original"
    if parent := about.get("parent"):
        return f"{where}: an evaluation, not a pre-training; name {parent}"
    if entry.state == "diverged":
        return f"{where}: it diverged, so its weights cannot be used: {entry.detail}"
    if entry.state in ("damaged", "unreadable"):
        return f"{where}: {entry.detail}"
    if result is None:
        return f"{where}: it has not finished ({entry.state}); wait until it has finished"
    step, weights = result.get("step"), result.get("weights")
    try:
        there = (source.checkpoints / f"step-{step:08d}-{weights}.pt").is_file()
        why = next(_apart(recipe, about["recipe"], result), "")
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        return f"{where}: a record that this version cannot read ({type(error).__name__})"
    if not there:
        return f"{where}: the checkpoint of its last step, {step}, is missing; restore it"
    return f"{where}: {why}" if why else ""


def _apart(recipe: Recipe, theirs: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    """Why the recipe does not fit the finished run."""
    own, model = plain(recipe), theirs["model"]
    if model.get("layout") == "msra":
        yield "it holds MSRA's network, which is another one: name MSRA's file"
    for key in ("backbone", "width"):
        if own["model"][key] != model[key]:
            both = f"{key} is {model[key]}, the recipe's {own['model'][key]}"
            yield f"another network: its {both}; set model.{key}: {model[key]}"
    if recipe.continue_from is None:
        yield from _head_apart(recipe, model)
        return
    for key in (*KEPT, "model"):
        here, there = (_without_weights(each) for each in (own[key], theirs[key]))
        if here != there:
            fields = ", ".join(_differing(key, here, there))
            yield (
                f"a run that continues it needs the same {fields}; to start from its weights "
                "alone, use model.weights: {run: ...} instead of continue_from"
            )
    if own["optim"]["batch"] != theirs["optim"]["batch"]:
        yield f"a run that continues it needs its optim.batch, {theirs['optim']['batch']}"
    per_epoch = result["data"]["train"] // recipe.optim.batch
    total = min(recipe.optim.epochs * per_epoch, recipe.optim.steps or float("inf"))
    if total <= result["step"]:
        yield (
            f"it has made {result['step']} steps ({per_epoch} per epoch), but optim ends at step "
            f"{total:.0f}: epochs and steps count from its start; raise them"
        )


def _head_apart(recipe: Recipe, theirs: Mapping[str, Any]) -> Iterator[str]:
    weights, model = recipe.model.weights, recipe.model
    assert weights is not None
    read = recipe.optim.epochs > 0 or recipe.reads_output
    if (theirs["head"], theirs["dim"]) != (model.head, model.dim) and (
        read and weights.head == "given"
    ):
        mend = "set model.weights.head: new" if recipe.optim.epochs else "use knn.layer: backbone"
        yield (
            f"another head: {theirs['head']}, {theirs['dim']} wide, the recipe's {model.head}, "
            f"{model.dim} wide; set model.head: {theirs['head']} and model.dim: {theirs['dim']}, "
            f"or {mend}"
        )


def _without_weights(section: Any) -> Any:
    return (
        {k: v for k, v in section.items() if k != "weights"}
        if isinstance(section, dict)
        else section
    )


def _differing(key: str, here: Any, there: Any) -> list[str]:
    """The fields that differ, with the source's values."""
    if not isinstance(here, dict) or not isinstance(there, dict):
        return [f"{key} ({there})"]
    return [
        f"{key}.{name} ({there.get(name)})"
        for name in {**here, **there}
        if digest(here.get(name)) != digest(there.get(name))
    ]
