"""Completion for the shell: recipes, runs, launchers, and the fields that --set changes.

A shell waits for it at every press of Tab, so it reads names and the shipped schema.json, and loads
no recipe.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

SCHEMA = "schema.json"
_INNER = "properties"
_OF_SCALE = ("seeds", "max_seeds", "cells", "margin", "metric", "control")
_ABLATION = re.compile(rb"^ablation\s*:", re.MULTILINE)
_RUNS = re.compile(r"^runs\s*:\s*(\S.*?)\s*(?:\s#.*)?$", re.MULTILINE)


def recipes(incomplete: str) -> list[str]:
    """Recipes by name, and files and folders that may be recipes."""
    from harness.recipe.find import ENDINGS, names

    known = [name for name in names() if name.startswith(incomplete)]
    folder, _, begun = incomplete.rpartition("/")
    try:
        with os.scandir(f"{folder}/" if "/" in incomplete else ".") as found:
            there = [each for each in found if each.name.startswith(begun)]
    except OSError:
        there = []
    before = f"{folder}/" if "/" in incomplete else ""
    files = [before + each.name for each in there if each.name.endswith(ENDINGS)]
    folders = [f"{before}{each.name}/" for each in there if before and each.is_dir()]
    return [*known, *sorted(files), *sorted(folders)]


def stages(ctx: typer.Context, incomplete: str) -> list[str]:
    """The ids of stages under the run root."""
    from harness.store.layout import OWN_NAME

    try:
        names = os.listdir(_run_root(ctx))  # noqa: PTH208
    except OSError:
        return []
    return sorted(
        each for each in names if each.startswith(incomplete) and OWN_NAME.fullmatch(each)
    )


def runs_and_recipes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Runs, stages once a run is named whole, and recipes."""
    from harness.launch.selection import name

    found = stages(ctx, incomplete)
    runs = list(dict.fromkeys(map(name, found)))
    named = runs if len(runs) != 1 or incomplete != runs[0] else found
    return [*(each for each in named if each.startswith(incomplete)), *recipes(incomplete)]


def launchers(incomplete: str) -> list[str]:
    """The values of --on; none where an installed launcher cannot be read."""
    from harness.errors import HarnessError
    from harness.spec.registry import launchers as known

    try:
        return [each for each in ("auto", *known()) if each.startswith(incomplete)]
    except HarnessError:
        return []


def fields(incomplete: str) -> list[str]:
    """`optim.lr=` and so on: the fields of a recipe and, for an ablation recipe, its own."""
    from harness.recipe.find import shipped

    try:
        whole = json.loads((shipped("recipes") / SCHEMA).read_bytes())["$defs"]
        ablation = _names_ablation()
        own = [name for name in _OF_SCALE if ablation and name in whole["Scale"][_INNER]]
        own += _fields(whole, whole["Recipe"])
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [f"{each}=" for each in dict.fromkeys(own) if each.startswith(incomplete)]


def _names_ablation() -> bool:
    """Whether the line to complete names an ablation recipe. Where an option lacks its value, the
    arguments are not parsed; so it looks at the words, and reads only files that may be recipes."""
    from harness.recipe.find import ENDINGS, names
    from harness.store import atomic

    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    known = names()
    for word in line.split():
        path = known.get(word) or (Path(word) if word.endswith(ENDINGS) else None)
        try:
            if path is not None and _ABLATION.search(atomic.content(path)):
                return True
        except (OSError, ValueError):
            continue
    return False


def _fields(whole: dict[str, Any], node: dict[str, Any], before: str = "") -> Iterator[str]:
    """The dotted paths of a section's fields; of a section that may be one of several, all."""
    for name, each in node.get(_INNER, {}).items():
        if before or name != "extends":
            inner = [
                path
                for section in _sections(whole, each)
                for path in _fields(whole, section, f"{before}{name}.")
            ]
            yield from inner or [f"{before}{name}"]


def _sections(whole: dict[str, Any], node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in node:
        yield whole[node["$ref"].rpartition("/")[2]]
    for each in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _sections(whole, each)


def _run_root(ctx: typer.Context) -> Path:
    """The run root as `harness.site` finds it, without loading the whole site."""
    given = ctx.params.get("runs") or os.environ.get("MOCO_HARNESS_RUNS")
    if not given:
        config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        named = ctx.params.get("site") or f"{config}/moco-harness/site.yaml"
        try:
            found = _RUNS.search(Path(named).expanduser().read_text())
        except (OSError, ValueError, RuntimeError):
            found = None
        given = found[1].strip("\"'") if found else "runs"
    try:
        return Path(given).expanduser()
    except RuntimeError:
        return Path(given)
