from __future__ import annotations

from pathlib import Path

import pytest

from harness.certify import tiny
from harness.recipe.schema import Recipe
from harness.store import atomic


@pytest.mark.parametrize("processes", [1, 2, 3, 8, 12, 64])
@pytest.mark.parametrize("contrast", tiny.CONTRASTS)
def test_any_number_of_processes_can_share_them(contrast: str, processes: int) -> None:
    said = tiny.recipe("a", contrast, processes=processes, steps=7, size=8)
    made = Recipe.model_validate_json(atomic.dump(said))
    assert made.optim.batch >= 16
    assert made.optim.batch % (processes * made.model.bn_group) == 0
    assert made.data.images == 5 * made.optim.batch
    assert made.optim.epochs == 2


def test_a_plan_of_several(tmp_path: Path) -> None:
    recipes = [tiny.recipe(c, c, processes=2, steps=4, size=8) for c in tiny.MECHANISMS]
    made = tiny.plan(recipes, tmp_path, tmp_path / "runs")
    found = [(stage.recipe.name, stage.kind) for stage in made.todo]
    assert found == [(name, "pretrain") for name in tiny.MECHANISMS]
