"""Several seeds of a recipe of one run: the setting `seeds`, which an ablation recipe has as a
field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import RecipeError
from harness.recipe.references import chain
from harness.recipe.scale_file import is_scale
from harness.recipe.settings import parse_set
from harness.recipe.suggest import shown
from harness.recipe.yaml_source import read

FIELD = "seeds"


def with_seeds(sets: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """The settings, and that of these seeds; () changes nothing."""
    return [*sets, f"{FIELD}=[{', '.join(map(str, seeds))}]"] if seeds else [*sets]


def separated(path: Path, sets: Sequence[str]) -> tuple[list[str], tuple[int, ...]]:
    """(the other settings, the seeds) for a recipe of one run; () without `seeds`. The settings of
    an ablation recipe stay as they are.

    Raises:
        RecipeError: `seeds` is no list of different seeds, or `seed` is set too.
    """
    fields = [text.partition("=")[0].strip() for text in sets]
    if FIELD not in fields or is_scale(chain(path, read(path))):
        return [*sets], ()
    found = [parse_set(text)[1] for text, field in zip(sets, fields, strict=True) if field == FIELD]
    node = found[-1]
    seeds = node.plain()
    whole = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not whole or not seeds:
        what = shown(seeds)
        raise RecipeError(
            f"{node.place}: {FIELD}: needs a list of seeds, found {what}: write [0, 1]"
        )
    if len(set(seeds)) < len(seeds):
        raise RecipeError(f"{node.place}: {FIELD}: a seed is listed twice: keep one")
    if "seed" in fields:
        raise RecipeError(f"{node.place}: {FIELD}: seed is set too: keep one of them")
    others = [text for text, field in zip(sets, fields, strict=True) if field != FIELD]
    return others, tuple(seeds)
