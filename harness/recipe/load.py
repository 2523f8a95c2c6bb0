"""Load a YAML file as a typed recipe: merge its bases, apply `--set`, report every mistake."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import RecipeError
from harness.recipe import printed
from harness.recipe.ablation import Ablation, Scale
from harness.recipe.grid import FIELD as GRID
from harness.recipe.grid import with_cells
from harness.recipe.recipe_list import RecipeList
from harness.recipe.references import chain, referred
from harness.recipe.scale_file import (
    ScaleFile,
    from_chain,
    is_scale,
    scale_file,
    without_looks,
)
from harness.recipe.schema import Recipe
from harness.recipe.section import Section
from harness.recipe.settings import parse_set, suggest_on_error
from harness.recipe.suggest import listed
from harness.recipe.tree import Node, merge, overlay
from harness.recipe.validate import check as check
from harness.recipe.validate import validate
from harness.recipe.yaml_source import display, read

SCALE_FIELDS = ("seeds", "max_seeds", "cells", "margin", "metric", "control", "name", "about")
"""The ablation recipe's own fields that `--set` changes; any other path goes to its recipe."""

OWN_FIELDS = ("name", "about")
"""Fields that describe one recipe only and are not inherited."""

UNREAD = ("watch", "about")
"""Sections that no stage reads (`harness.recipe.identity`). Changing them keeps a scale's level."""

_WHAT: dict[type[Section], str] = {
    Recipe: "a recipe (one run)",
    Scale: "an ablation recipe (it has `ablation:`)",
    Ablation: "an ablation (a paper's table)",
    RecipeList: "a list of recipes (`check` takes it)",
}


def load(path: Path, sets: Sequence[str] = ()) -> Recipe | Scale:
    """The recipe or, where the file or one that it extends has `ablation:`, the ablation recipe,
    with `--set` applied.

    Raises RecipeError with all mistakes of the file, one per line, each with file and line.
    """
    return suggest_on_error(sets, lambda tried: loaded(path, tried))


def loaded(path: Path, sets: Sequence[str]) -> Recipe | Scale:
    """As `load`, for callers that suggest the correct form of a setting. Raises RecipeError."""
    node = read(path)
    if is_scale(files := chain(path, node)):
        return scale_of(from_chain(files), sets)
    return _checked(path, node, sets)


def load_recipe(path: Path, sets: Sequence[str] = ()) -> Recipe:
    """The recipe with its bases merged and `--set` applied. Raises RecipeError."""
    return suggest_on_error(sets, lambda tried: _checked(path, read(path), tried))


def _checked(path: Path, node: Node, sets: Sequence[str]) -> Recipe:
    """The recipe. A mistake that lies across fields, in one that is inherited, says where to set
    it: the base may be right."""
    found = validate(Recipe, recipe_node(path, node, sets))
    if isinstance(found, Recipe):
        return found
    own, lines = display(path), []
    for each in found:
        inherited = each.across and each.place.line is not None and each.place.source != own
        hint = f" (inherited: set it in {own}, or with --set)" if inherited else ""
        lines.append(f"{each}{hint}")
    raise RecipeError("\n".join(lines))


def load_scale(path: Path, sets: Sequence[str] = ()) -> Scale:
    """The ablation recipe. A `--set` of a field that it does not have itself goes to its `set` and
    makes it a scale of one's own: `level` becomes null, unless only `watch` or `about` changes.

    Raises RecipeError.
    """
    node = read(path)
    if not is_scale(chain(path, node)):
        _of_kind(Scale, node)
    return scale_of(scale_file(path), sets)


def is_list(path: Path) -> bool:
    """Whether the file is a list of recipes. Raises RecipeError if it cannot be read."""
    return "recipes" in read(path).fields()


def load_list(
    path: Path, missing: Callable[[str], object] | None = None
) -> tuple[RecipeList, list[Path], Path | None]:
    """A list of recipes, the files that it names, and its baseline's file.

    A recipe that does not exist raises RecipeError; with `missing`, that function is called
    instead. The baseline need not exist yet.

    Raises RecipeError.
    """
    node = _named(_of_kind(RecipeList, read(path)), path)
    found = check(RecipeList, node)
    files = []
    for n, name in enumerate(found.recipes):
        place = node.nearest(("recipes", n)).place
        try:
            files.append(_beside(referred(path, name, f"{place}: recipes.{n}: ")))
        except RecipeError as error:
            if missing is None:
                raise
            missing(str(error))
    try:
        baseline = _beside(path.parent / found.baseline) if found.baseline else None
    except (OSError, ValueError) as error:  # no file system can hold this name
        place = node.nearest(("baseline",)).place
        raise RecipeError(f"{place}: baseline: not a file name") from error
    return found, files, baseline


def _beside(path: Path) -> Path:
    """The path without `..`, if it still names the same file."""
    short = Path(os.path.normpath(path))
    return short if not path.exists() or (short.exists() and short.samefile(path)) else path


def load_ablation(path: Path) -> Ablation:
    """A paper's table, from ablations/. Raises RecipeError."""
    return check(Ablation, ablation_node(path))


def is_ablation(path: Path) -> bool:
    """Whether the file is an ablation: what was varied, in cells or in a grid. Raises RecipeError
    if it cannot be read."""
    return bool({*_marks(Ablation), GRID} & read(path).fields())


def ablation_node(path: Path) -> Node:
    """The ablation's values, with its grid as cells and the printed numbers filled in, not
    validated yet."""
    return held_ablation(_named(_of_kind(Ablation, read(path)), path), path)


def held_ablation(node: Node, path: Path) -> Node:
    """As `ablation_node`, of an ablation that an ablation recipe at `path` holds."""
    return printed.resolve(with_cells(node), path.parent / printed.FILE)


def recipe_node(path: Path, node: Node, sets: Sequence[str] = ()) -> Node:
    """The recipe's values after bases and `--set`, not validated yet. Raises RecipeError."""
    merged = _extended(path, node)
    settings = [parse_set(text) for text in sets]
    return _named(merge(merged, overlay(settings, merged.place)), path)


def scale_of(file: ScaleFile, sets: Sequence[str] = ()) -> Scale:
    """The ablation recipe with `--set` applied; see `load_scale`. Raises RecipeError."""
    node = _of_kind(Scale, file.node)
    own, others = [], {}
    for text in sets:
        dotted, value = parse_set(text)
        if dotted.split(".")[0] in SCALE_FIELDS:
            own.append((dotted, value))
        else:
            others[dotted] = value
    node = without_looks(node, {dotted for dotted, _ in own})
    node = merge(node, overlay(own, node.place))
    settings = node.get("set") or Node({}, node.place)
    if others and isinstance(settings.value, dict):
        # The last setting wins: a field that the command line sets again moves behind the file's
        # fields.
        kept = settings.without(*others).value
        assert isinstance(kept, dict)
        node = node.with_("set", Node(kept | others, settings.place))
        if any(field.split(".")[0] not in UNREAD for field in others):
            node = node.with_("level", Node(None, node.place))
    return check(Scale, node)


def _extended(path: Path, node: Node) -> Node:
    """The recipe merged over its chain of bases."""
    files = chain(path, _of_kind(Recipe, node))
    for (_, child), (_, base) in itertools.pairwise(files):
        extends = child.get("extends")
        _of_kind(Recipe, base, f"{extends.place if extends else path}: extends: ")
    merged = files[-1][1].without("extends")
    for _, child in reversed(files[:-1]):
        merged = merge(merged.without(*OWN_FIELDS), child.without("extends"))
    return Node(merged.value, node.place)


def _named(node: Node, path: Path) -> Node:
    return node if "name" in node.fields() else node.with_("name", Node(path.stem, node.place))


def _of_kind(wanted: type[Section], node: Node, prefix: str = "") -> Node:
    """The node. Refused if its fields show that the file is of another kind."""
    if _marks(wanted) & node.fields():
        return node
    for other in _WHAT:
        found = _marks(other) & node.fields()
        if other is not wanted and found:
            if wanted is Recipe and other is Scale and not found & {"ablation", "recipe"}:
                raise _of_several_runs(node, found)
            raise RecipeError(
                f"{prefix}{node.place}: this is {_WHAT[other]}, by its fields "
                f"{listed(sorted(found))}; needed is {_WHAT[wanted]}"
            )
    return node


def _of_several_runs(node: Node, found: set[str]) -> RecipeError:
    """The refusal of fields of ablation recipes in a recipe of one run."""
    first = min((node.nearest((name,)) for name in found), key=lambda each: each.place.line or 0)
    seeds = "; write seed: N, or give --seeds N,M" if "seeds" in found else ""
    return RecipeError(
        f"{first.place}: {listed(sorted(found))}: unknown in a recipe (one run), as only ablation "
        f"recipes have {'it' if len(found) == 1 else 'them'}{seeds}"
    )


def _marks(kind: type[Section]) -> set[str]:
    """The fields that only this kind of file has."""
    others = [set(model.model_fields) for model in _WHAT if model is not kind]
    return set(kind.model_fields).difference(*others)
