"""Which recipes a scale's cells are held against."""

from __future__ import annotations

from pathlib import Path

import harness
from harness.recipe.counterparts import counterparts
from harness.recipe.load import load_ablation

ROOT = Path(harness.__file__).parent.parent
TABLES = ROOT / "ablations"


def test_the_cells_at_the_scale_of_the_printed_numbers(tmp_path: Path) -> None:
    table = load_ablation(TABLES / "mechanisms.yaml")
    for path in (ROOT / "recipes" / "ablation_mechanisms_cpu.yaml", tmp_path / "mine.yaml"):
        found = counterparts(table, path)
        assert set(found) == {cell.id for cell in table.cells}
        assert found["e2e-1024"].optim.batch == 1024
        assert found["moco-256"].data.folder == "imagenet"


def test_a_table_printed_on_cifar10_is_held_against_that(tmp_path: Path) -> None:
    found = counterparts(load_ablation(TABLES / "cifar10_demo.yaml"), tmp_path / "mine.yaml")
    assert {recipe.data.name for recipe in found.values()} == {"cifar10"}


def test_another_table_of_the_same_name_has_none(tmp_path: Path) -> None:
    table = load_ablation(TABLES / "momentum.yaml")
    mine = table.model_copy(update={"cells": table.cells[:2], "claims": ()})
    assert counterparts(mine, tmp_path / "mine.yaml") == {}
    assert counterparts(table.model_copy(update={"name": "none"}), tmp_path / "x.yaml") == {}


def test_a_wrong_file_beside_it_is_passed_over(tmp_path: Path) -> None:
    """Nobody has asked for it: the shipped one is taken, as if it were not there."""
    table = load_ablation(TABLES / "momentum.yaml")
    expected = counterparts(table, tmp_path / "mine.yaml")
    (tmp_path / "ablation_momentum.yaml").write_text("name: [half")
    assert expected
    assert counterparts(table, tmp_path / "mine.yaml") == expected
