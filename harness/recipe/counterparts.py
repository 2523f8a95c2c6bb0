"""An ablation's cells as they are at the scale of the printed numbers, to hold others against."""

from __future__ import annotations

from pathlib import Path

from harness.errors import RecipeError
from harness.recipe.ablation import Ablation
from harness.recipe.expand import expand
from harness.recipe.find import shipped
from harness.recipe.load import load_scale
from harness.recipe.schema import Recipe


def counterparts(ablation: Ablation, path: Path) -> dict[str, Recipe]:
    """Cell id -> its recipe in `ablation_NAME.yaml`, beside the ablation recipe `path` or as
    shipped; {} if there is none of this table and of the level that it was printed at. A file that
    is wrong is none: nobody has asked for it.
    """
    name = f"ablation_{ablation.name}.yaml"
    for file in (path.parent / name, shipped("recipes") / name):
        try:
            if not file.is_file():
                continue
            scale = load_scale(file)
            expansion = expand(scale, file)
        except (OSError, RecipeError):
            continue
        if scale.level == ablation.printed_at and expansion.ablation == ablation:
            own = {cell.id for cell in ablation.cells}
            return {m.cell: m.recipe for m in expansion.members if m.cell in own}
    return {}
