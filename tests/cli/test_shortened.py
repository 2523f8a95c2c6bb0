from __future__ import annotations

import pytest

from harness.cli.shortened import shortened

CELLS = [f"ablation_momentum_cpu.m0.{'9' * n}-s{seed}" for n in (1, 2, 3) for seed in (0, 1, 10)]
MIDDLE = [f"a_long_beginning_{n}_and_an_end_as_long" for n in "xyz"]


@pytest.mark.parametrize("width", [12, 15, 20, 30, 50])
@pytest.mark.parametrize("names", [CELLS, MIDDLE], ids=["cells", "middle"])
def test_no_two_names_look_alike(names: list[str], width: int) -> None:
    found = shortened(names, width)
    assert len(set(found.values())) == len(names)
    assert all(len(each) <= width for each in found.values())


def test_what_tells_names_apart_stays() -> None:
    cells = ["untrained", "moco-short", "moco-long", "supervised"]
    found = shortened([f"ablation_transfer_quick.{cell}" for cell in cells], 13)
    assert [
        each.rpartition("…")[2][-len(cell) :]
        for each, cell in zip(found.values(), cells, strict=True)
    ] == cells


def test_what_fits_stays() -> None:
    assert shortened(["a", "bc", "a"], 2) == {"a": "a", "bc": "bc"}
    assert shortened([], 5) == {}


def test_what_no_cut_tells_apart_stays_whole() -> None:
    names = [f"{a}{'x' * 20}{b}" for a in "abcde" for b in "abcde"] + ["y" * 22]
    found = shortened(names, 3)
    assert len(set(found.values())) == len(names)
