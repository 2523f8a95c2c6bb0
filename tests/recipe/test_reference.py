"""Which recipes a scale's cells are held against."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.errors import RecipeError
from harness.recipe import reference
from harness.recipe.load import load, load_ablation
from harness.recipe.printed import FILE as PRINTED
from harness.recipe.reference import papers, printed_curves, reference_recipes
from harness.recipe.schema import Recipe

ROOT = Path(harness.__file__).parent.parent
TABLES = ROOT / "ablations"


def test_the_cells_at_the_scale_of_the_printed_numbers(tmp_path: Path) -> None:
    table = load_ablation(TABLES / "mechanisms.yaml")
    for path in (ROOT / "recipes" / "ablation_mechanisms_cpu.yaml", tmp_path / "mine.yaml"):
        found = reference_recipes(table, path)
        assert not found.mistakes
        assert set(found.recipes) == {cell.id for cell in table.cells}
        assert found.recipes["e2e-1024"].optim.batch == 1024
        assert found.recipes["moco-256"].data.folder == "imagenet"


def test_a_variant_is_held_against_the_papers_cells_with_its_printed_numbers(
    tmp_path: Path,
) -> None:
    found = reference_recipes(load_ablation(TABLES / "longer.yaml"), tmp_path / "mine.yaml")
    assert {cell: each.optim.epochs for cell, each in found.recipes.items()} == {"d": 200, "e": 800}
    twins = load_ablation(TABLES / "mechanisms_twins.yaml")
    found = reference_recipes(twins, tmp_path / "mine.yaml")
    assert set(found.recipes) == {cell.id for cell in twins.cells if cell.printed is not None}
    assert {each.optim.batch for each in found.recipes.values()} == {256}


def test_every_variant_is_of_a_shipped_table_with_the_same_numbers() -> None:
    tables = [load_ablation(path) for path in TABLES.glob("*.yaml") if path.name != PRINTED]
    numbers = {table.name: table.numbers for table in tables}
    variants = [table for table in tables if table.variant_of is not None]
    assert variants
    for table in variants:
        assert numbers[str(table.variant_of)] == table.numbers


def test_a_table_printed_on_cifar10_is_held_against_that(tmp_path: Path) -> None:
    found = reference_recipes(load_ablation(TABLES / "cifar10_demo.yaml"), tmp_path / "mine.yaml")
    assert {recipe.data.name for recipe in found.recipes.values()} == {"cifar10"}


def test_another_table_of_the_same_name_has_none(tmp_path: Path) -> None:
    table = load_ablation(TABLES / "momentum.yaml")
    mine = table.model_copy(update={"cells": table.cells[:2], "claims": ()})
    assert not reference_recipes(mine, tmp_path / "mine.yaml").recipes
    unknown = table.model_copy(update={"name": "none"})
    assert not reference_recipes(unknown, tmp_path / "x.yaml").recipes


def test_a_wrong_file_beside_it_is_passed_over_and_named(tmp_path: Path) -> None:
    """Nobody has asked for it: the shipped one is taken, but the reader is told."""
    table = load_ablation(TABLES / "momentum.yaml")
    expected = reference_recipes(table, tmp_path / "mine.yaml")
    wrong = tmp_path / "ablation_momentum.yaml"
    wrong.write_text("name: [half")
    assert expected.recipes
    found = reference_recipes(table, tmp_path / "mine.yaml")
    assert found.recipes == expected.recipes
    assert any(f"{wrong.name}:1" in mistake for mistake in found.mistakes)


def test_the_papers_recipes_are_the_shipped_ones() -> None:
    found = papers()
    assert not found.mistakes
    assert {paper: each.model.head for paper, each in found.recipes.items()} == {
        "v1": "fc",
        "v2": "mlp",
    }


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the papers' recipes, which stands for the shipped one."""
    for name, _ in reference.PAPERS.values():
        shutil.copy(ROOT / "recipes" / f"{name}.yaml", tmp_path)
    monkeypatch.setattr(reference, "shipped", lambda folder: tmp_path)  # noqa: ARG005
    papers.cache_clear()
    yield tmp_path
    papers.cache_clear()


def test_a_papers_recipe_that_was_changed_is_named(copied: Path) -> None:
    v2 = copied / "moco_v2_imagenet.yaml"
    assert not papers().mistakes
    v2.write_text(v2.read_text().replace("{temperature: 0.2}", "{temperature: 0.3}"))
    papers.cache_clear()
    (mistake,) = papers().mistakes
    assert mistake.startswith(f"{v2}: changed")


def test_a_papers_recipe_that_is_wrong_or_gone_is_named(copied: Path) -> None:
    (copied / "moco_v1_imagenet.yaml").unlink()
    found = papers()
    assert not found.recipes, "v2 extends v1"
    assert len(found.mistakes) == 2


def test_a_recipe_names_printed_curves_that_exist() -> None:
    named = {
        made.about.curves
        for path in (ROOT / "recipes").glob("*.yaml")
        if "curves:" in path.read_text() and isinstance(made := load(path), Recipe)
    }
    assert named == {"cifar10_demo.asym-200"}
    (knn, loss) = printed_curves("cifar10_demo.asym-200")
    assert (knn.metric, loss.metric) == ("knn/top1", "train/loss")
    assert [epoch for epoch, _ in knn.points] == list(range(1, 201))
    for wrong in ("cifar10_demo.sym-200", "none.at-all", "", "../printed"):
        with pytest.raises(RecipeError, match=r"about\.curves"):
            printed_curves(wrong)
