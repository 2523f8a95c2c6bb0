"""Lists of recipes: strict as recipes are, and committed ones name what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.errors import RecipeError
from harness.plan import make_plan
from harness.recipe.load import is_list, load, load_list

from .conftest import Write

LISTS = sorted((Path(harness.__file__).parent.parent / "recipes" / "lists").glob("*.yaml"))


def test_it_names_files_beside_it(write: Write, base: Path) -> None:
    path = write("lists/own.yaml", "purpose: mine\nrecipes: [../base.yaml]\nbaseline: ../b.json\n")
    assert is_list(path)
    assert not is_list(base)
    found, files, baseline = load_list(path)
    assert (found.name, found.purpose, found.recipes) == ("own", "mine", ("../base.yaml",))
    assert files == [base]
    assert baseline == Path("b.json"), "it may still be to be written"


def test_a_short_path_must_be_the_same_file(write: Write, base: Path) -> None:
    """lists/../base.yaml of a linked folder is another file than base.yaml."""
    write("elsewhere/base.yaml", base.read_text())
    path = write("elsewhere/lists/own.yaml", "recipes: [../base.yaml]\n")
    Path("lists").symlink_to(path.parent, target_is_directory=True)
    assert load_list(Path("lists/own.yaml"))[1] == [Path("lists/../base.yaml")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("recipes: []\n", "own.yaml:1: recipes: needs at least 1 value, found 0"),
        ("recipes: base.yaml\n", "own.yaml:1: recipes: needs a list"),
        ("recipes:\n  - base.yaml\n  - bse.yaml\n", "own.yaml:3: recipes.1: "),
        (
            "recipes:\n  - base.yaml\n  - base.yaml\n",
            "own.yaml:3: recipes.1: base.yaml ",
        ),
        ("recipes: [base.yaml]\nbaselin: x\n", "did you mean baseline?"),
        ("recipes: [base.yaml]\nbaseline: ''\n", "own.yaml:2: baseline: "),
        (f"recipes: [base.yaml]\nbaseline: {'x' * 300}\n", "own.yaml:2: baseline: "),
        ("recipes: [1]\n", "own.yaml:1: recipes.0: needs text"),
        ("recipes: [base.yaml]\nrecipes: [base.yaml]\n", "own.yaml:2: "),
    ],
)
def test_a_mistake_is_told_with_its_line(write: Write, base: Path, text: str, says: str) -> None:
    assert base.exists()
    with pytest.raises(RecipeError) as caught:
        load_list(write("own.yaml", text))
    assert says in str(caught.value)


def test_a_list_is_no_recipe(write: Write, base: Path) -> None:
    path = write("own.yaml", "recipes: [base.yaml]\n")
    with pytest.raises(RecipeError, match=r"own.yaml.*a list of recipes \(`check` takes it\)"):
        load(path)
    with pytest.raises(RecipeError, match="a list of recipes"):
        make_plan(path, [], Path("runs"))
    with pytest.raises(RecipeError, match="this is a recipe"):
        load_list(base)


def test_there_are_the_three_of_a_schedule() -> None:
    assert {path.stem for path in LISTS} >= {"nightly", "weekly", "monthly"}


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_a_committed_list_has_something_to_hold_each_recipe_against(
    path: Path, tmp_path: Path
) -> None:
    found, files, baseline = load_list(path)
    assert found.name == path.stem
    assert found.purpose
    for file in files:
        stages = make_plan(file, [], tmp_path / "runs").stages
        assert baseline or any(stage.recipe.about.targets for stage in stages), file
