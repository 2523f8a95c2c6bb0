"""The committed file of the papers' numbers: where they come from, and that they agree."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import harness
from harness.recipe.printed import FILE, Numbers, blocks
from harness.recipe.tree import Node
from harness.recipe.yaml_source import read

ROOT = Path(harness.__file__).parent.parent
PRINTED = ROOT / "ablations" / FILE
TABLES = sorted(path for path in (ROOT / "ablations").glob("*.yaml") if path != PRINTED)

EQUAL = [
    ["momentum.m0.999", "v1-figure-3.moco-4096"],
    [
        "v1-figure-3.moco-65536",
        "v1-table-1.r50",
        "v2-temperature.fc-0.07",
        "v2-table-1.v1",
        "v2-table-2.moco-v1",
    ],
    ["v2-temperature.mlp-0.2", "v2-table-1.a"],
    ["v2-table-1.d", "v2-table-2.moco-v2-200", "official-five-runs.v2"],
    ["v2-table-1.e", "v2-table-2.moco-v2-800"],
    *(
        [f"v1-table-2-c4-{m}.moco-in-1m", f"v1-table-3-c4-{m}.moco-65536", f"v2-table-1-{m}.v1"]
        for m in ("ap", "ap50", "ap75")
    ),
    *(
        [f"v1-table-2-c4-{m}.supervised", f"v2-table-1-{m}.supervised"]
        for m in ("ap", "ap50", "ap75")
    ),
    *(
        [f"v1-table-2-dc5-{m}.moco-in-1m", f"v1-table-3-dc5-{m}.moco-65536"]
        for m in ("ap", "ap50", "ap75")
    ),
    ["v1-figure-a1.moco-shuffled", "v1-figure-a1-knn-shuffled.79"],
    ["v1-figure-a1.moco-plain", "v1-figure-a1-knn-plain.79"],
]
"""The same measurement, printed in several places."""


@cache
def printed() -> dict[str, Numbers]:
    return blocks(PRINTED)


def test_every_block_says_where_its_numbers_were_read() -> None:
    for name, block in printed().items():
        assert block.values, name
        for text in (block.paper, block.place, block.setting, block.source, block.units):
            assert text.strip(), name
        assert block.confidence in ("read", "secondary"), f"{name}: nothing rests on memory"


def test_every_printed_number_is_used() -> None:
    used = {reference for path in TABLES for reference in _references(read(path))}
    numbers = {f"{name}.{key}" for name, block in printed().items() for key in block.values}
    assert numbers == used


def _references(table: Node) -> Iterator[str]:
    """block.key of every number that a table refers to."""
    plain = table.plain()
    yield from (cell["printed"] for cell in plain["cells"] if cell["printed"] is not None)
    for part in (*plain.get("columns", ()), *plain.get("curves", ())):
        yield from (f"{part['numbers']}.{key}" for key in printed()[part["numbers"]].values)


def number(reference: str) -> float | str | None:
    name, _, key = reference.partition(".")
    return printed()[name].values[key]


@pytest.mark.parametrize("same", EQUAL, ids=lambda same: same[0])
def test_what_is_printed_twice_agrees(same: list[str]) -> None:
    assert len({number(reference) for reference in same}) == 1, same


def test_means_are_those_of_their_runs() -> None:
    found = 0
    for block in printed().values():
        for key, runs in block.runs.items():
            assert block.values[key] == pytest.approx(sum(runs) / len(runs), abs=0.05)
            found += 1
    assert found == 2
