"""How long a stage is, from its recipe and how far it has come."""

from __future__ import annotations

from typing import Any

import pytest

from harness.app.overview import _by_number, totals
from harness.store.latest import Figures

RECIPE: dict[str, Any] = {
    "data": {"name": "embedded", "images": 80},
    "optim": {"epochs": 3, "batch": 16, "steps": None},
    "linear": {"epochs": 100},
    "tasks": {
        "ft": {"kind": "finetune", "epochs": 4, "steps": None},
        "steps": {"kind": "finetune", "epochs": None, "steps": 90},
        "lin": {"kind": "linear", "epochs": 7},
    },
}


def test_cells_are_in_the_order_of_their_numbers() -> None:
    cells = [
        "momentum=0.5-queue=192",
        "momentum=0.5-queue=32",
        "momentum=0.99",
        "momentum=0.9",
        "m",
    ]
    assert sorted(cells, key=_by_number) == [
        *("m", "momentum=0.5-queue=32", "momentum=0.5-queue=192", "momentum=0.9", "momentum=0.99")
    ]


@pytest.mark.parametrize(
    ("kind", "under", "expected"),
    [
        ("pretrain", "", (15, 3)),
        ("linear", "", (1000, 100)),
        ("linear", "lin", (70, 7)),
        ("finetune", "ft", (40, 4)),
        ("finetune", "steps", (90, None)),
        ("knn", "", (None, None)),
        ("unknown", "ft", (None, None)),
    ],
)
def test_a_stage_is_as_long_as_its_own_section_says(
    kind: str, under: str, expected: tuple[int | None, int | None]
) -> None:
    assert totals(RECIPE, kind, Figures(step=20, epoch=2.0), under) == expected
