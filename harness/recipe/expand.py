"""Expand an ablation recipe into the recipes of its runs: every cell with every seed, and the
control."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RecipeError
from harness.recipe.ablation import CONTROL, Ablation, Control, Scale
from harness.recipe.field_errors import Complaint, dotted
from harness.recipe.find import shipped
from harness.recipe.load import ablation_node, held_ablation, is_ablation, recipe_node
from harness.recipe.printed import FILE
from harness.recipe.references import referred
from harness.recipe.reported import measures
from harness.recipe.scale_file import ScaleFile, scale_file
from harness.recipe.schema import About, Recipe
from harness.recipe.suggest import did_you_mean, listed, printable
from harness.recipe.tree import Node, Place, merge, overlay, placed
from harness.recipe.validate import check, validate
from harness.recipe.yaml_source import display, read
from harness.spec.registry import task_of

RESERVED = {
    "name": "runs get their names from the ablation recipe and the cell",
    "seed": "seeds belong under `seeds:`",
    "about": "set `about:` of the ablation recipe instead",
}
"""Fields of a recipe that an ablation recipe sets elsewhere, and where."""


OF_TRAINING = ("augment", "contrast", "optim", "views")
"""Sections that mean nothing to a network that is not trained."""
OF_CONTROLS = ("data", "precision", "knn", "linear", "tasks")
"""Sections of `set` that also apply to given weights: the data and how they are evaluated."""


@dataclass(frozen=True)
class Member:
    """One run of an ablation."""

    cell: str
    """The cell's id, or CONTROL."""
    seed: int
    recipe: Recipe


@dataclass(frozen=True)
class Expansion:
    """An ablation and the runs of an ablation recipe: control first, then the cells in the paper's
    order, then given weights."""

    ablation: Ablation
    members: list[Member]
    base: Recipe | None = None
    """The recipe that the cells change, as its file has it; None: it cannot be run alone."""


@dataclass(frozen=True)
class _Cell:
    """A cell whose recipe is not validated yet."""

    id: str
    settings: list[tuple[str, Node]]
    place: Place


def expand(scale: Scale, path: Path, file: ScaleFile | None = None) -> Expansion:
    """All runs of the ablation recipe `scale`, which was read from `path`.

    Args:
        file: the values of that file, if it is not to be read.

    Raises RecipeError, with all mistakes together: names that the ablation does not have, and cells
    whose recipe is not valid.
    """
    file = file or scale_file(path)
    source = _Source(scale, file)
    if file.ablation is not None:
        table_node = held_ablation(_named(file.ablation, scale.ablation), path)
    else:
        table_node = ablation_node(
            find_ablation(scale.ablation, file.paths, source.place("ablation"))
        )
    ablation = check(Ablation, table_node)
    _raise([*_misnamed(scale, ablation, source), *_misplaced(scale, ablation, source, table_node)])
    if file.recipe is not None:
        base = recipe_node(path, file.recipe)
    else:
        there = referred(path, scale.recipe, f"{source.place('recipe')}: recipe: ")
        base = recipe_node(there, read(there))
    cells = _cells(scale, ablation, table_node, source)
    _raise(_without_effect(scale, cells, source))
    recipes = _recipes(scale, cells, _for_all_cells(scale, source, base))
    trained = [recipe for cell, recipe in zip(cells, recipes, strict=True) if cell.id != CONTROL]
    measured = any(measures(recipe, scale.metric) for recipe in trained)
    if scale.metric in task_of() and trained and not measured:
        why = f"no cell measures {scale.metric}: set `metric` to one that they measure"
        raise RecipeError(f"{source.place('metric')}: metric: {why}")
    # No rule reads the seed: one validation is enough for all seeds of a cell.
    members = [
        Member(cell.id, seed, recipe.model_copy(update={"seed": seed}))
        for cell, recipe in zip(cells, recipes, strict=True)
        for seed in scale.seeds
    ]
    members += [
        Member(control.id, seed, recipe.model_copy(update={"seed": seed}))
        for control, recipe in _controls(scale, source, path)
        for seed in scale.seeds
    ]
    alone = validate(Recipe, base)
    return Expansion(ablation, members, alone if isinstance(alone, Recipe) else None)


def more_seeds(expansion: Expansion, added: Mapping[str, Sequence[int]]) -> list[Member]:
    """The runs with seeds beyond the ablation recipe's own.

    Raises:
        RecipeError: a cell has no runs, or a seed is no whole number from 0.
    """
    recipes = {member.cell: member.recipe for member in expansion.members}
    own = {(member.cell, member.seed) for member in expansion.members}
    found: dict[tuple[str, int], Member] = {}
    for cell, seeds in added.items():
        if cell not in recipes:
            raise RecipeError(f"more seeds of {cell}: no such cell{did_you_mean(cell, recipes)}")
        for seed in seeds:
            if type(seed) is not int or seed < 0:
                raise RecipeError(f"more seeds of {cell}: {seed!r} is no whole number from 0")
            if (cell, seed) not in own:
                recipe = recipes[cell].model_copy(update={"seed": seed})
                found[cell, seed] = Member(cell, seed, recipe)
    return [*found.values()]


def find_ablation(name: str, paths: Sequence[Path], place: Place | None = None) -> Path:
    """The file of the ablation `name`: near the ablation recipe or one that it extends (in a folder
    `ablations` beside it or beside its folder, or beside the file itself), in the working
    directory, or the shipped one.

    Args:
        paths: the ablation recipe's file, then those that it extends.

    Raises RecipeError that lists the existing ablations.
    """
    folders = [Path("ablations"), shipped("ablations")]
    near = [path.parent / each for path in paths for each in ("ablations", "../ablations")]
    for folder in (*near, *folders):
        file = folder / f"{name}.yaml"
        if file.is_file():
            return file
    for path in paths:
        file = path.parent / f"{name}.yaml"
        if file.is_file() and is_ablation(file):
            return file
    files = (file for folder in (*near, *folders) for file in folder.glob("*.yaml"))
    known = sorted({file.stem for file in files if file.name != FILE})
    raise RecipeError(
        f"{place or display(paths[0])}: ablation: no file ablations/{name}.yaml"
        f"{did_you_mean(name, known)}"
    )


def _named(node: Node, name: str) -> Node:
    return node if "name" in node.fields() else node.with_("name", Node(name, node.place))


class _Source:
    """Where each value of an ablation recipe was given: in its file, or in an option."""

    def __init__(self, scale: Scale, file: ScaleFile) -> None:
        self._values = scale.model_dump(mode="json", exclude_unset=True)
        self._node = file.node

    def place(self, *keys: str) -> Place:
        """The value's line in the file; `--set` if the file has another value; the file if it is a
        default."""
        value: Any = self._values
        for key in keys:
            if key not in value:
                return self._node.place
            value = value[key]
        node = self._node.get(*keys)
        if node is not None and node.plain() == value:
            return node.place
        return Place(f"--set {printable(keys[-1])}")


def _cells(scale: Scale, ablation: Ablation, table: Node, source: _Source) -> list[_Cell]:
    cells = []
    untrained: list[tuple[str, Node]] = []
    for n, cell in enumerate(ablation.cells):
        own = [
            (field, placed(value, table.nearest(("cells", n, "set", field)).place))
            for field, value in (cell.set or {}).items()
        ]
        own += [
            (field, placed(value, source.place("set_cells", cell.id, field)))
            for field, value in scale.set_cells.get(cell.id, {}).items()
        ]
        if cell.id == CONTROL:
            untrained = own
        elif cell.set is not None and (scale.cells is None or cell.id in scale.cells):
            cells.append(_Cell(cell.id, own, table.nearest(("cells", n)).place))
    if scale.control:
        place = source.place("control")
        random = {"optim.epochs": 0, "model.weights": None, "continue_from": None}
        untrained += [(field, placed(value, place)) for field, value in random.items()]
        cells.insert(0, _Cell(CONTROL, untrained, place))
    return cells


def _without_effect(scale: Scale, cells: list[_Cell], source: _Source) -> Iterator[Complaint]:
    """Complaints about options for all cells that each cell replaces by a setting of its own."""
    own = [{field for field, _ in cell.settings} for cell in cells if cell.id != CONTROL]
    alone = not scale.control and not scale.controls
    for field in scale.set:
        place = source.place("set", field)
        concerns = alone or field.split(".")[0] in OF_TRAINING
        if place.line is None and concerns and own and all(field in each for each in own):
            why = f"{printable(field)} changes no cell, as each sets its own"
            yield Complaint(place, "", why)


def _controls(scale: Scale, source: _Source, path: Path) -> Iterator[tuple[Control, Recipe]]:
    """Given weights and their recipes."""
    common = [
        (field, placed(value, source.place("set", field)))
        for field, value in scale.set.items()
        if field.split(".")[0] in OF_CONTROLS
    ]
    for control in scale.controls:
        place = source.place("controls")
        file = referred(path, control.recipe, f"{place}: controls: ")
        settings = [*common, ("name", Node(f"{scale.name}.{control.id}", place))]
        recipe = check(Recipe, merge(recipe_node(file, read(file)), overlay(settings, place)))
        if recipe.model.weights is None or recipe.optim.epochs:
            why = "not a control: a control needs model.weights, and optim.epochs: 0"
            raise RecipeError(f"{place}: controls: {display(file)}: {why}")
        yield control, recipe


def _for_all_cells(scale: Scale, source: _Source, base: Node) -> Node:
    """The recipe with the scale's settings for all cells. If a cell chooses another kind of
    section, this replaces the whole section and the settings in it."""
    common = [
        (field, placed(value, source.place("set", field))) for field, value in scale.set.items()
    ]
    return merge(base, overlay(common, base.place))


def _recipes(scale: Scale, cells: list[_Cell], base: Node) -> list[Recipe]:
    recipes = []
    complaints: dict[Complaint, list[str]] = {}
    for cell in cells:
        settings = [*cell.settings, ("name", Node(f"{scale.name}.{cell.id}", cell.place))]
        found = validate(Recipe, merge(base, overlay(settings, base.place)))
        if isinstance(found, Recipe):
            recipes.append(found.model_copy(update={"about": _about(scale, cell.id, found)}))
        else:
            for complaint in found:
                complaints.setdefault(complaint, []).append(cell.id)
    _raise(_of_cells(complaint, ids, len(cells)) for complaint, ids in complaints.items())
    return recipes


def _of_cells(complaint: Complaint, ids: list[str], cells: int) -> Complaint:
    """The complaint, with the names of its cells unless it concerns all of them."""
    if len(ids) == cells:
        return complaint
    whose = f"{complaint.message} (cell{'s' if len(ids) > 1 else ''} {listed(ids)})"
    return Complaint(complaint.place, complaint.path, whose)


def _about(scale: Scale, cell: str, recipe: Recipe) -> About:
    """The ablation recipe's `about`, with the base recipe's notes but not its source and
    targets."""
    cost = scale.about.cost or recipe.about.cost
    if cost is not None and cell in scale.hours:
        cost = cost.model_copy(update={"hours": scale.hours[cell]})
    return scale.about.model_copy(
        update={
            "notes": tuple(dict.fromkeys((*scale.about.notes, *recipe.about.notes))),
            "cost": cost,
            "targets": scale.targets.get(cell, ()),
        }
    )


def _misnamed(scale: Scale, ablation: Ablation, source: _Source) -> Iterator[Complaint]:
    """Complaints about cells and claims that the ablation does not have."""
    ids = [cell.id for cell in ablation.cells]
    printed_only = [cell.id for cell in ablation.cells if cell.set is None]
    claims = [claim.id for claim in ablation.claims]
    for n, cell in enumerate(scale.cells or ()):
        if cell == CONTROL:
            why = f"{CONTROL} is not a cell of the table; `control: true` adds it"
        elif cell in (scale.cells or ())[:n]:
            why = f"{cell} is listed twice: keep one"
        elif cell in printed_only:
            why = f"{cell} is a printed row of another method, which the harness cannot run"
        else:
            why = _no_such("cell", cell, ids)
        yield Complaint(source.place("cells"), "cells", why)
    for cell in scale.set_cells:
        why = f"{cell} is a printed row of another method" if cell in printed_only else ""
        why = why or _no_such("cell", cell, ids)
        yield Complaint(source.place("set_cells", cell), "set_cells", why)
    for field, named in (("targets", scale.targets), ("hours", scale.hours)):
        for cell in named:
            why = _no_such("cell", cell, [*ids, CONTROL])
            yield Complaint(source.place(field, cell), field, why)
    for n, control in enumerate(scale.controls):
        earlier = [each.id for each in scale.controls[:n]]
        run = [cell.id for cell in ablation.cells if cell.set is not None]
        why = (
            (f"{control.id} is also a cell of this scale: choose another id")
            if control.id in run
            else ""
        )
        why = f"{CONTROL} is reserved for the untrained network" if control.id == CONTROL else why
        why = f"{control.id} is listed twice: keep one" if control.id in earlier else why
        yield Complaint(source.place("controls"), "controls", why)
    of_claims = (("untestable", scale.untestable), ("judging", scale.judging))
    for field, by_claim in of_claims:
        for claim in by_claim:
            why = _no_such("claim", claim, claims)
            yield Complaint(source.place(field, claim), field, why)


def _misplaced(
    scale: Scale, ablation: Ablation, source: _Source, table: Node
) -> Iterator[Complaint]:
    """Complaints about settings that belong in another field of the ablation recipe."""
    if scale.about.targets:
        why = "an ablation recipe has targets for each cell, under `targets:`"
        yield Complaint(source.place("about", "targets"), "about.targets", why)
    for field in scale.set:
        yield Complaint(source.place("set", field), "set", _reserved(field))
    for cell_id, settings in scale.set_cells.items():
        for field in settings:
            yield Complaint(
                source.place("set_cells", cell_id, field), "set_cells", _reserved(field)
            )
    for n, cell in enumerate(ablation.cells):
        for field in cell.set or ():
            place = table.nearest(("cells", n, "set", field)).place
            yield Complaint(place, dotted(("cells", n, "set")), _reserved(field))


def _no_such(what: str, name: str, names: list[str]) -> str:
    return (
        ""
        if name in names
        else f"no {what} with the name {printable(name)}{did_you_mean(name, names)}"
    )


def _reserved(field: str) -> str:
    section = field.split(".")[0]
    why = RESERVED.get(section)
    if why is None and section in Scale.model_fields and section not in Recipe.model_fields:
        why = "change it in the ablation recipe's file"
    return f"{printable(field)} cannot be set: {why}" if why else ""


def _raise(complaints: Iterable[Complaint]) -> None:
    real = [complaint for complaint in complaints if complaint.message]
    if real:
        raise RecipeError("\n".join(map(str, sorted(real, key=Complaint.order))))
