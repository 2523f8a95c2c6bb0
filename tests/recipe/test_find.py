from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.errors import RecipeError
from harness.recipe.expand import find_ablation
from harness.recipe.find import find, find_if_recipe, names, portable_name, shipped
from harness.recipe.load import load

ROOT = Path(harness.__file__).parent.parent


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def file(path: str) -> Path:
    made = Path(path)
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text("name: x\n")
    return made


@pytest.mark.parametrize("folder", ["recipes", "ablations"])
def test_a_checkout_ships_its_own_folders(folder: str) -> None:
    assert shipped(folder) == (ROOT / folder).resolve()


@pytest.mark.parametrize("named", ["quickstart", "quickstart.yaml", "quickstart.yml"])
def test_a_name_is_the_shipped_recipe_unless_there_is_one_here(named: str) -> None:
    assert find(named) == shipped("recipes") / "quickstart.yaml"
    own = file("recipes/quickstart.yaml")
    assert find(named) == own
    assert names()["quickstart"] == own


@pytest.mark.parametrize("named", ["lists/nightly", "lists/nightly.yaml"])
def test_a_list_is_named_with_its_folder(named: str) -> None:
    assert find(named) == shipped("recipes") / "lists" / "nightly.yaml"
    own = file("recipes/lists/nightly.yaml")
    assert find(named) == own
    assert names()["lists/nightly"] == own
    nearer = file("lists/nightly.yaml")
    assert find("lists/nightly.yaml") == nearer
    assert find("lists/other.yaml") == Path("lists/other.yaml"), "its reader knows what is there"


@pytest.mark.parametrize("path", ["quickstart", "quickstart.yaml"])
def test_a_path_to_a_file_wins(path: str) -> None:
    file("recipes/quickstart.yaml")
    assert find(path) != Path(path)
    assert find(str(file(path))) == Path(path)


def test_a_folder_is_no_recipe_and_hides_none() -> None:
    Path("quickstart").mkdir()
    assert find("quickstart") == shipped("recipes") / "quickstart.yaml"
    Path("other").mkdir()
    assert find("other") == Path("other")


@pytest.mark.parametrize("named", ["", ".", "..", "a" * 300, "far/none.yaml", "./none.yaml"])
def test_what_is_no_name_is_left_to_its_reader(named: str) -> None:
    assert find(named) == Path(named)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("quikstart", "quickstart"),
        ("quikstart.yml", "quickstart"),
        ("myne", "mine"),
        ("nightly", "lists/nightly"),
        ("lists/nigtly", "lists/nightly"),
        ("hear.yaml", "heard.yml"),
        ("\0", "moco-harness recipes list"),
        ("xyz", "moco-harness recipes list"),
    ],
)
def test_a_name_that_is_none(named: str, says: str) -> None:
    file("recipes/mine.yaml")
    file("heard.yml")
    with pytest.raises(RecipeError) as refused:
        find(named)
    name, _, rest = str(refused.value).partition(": ")
    assert name == named.replace("\0", r"\x00")
    assert says in rest


@pytest.mark.parametrize("word", ["tiny-s0", "x"])
def test_a_word_that_may_name_something_else(word: str) -> None:
    assert find_if_recipe(word) is None
    with pytest.raises(RecipeError):
        find_if_recipe(word, must=True)
    assert find_if_recipe("quickstart") == shipped("recipes") / "quickstart.yaml"


def test_a_path_or_an_ending_can_only_mean_a_recipe() -> None:
    assert find_if_recipe("my/recipe") == Path("my/recipe"), "its reader says what is wrong"
    with pytest.raises(RecipeError):
        find_if_recipe("nobody.yml")
    Path("runs").mkdir()
    assert find_if_recipe("runs") is None


def test_the_readmes_path_where_there_is_no_checkout() -> None:
    with pytest.raises(RecipeError, match="no folder recipes; to use /"):
        find("recipes/quickstart.yaml")
    with pytest.raises(RecipeError, match="no folder recipes/lists; to use"):
        find("recipes/lists/gate.yaml")
    Path("recipes").mkdir()
    assert find("recipes/quickstart.yaml") == Path("recipes/quickstart.yaml")


def test_seen_from_another_folder() -> None:
    own = file("far/recipes/mine.yaml")
    assert find("mine", Path("far")) == own
    assert find("recipes/mine.yaml", Path("far")) == own


def test_a_shipped_table_is_found_from_anywhere(place: Path) -> None:
    found = find_ablation("momentum", [place / "recipes" / "mine.yaml"])
    assert found == shipped("ablations") / "momentum.yaml"


def test_how_a_published_report_names_its_recipe() -> None:
    own, there = file("far/recipes/mine.yaml"), shipped("recipes") / "quickstart.yaml"
    for recipe, name in ((own, "recipes/mine.yaml"), (there, "quickstart")):
        assert portable_name(recipe, Path("far")) == name
        assert find(name, Path("far")).samefile(recipe)
    assert portable_name(there, ROOT) == "recipes/quickstart.yaml"
    assert portable_name(file("mine.yaml"), Path("far")) == "../mine.yaml"


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("loop.yaml", "loop.yaml: symbolic links"),
        ("none.yaml", "loop.yaml: a link to none.yaml"),
    ],
)
@pytest.mark.parametrize("named", ["loop.yaml", "./loop.yaml"])
def test_a_broken_link_is_told(named: str, to: str, says: str) -> None:
    Path("loop.yaml").symlink_to(to)
    with pytest.raises(RecipeError) as refused:
        load(find(named))
    assert str(refused.value).startswith(says)
