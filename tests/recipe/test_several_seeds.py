"""Several seeds of a recipe of one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.plan import make_plan
from harness.recipe.several_seeds import separated, with_seeds

from .conftest import Write


def test_each_seed_is_the_run_that_it_is_alone(base: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    both = make_plan(base, with_seeds(["optim.epochs=2"], [3, 5]), runs)
    assert both.seeds == (3, 5)
    alone = [make_plan(base, ["optim.epochs=2", f"seed={seed}"], runs) for seed in (3, 5)]
    assert {s.id for s in both.stages} == {s.id for each in alone for s in each.stages}
    assert {s.id: s.control for s in both.stages} == {
        s.id: s.control for each in alone for s in each.stages
    }
    assert sum(both.is_beside(s) for s in both.stages) == 4, "a control for each seed"


def test_an_ablation_recipe_has_the_field_itself(base: Path, write: Write) -> None:
    scale = write(
        "abl.yaml", f"ablation: {{grid: {{optim.lr: [1, 2]}}}}\nrecipe: {base}\nmetric: knn/top1\n"
    )
    sets = with_seeds([], [1, 2])
    assert separated(scale, sets) == (sets, ())


def test_without_seeds_nothing_changes(base: Path) -> None:
    assert with_seeds(["optim.lr=1"], []) == ["optim.lr=1"]
    assert separated(base, ["optim.lr=1"]) == (["optim.lr=1"], ())


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["seeds=3"], "--set seeds=3: seeds: needs a list of seeds"),
        (["seeds=[]"], "--set seeds=[]: seeds: needs a list of seeds"),
        (["seeds=[-1]"], "--set seeds=[-1]: seeds: needs a list of seeds"),
        (["seeds=[true]"], "--set seeds=[true]: seeds: needs a list of seeds"),
        (["seeds=[1, 1]"], "--set seeds=[1, 1]: seeds: a seed is listed twice"),
        (["seeds=[1]", "seed=2"], "--set seeds=[1]: seeds: seed is set too"),
    ],
)
def test_refusals(base: Path, sets: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        separated(base, sets)
    assert str(caught.value).startswith(message)
