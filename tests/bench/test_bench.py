"""A whole measurement in miniature, and that counting agrees with the closed form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import Pool
from torch import nn

from harness.bench import traffic
from harness.bench.floor import Floor
from harness.bench.result import Result
from harness.bench.run import bench, noise_for
from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.recipe.schema import Recipe
from harness.runtime.world import World

CONTRAST: dict[str, dict[str, Any]] = {
    "moco": {"kind": "moco", "queue": 64, "momentum": 0.9, "temperature": 0.1},
    "symmetric": {
        "kind": "moco",
        "queue": 64,
        "momentum": 0.9,
        "temperature": 0.1,
        "symmetric": True,
    },
    "end_to_end": {"kind": "end_to_end", "temperature": 0.1},
    "memory_bank": {
        "kind": "memory_bank",
        "negatives": 32,
        "temperature": 0.1,
        "bank_momentum": 0.5,
    },
}

kinds = pytest.mark.parametrize("kind", CONTRAST)


def recipe(kind: str) -> Recipe:
    return Recipe.model_validate_json(
        json.dumps(
            {
                "name": "tiny",
                "data": {"name": "embedded", "images": 128, "size": 16},
                "augment": {},
                "model": {"backbone": "miniature", "bn_group": 8, "dim": 16},
                "contrast": CONTRAST[kind],
                "optim": {"epochs": 2, "batch": 32, "lr": 0.06, "schedule": {"kind": "constant"}},
                "knn": {"k": [5]},
                "watch": {"log_steps": 2, "checkpoint_steps": 2, "knn_epochs": 0},
            }
        )
    )


def measured(world: World, kind: str) -> Result:
    nowhere = Path("/nonexistent")
    return bench(
        recipe(kind), nowhere, world, rounds=1, warm_up=0, steps=2, noise=True, knn=(20, 300)
    )


def test_random_pixels_have_as_many_classes_as_are_learned() -> None:
    of = recipe("moco")
    assert noise_for(of).classes == 10

    supervised = Recipe.model_validate_json(
        json.dumps(of.model_dump(mode="json") | {"contrast": {"kind": "supervised"}})
    )
    found = noise_for(supervised)
    assert found.classes == 16
    assert set(found.train.labels.tolist()) == set(range(16))


def test_a_symmetric_step_has_a_floor_of_both_orders() -> None:
    views = torch.randn(2, 32, 3, 16, 16)
    counts = {}
    for kind in ("moco", "symmetric"):
        floor = Floor(recipe(kind), World.alone(torch.device("cpu")))
        seen: list[int] = []
        for encoder in (floor.query, floor.key):
            assert encoder is not None
            encoder.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        floor.step(*views)
        counts[kind] = len(seen)
    assert counts == {"moco": 2, "symmetric": 4}


@kinds
def test_everything_is_measured_and_can_be_kept(kind: str) -> None:
    found = measured(World.alone(torch.device("cpu")), kind)
    assert {"floor", "step", "end to end", "input"} == set(found.whole)
    assert {"augment", "query forward", "backward", "follow", "checkpoint"} <= set(found.parts)
    assert ("key forward" in found.parts) == (kind in ("moco", "symmetric"))
    assert all(t.median > 0 for t in (found.whole | found.parts | found.evaluation).values())
    assert found.moved == found.expected == {}
    assert found.facts["steps_per_checkpoint"] == 2, "as the recipe says"
    kept = json.loads(json.dumps(found.record()))
    assert Result.of(kept) == found
    assert kept["ratios"]["step"] == pytest.approx(found.ratio("step"), abs=1e-4)


def both(world: World, kind: str) -> tuple[dict[str, int], dict[str, float]]:
    found = measured(world, kind)
    return found.moved, found.expected


@kinds
def test_the_bytes_that_move_are_those_of_the_closed_form(gloo: Pool, kind: str) -> None:
    ranks = gloo.run(both, 2, kind)
    total: dict[str, int] = {}
    for moved, _ in ranks:
        for what, count in moved.items():
            total[what] = total.get(what, 0) + count
    expected = ranks[0][1]
    gathered = total.get("gather", 0) + total.get("gather_with_gradient", 0)
    for moved, _ in ranks:  # merged tensors begin at multiples of 128 numbers
        assert expected["gradients"] <= moved["gradients"] < 1.1 * expected["gradients"]
    keys = sum(n for what, n in expected.items() if what not in ("gradients", "shuffle"))
    assert gathered == 2 * keys
    # How many images change places depends on the order; on the average it is half of them.
    assert total.get("exchange", 0) == pytest.approx(2 * expected.get("shuffle", 0), rel=0.5)


def test_gradients_are_sent_in_parts_and_gathered() -> None:
    assert traffic.sent(recipe("moco"), 8, 1000)["gradients"] == 2 * 7 / 8 * 4000
    assert traffic.sent(recipe("moco"), 1, 1000)["gradients"] == 0


@kinds
def test_the_floor_is_ungrouped_and_updates_nothing(kind: str) -> None:
    made = recipe(kind)
    floor = Floor(made, World.alone(torch.device("cpu")))
    norms = [m for m in floor.query.modules() if isinstance(m, GroupedBatchNorm2d)]
    assert norms
    assert all(norm.group == made.optim.batch for norm in norms)
    before = [p.clone() for p in floor.query.parameters()]
    floor.step(*torch.randn(2, 32, 3, 16, 16))
    assert all(torch.equal(p, old) for p, old in zip(floor.query.parameters(), before, strict=True))
    assert all(p.grad is not None for p in floor.query.parameters())
    key: nn.Module | None = floor.key
    assert (key is None) == (kind == "memory_bank")
    if key is not None:
        grads = [p.grad is not None for p in key.parameters()]
        assert all(grads) if kind == "end_to_end" else not any(grads)
