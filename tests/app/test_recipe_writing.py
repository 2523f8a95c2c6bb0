"""`new_recipe`: what is written is a sound recipe of the folder, and nothing is overwritten."""

from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.app import NewRecipe, new_recipe
from harness.errors import DataError, RecipeError, StoreError
from harness.preflight.recipe_file import of_recipe as preflight
from harness.preflight.sizes import Size
from harness.recipe.commented import commented
from harness.recipe.fitted import FEWEST, Facts, settings
from harness.recipe.load import load_recipe, recipe_node
from harness.recipe.schema import Data, Recipe
from harness.recipe.validate import check
from harness.recipe.yaml_source import parse
from harness.site import load_site

SIDE = 40


def photos(folder: Path, count: int, *inside: str) -> Path:
    """`count` images of SIDE x 50 pixels, in turn in the folders `inside`."""
    for n in range(count):
        path = folder / inside[n % len(inside)] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if n < 3:
            Image.new("RGB", (50, SIDE), (n, 0, 0)).save(path)
        else:
            path.write_bytes((folder / inside[0] / "0.png").read_bytes())
    return folder


def write(tmp_path: Path, images: Path, **more: Any) -> NewRecipe:
    made = new_recipe(tmp_path / "my.yaml", images, load_site(data=tmp_path / "data"), **more)
    assert load_recipe(made.path) == made.recipe
    return made


@pytest.mark.parametrize("split", [0.0, 1.0, 10.0, -0.1, float("nan"), float("inf")])
def test_a_share_that_is_none_is_refused_before_the_folder_is_read(
    tmp_path: Path, split: float
) -> None:
    with pytest.raises(RecipeError, match=f"^--split {split:g}: needs a share"):
        new_recipe(tmp_path / "my.yaml", tmp_path / "none", split=split)


def test_pictures_outside_of_the_data_root(tmp_path: Path) -> None:
    folder = photos(tmp_path / "my photos", 160, "", "2020", "2020/summer")
    (folder / "2020" / "x.png").write_bytes(b"no image")
    made = write(tmp_path, folder)
    assert made.recipe.data == Data(name="pictures", folder="my photos", size=32)
    assert made.root == tmp_path
    assert (made.folder.facts.images, made.folder.facts.side) == (161, SIDE)
    assert made.recipe.monitor is None
    assert any("2020/x.png" in note for note in made.notes)
    assert made.next.split(" --data ")[1] == str(tmp_path)
    for path in (made.path, tmp_path / "link.yaml"):
        (tmp_path / "link.yaml").unlink(missing_ok=True)
        (tmp_path / "link.yaml").symlink_to("nowhere")
        before = made.path.read_bytes()
        with pytest.raises(RecipeError, match=path.name):
            new_recipe(path, folder)
        assert made.path.read_bytes() == before
    assert not (tmp_path / "nowhere").exists()


def test_pictures_in_the_data_root_watched_on_a_folder(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data" / "a" / "photos", FEWEST, "x")
    labelled = photos(tmp_path / "data" / "pets", 100, "cat", "dog")
    made = write(tmp_path, folder, watch=str(labelled), size=24)
    assert made.recipe.data == Data(name="pictures", folder="a/photos", size=24)
    assert "--data" not in made.next
    said: Any = made.recipe.tasks["watched"]
    assert said.data == Data(name="imagefolder", folder="pets", split=0.2, size=24)
    assert said.k == (40,)
    assert made.recipe.monitor is said


def test_pictures_in_the_second_data_root(tmp_path: Path) -> None:
    folder = photos(tmp_path / "b" / "photos", FEWEST, "x")
    site = load_site(data=[tmp_path / "a", tmp_path / "b"])
    made = new_recipe(tmp_path / "my.yaml", folder, site)
    assert made.recipe.data.folder == "photos"
    assert "--data" not in made.next
    (tmp_path / "a" / "photos").mkdir(parents=True)
    made = new_recipe(tmp_path / "other.yaml", folder, site)  # that name means the first root's
    assert made.root == tmp_path / "b"
    assert "--data" in made.next


def test_folders_of_classes(tmp_path: Path) -> None:
    folder = photos(tmp_path / "data" / "pets", 200, "cat", "dog")
    assert any("--split" in note for note in write(tmp_path, folder).notes)
    (tmp_path / "my.yaml").unlink()
    made = write(tmp_path, folder, split=0.1)
    assert made.recipe.data == Data(name="imagefolder", folder="pets", split=0.1, size=32)
    facts = made.folder.facts
    assert (facts.images, facts.tested, facts.smallest_class) == (180, 20, 90)
    assert made.recipe.knn is not None
    (tmp_path / "my.yaml").unlink()
    apart = tmp_path / "data" / "apart"
    photos(apart / "val", 10, "cat", "dog")
    photos(apart / "train", 150, "cat", "dog")
    made = write(tmp_path, apart, watch="embedded")
    assert made.recipe.data == Data(name="imagefolder", folder="apart", size=32)
    assert (made.folder.facts.images, made.folder.facts.tested) == (150, 10)
    assert list(made.recipe.tasks) == ["watched"]


def test_what_cannot_be_used_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", FEWEST, "")
    few = photos(tmp_path / "few", FEWEST - 1, "")
    broken = tmp_path / "broken"
    broken.mkdir()
    for n in range(FEWEST):
        (broken / f"{n}.jpg").write_bytes(b"x")
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    refused: list[tuple[Path, dict[str, Any], str]] = [
        (few, {}, f"{FEWEST - 1} images to train; at least {FEWEST}.*queue"),
        (broken, {}, "0.jpg|readable"),
        (tmp_path / "absent", {}, "absent"),
        (folder, {"watch": "cifar11"}, "cifar10"),
        (folder, {"watch": "cifar10"}, "ln -s"),
        (folder, {"split": 0.1}, "no images"),
    ]
    for images, more, message in refused:
        with pytest.raises(DataError, match=message):
            write(tmp_path, images, **more)
    with pytest.raises(RecipeError, match="name"):
        new_recipe(tmp_path / "My Photos.yaml", folder)
    assert not list(tmp_path.glob("*.yaml"))
    (tmp_path / "data" / "photos").symlink_to(folder)
    made = write(tmp_path, tmp_path / "data" / "photos", watch="cifar10")
    assert made.recipe.data.folder == "photos"


def test_a_file_that_could_not_be_written_is_not_left(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", FEWEST, "")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StoreError, match=r"my\.yaml"):
            write(tmp_path, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    write(tmp_path, folder)


def test_few_images_are_told(tmp_path: Path) -> None:
    made = write(tmp_path, photos(tmp_path / "few", 160, ""))
    assert preflight(made.recipe, lambda _: Size(160, 1)).warnings == ()
    (note,) = made.notes
    queue = made.recipe.contrast.old_keys()
    assert queue is not None
    assert f"queue of {queue} keys is {queue / 160:.0%}" in note
    enough = int(re.findall(r"with (\d+) images or more", note)[0])
    for count, notes in ((enough - 1, 1), (enough, 0)):
        made.path.unlink()
        assert len(write(tmp_path, photos(tmp_path / f"{count}", count, "")).notes) == notes


def test_what_cannot_be_a_recipe_is_said_of_the_option(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", FEWEST, "")
    with pytest.raises(RecipeError, match=r"^--size 5000: "):
        write(tmp_path, folder, size=5000)
    with pytest.raises(RecipeError, match=r"My\.yaml: a recipe's file is NAME\.yaml.*another file"):
        new_recipe(tmp_path / "My.yaml", folder)
    made = new_recipe(tmp_path / "new" / "deep" / "my.yaml", folder)
    assert load_recipe(made.path) == made.recipe


@pytest.mark.parametrize("images", [*range(FEWEST, 260, 3), 500, 2_000, 20_000, 200_000])
def test_plan_does_not_warn_of_what_was_chosen(images: int) -> None:
    facts = Facts(images, 200, images)
    said = commented(settings(facts, {"name": "pictures", "folder": "x"}), [])
    recipe = check(Recipe, recipe_node(Path("my.yaml"), parse(said, "my.yaml")))
    assert preflight(recipe, lambda _: Size(images, 1)).warnings == ()
