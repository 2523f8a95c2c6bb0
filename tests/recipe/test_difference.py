from __future__ import annotations

from pathlib import Path

from harness.recipe.claims import CONTROL
from harness.recipe.difference import ABSENT, difference, varied_fields
from harness.recipe.expand import Member
from harness.recipe.load import load_recipe


def test_equal_recipes(base: Path) -> None:
    assert difference(load_recipe(base), load_recipe(base)) == []


def test_leaves_in_the_order_of_the_schema(base: Path) -> None:
    changed = ["linear=null", "knn.k=[20]", "optim.lr=1", "seed=2", "knn.temperature=0.1"]
    assert difference(load_recipe(base), load_recipe(base, changed)) == [
        ("seed", 0, 2),
        ("optim.lr", 0.06, 1.0),
        ("knn.k", [200], [20]),
        ("linear", load_recipe(base).model_dump(mode="json")["linear"], None),
    ]


def test_another_kind_of_schedule(base: Path) -> None:
    other = load_recipe(base, ["optim.schedule={kind: step, drops: [3]}"])
    assert difference(load_recipe(base), other) == [
        ("optim.schedule.kind", "cosine", "step"),
        ("optim.schedule.first", 1, ABSENT),
        ("optim.schedule.start", 0, ABSENT),
        ("optim.schedule.drops", ABSENT, [3]),
        ("optim.schedule.factor", ABSENT, 0.1),
    ]
    assert repr(ABSENT) == "absent"


def test_the_fields_that_an_ablation_varies(base: Path) -> None:
    def member(cell: str, *sets: str, seed: int = 0) -> Member:
        recipe = load_recipe(base, [f"name=of-{cell}x", f"seed={seed}", *sets])
        return Member(cell, seed, recipe)

    cells = [
        member("a", "contrast.momentum=0.9"),
        member("a", "contrast.momentum=0.9", seed=1),
        member("b", "contrast.momentum=0.99", "watch.log_steps=7"),
        member("c", "contrast.momentum=0.9", "optim.lr=0.5"),
    ]
    beside = member(CONTROL, "optim.epochs=0", "knn.k=[20]")
    assert varied_fields([beside, *cells]) == ("contrast.momentum", "optim.lr")
    assert varied_fields([beside, *cells[:2]]) == ()
    assert varied_fields([member("")]) == ()
