"""Tables of made-up scores: what is true of them is known."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from harness.recipe.claims import Claim
from harness.report.comparison import JUDGED, Scores
from harness.report.sequential_design import Design, planned_analyses

ADAPTER: TypeAdapter[Claim] = TypeAdapter(Claim)


def claim(kind: str, *, name: str = "it", **fields: Any) -> Claim:
    return ADAPTER.validate_json(json.dumps({"kind": kind, "id": name, "says": "It is.", **fields}))


def design(seeds: int, most: int | None = None, **changes: Any) -> Design:
    """Margin 2, alpha 0.05, seeds counted from 0."""
    sizes = planned_analyses(seeds, most or seeds)
    fields = {"margin": 2.0, "alpha": 0.05, "seeds": tuple(range(sizes[-1])), "analyses": sizes}
    return Design(**{**fields, **changes})


def scores(
    judged: Mapping[str, Sequence[float | None]], **others: Mapping[str, Sequence[float | None]]
) -> Scores:
    """Cell -> values by seed from 0, None diverged; `knn__top1=` for the metric knn/top1."""
    named = {name.replace("__", "/"): values for name, values in others.items()}
    return {
        (metric, cell): dict(enumerate(values))
        for metric, cells in {JUDGED: judged, **named}.items()
        for cell, values in cells.items()
    }


def drawn(means: Mapping[str, float], seeds: int, chance: random.Random, sd: float = 1.0) -> Scores:
    """Normal scores: a share of each seed in all cells, and each cell's own (`sd`)."""
    common = [chance.gauss(0, 3) for _ in range(seeds)]
    return {
        (JUDGED, cell): {n: mean + common[n] + chance.gauss(0, sd) for n in range(seeds)}
        for cell, mean in means.items()
    }
