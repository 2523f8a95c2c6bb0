"""What differs between two sets of runs: their recipes' fields, edition, data, threads, libraries
and hardware, from the records of the runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import StoreError
from harness.recipe.claims import CONTROL
from harness.recipe.difference import ABSENT, difference
from harness.recipe.schema import Recipe
from harness.recipe.yaml_text import render
from harness.report.recipe_facts import differing
from harness.store import atomic
from harness.store.layout import is_name, stage_folder

NOTHING = "none"

EVALUATION = ("linear", "tasks")
"""Sections that are no facts of pre-training; their fields are named by their paths."""

TITLED = 3
"""Differences that a title names."""


@dataclass(frozen=True)
class Records:
    """The records of the runs behind one report."""

    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    """Cell -> the recipe of its runs, with the first seed; only cells whose records are at hand."""
    attempts: tuple[Mapping[str, Any], ...] = ()
    """What the stages' attempts recorded of their machine and libraries."""


@dataclass(frozen=True)
class Differing:
    """One thing in which two sets of runs differ."""

    what: str
    a: str
    b: str
    cells: tuple[str, ...] = ()
    """The cells that it concerns; (): all."""
    of_recipe: bool = False


def read_records(report: Mapping[str, Any], roots: Sequence[Path]) -> Records:
    """The records of a report's runs: of each stage, in the first of the run roots that has it.
    What cannot be read is left out."""
    recipes, attempts = {}, []
    for cell in report["cells"]:
        for run in cell["runs"]:
            found = [_stage(str(each.get("id")), roots) for each in run["stages"].values()]
            attempts += [attempt for _, attempt in found if attempt]
            if cell["id"] not in recipes and (made := _recipe([said for said, _ in found])):
                recipes[cell["id"]] = made
    return Records(recipes, tuple(attempts))


def _stage(named: str, roots: Sequence[Path]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """(stage.json, the newest attempt's record) of a stage; {} for what cannot be read."""
    for root in roots if is_name(named) else ():
        folder = stage_folder(root, named)
        try:
            said = folder.described
            attempts = folder.attempts()
            attempt = atomic.read_json(attempts[-1] / "attempt.json") if attempts else None
        except StoreError:
            continue
        if said is not None:
            return said, attempt if isinstance(attempt, dict) else {}
    return {}, {}


def _recipe(stages: Sequence[Mapping[str, Any]]) -> Recipe | None:
    """The recipe of one run, whose stages each record the part that they read."""
    said = [stage["recipe"] for stage in stages if isinstance(stage.get("recipe"), dict)]
    if not said:
        return None
    tasks = {name: each for one in said for name, each in one.get("tasks", {}).items()}
    try:
        return Recipe.model_validate_json(json.dumps({**said[0], "tasks": tasks}))
    except (ValidationError, ValueError):
        return None


def _margin(report: Mapping[str, Any]) -> list[str]:
    return [] if report["margin"] is None else [f"{report['margin']:g}"]


def what_differs(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    records: tuple[Records, Records],
    cells: Sequence[tuple[str, str]],
) -> list[Differing]:
    """Everything recorded in which two reports differ: first the recipes, then code, data and
    machines.

    Args:
        a, b: the reports' numbers.
        cells: the cell of `a` and the cell of `b` that are compared, in the table's order.
    """
    found = _of_recipes(records, cells)
    basis = [each["basis"] or {"edition": "", "data": []} for each in (a, b)]
    pairs: list[tuple[str, Iterable[str], Iterable[str]]] = [
        ("edition", [basis[0]["edition"]], [basis[1]["edition"]]),
        ("data fingerprint", basis[0]["data"], basis[1]["data"]),
        ("seeds", map(str, a["seeds"]), map(str, b["seeds"])),
        ("margin", _margin(a), _margin(b)),
        ("commit", a["commits"], b["commits"]),
    ]
    machines = [_machines(each.attempts) for each in records]
    if all(machines):
        names = dict.fromkeys([*machines[0], *machines[1]])
        pairs += [(name, machines[0].get(name, ()), machines[1].get(name, ())) for name in names]
    for what, *both in pairs:
        one, other = (", ".join(filter(None, each)) or NOTHING for each in both)
        if one != other:
            found.append(Differing(what, one, other))
    return found


def _of_recipes(
    records: tuple[Records, Records], cells: Sequence[tuple[str, str]]
) -> list[Differing]:
    """The fields in which the recipes of the same cells differ, each with its cells."""
    ours, theirs = (each.recipes for each in records)
    known = [(x, y) for x, y in cells if x in ours and y in theirs and x != CONTROL]
    known = known or [(x, y) for x, y in cells if x in ours and y in theirs]
    of: dict[tuple[str, str, str], list[str]] = {}
    for x, y in known:
        for what, (one, other) in recipe_differences(ours[x], theirs[y]).items():
            of.setdefault((what, one, other), []).append(x)
    return [
        Differing(*what, tuple(named) if len(named) < len(known) else (), of_recipe=True)
        for what, named in of.items()
    ]


def recipe_differences(ours: Recipe, theirs: Recipe) -> dict[str, tuple[str, str]]:
    """Label, or path of a field of an evaluation -> its two values as text."""
    found = dict(differing(ours, theirs))
    for path, *both in difference(ours, theirs):
        if path.partition(".")[0] in EVALUATION:
            one, other = (NOTHING if v is ABSENT else render(v, flow=True) for v in both)
            found[path] = (one, other)
    return found


def _machines(attempts: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Threads, hardware and versions of libraries: name -> distinct values."""
    found: dict[str, dict[str, None]] = {}
    for attempt in attempts:
        for name, value in _of_machine(attempt):
            found.setdefault(name, {})[str(value)] = None
    return {name: sorted(values) for name, values in found.items()}


def _of_machine(attempt: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    machine, packages = (attempt.get(key) for key in ("machine", "packages"))
    if isinstance(machine, dict):
        for key in ("threads", "cores", "device", "cpu", "system"):
            if machine.get(key):
                yield key, machine[key]
    if attempt.get("processes"):
        yield "processes", attempt["processes"]
    if attempt.get("python"):
        yield "Python", attempt["python"]
    if isinstance(packages, dict):
        yield from sorted(packages.items())


def told_apart(found: Sequence[Differing]) -> tuple[str, str]:
    """What to add to two equal titles, e.g. ("m = 0.9", "m = 0.99"): the recipes' differences, or
    else the first of the others; ("", "") if nothing differs."""
    named = [each for each in found if each.of_recipe and not each.cells]
    named = (named or [each for each in found if each.of_recipe] or list(found[:1]))[:TITLED]
    ours, theirs = (
        ", ".join(f"{short(each.what)} = {getattr(each, side)}" for each in named) for side in "ab"
    )
    return ours, theirs


def short(label: str) -> str:
    """A label in front of a value: the papers' letter if it ends with one (m, τ, K)."""
    last = label.replace(",", " ").split(" ")[-1]
    return last if len(last) == 1 else label
