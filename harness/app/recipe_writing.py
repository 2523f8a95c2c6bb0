"""Write a recipe whose values fit a folder of images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from harness import command
from harness.app.image_facts import Folder, look
from harness.app.public import public
from harness.data_check import DOWNLOADED
from harness.data_roots import AnyRoot, below, holders
from harness.errors import DataError, RecipeError
from harness.imagefolder import SPLITS, refuse_bytes, shown
from harness.preflight.training import own_image_share
from harness.recipe.commented import commented
from harness.recipe.find import name_of
from harness.recipe.fitted import (
    ENOUGH,
    FEWEST,
    HARMLESS,
    LEAST_BATCH,
    QUEUE_SHARE,
    QUEUE_STEPS,
    Watched,
    settings,
)
from harness.recipe.load import recipe_node
from harness.recipe.photos import PHOTOS
from harness.recipe.rules import KNOWN_SIZES, STL10_LABELLED
from harness.recipe.schema import Recipe
from harness.recipe.task import Data, refuse_size
from harness.recipe.task_data import FOLDERS
from harness.recipe.validate import check
from harness.recipe.yaml_source import parse
from harness.site import Site, load_site
from harness.store import atomic

WATCHED_SPLIT = 0.2
"""The test share of a watched folder of classes that has no test set."""
SMALLEST_CLASS = {"embedded": 1_000, "cifar10": 5_000, "cifar100": 500, "stl10": 500}
"""Training images of the smallest class of sets that are known in advance."""


@dataclass(frozen=True)
class NewRecipe:
    """A recipe that was written."""

    path: Path
    recipe: Recipe
    folder: Folder
    root: AnyRoot
    """The data root under which the recipe names its folders."""
    next: str
    """The command that plans it."""
    notes: tuple[str, ...]


@public
def new_recipe(
    path: Path,
    images: Path,
    site: Site | None = None,
    *,
    size: int | None = None,
    watch: str | None = None,
    split: float | None = None,
) -> NewRecipe:
    """Write the recipe `path`, which must not exist, for the images in a folder.

    Args:
        path: the recipe's file; its name is the recipe's.
        images: a folder of images in any nesting, or with train and val; with `split`, of classes.
        site: the machine, for its data root; None: from the user's site file.
        size: side of the views in pixels; None: chosen.
        watch: a labelled data set, by its name or its folder, on which kNN is measured.
        split: the share of each class's images that is to be the test set.

    Raises:
        RecipeError: the file exists, or its name or a value cannot be a recipe's.
        DataError: the images are too few or cannot be used, or the two folders lie under no common
            data root.
        StoreError: the file cannot be written.
    """
    if path.exists() or path.is_symlink():
        raise RecipeError(f"{shown(path)}: it exists; name a new file, or remove this one")
    if split is not None and not 0 < split < 1:
        raise RecipeError(f"--split {split:g}: needs a share above 0 and below 1, as in 0.1")
    name_of(path, "name another file")
    refuse_size(size)
    site = site or load_site()
    others = [Path(watch)] if watch is not None and watch not in names() else []
    for each in (images, *others):
        refuse_bytes(each)
    folder = look(images, split)
    _refuse_few(folder.facts.images, images)
    root = _root([images, *others], site)
    if watch in (*DOWNLOADED, *PHOTOS) and root != site.data:
        _refuse_apart(watch, images, root, site)
    data = _section(folder.data, below(images, root) or ".")
    watched = _watched(watch, root) if watch is not None else None
    found = settings(folder.facts, data, size=size, watched=watched)
    text = commented(found, _head(images, folder))
    source = str(path)
    recipe = check(Recipe, recipe_node(path, parse(text, source)))
    _create(path, text)
    where = () if root == site.data else ("--data", root)
    named = () if site.file is None else ("--site", site.file)
    planned = command.line("plan", path, *where, *named)
    return NewRecipe(path, recipe, folder, root, planned, (*folder.notes, *_few(recipe, folder)))


def _create(path: Path, text: str) -> None:
    """Write a new file, of which no part is left if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("x", encoding="utf-8")
        try:
            with file:
                file.write(text)
        except OSError:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise atomic.write_error(error, path) from error


def names() -> list[str]:
    """The data sets that can be named without a folder."""
    known = get_args(Data.model_fields["name"].annotation)
    return [name for name in known if name not in FOLDERS]


def _head(images: Path, folder: Folder) -> list[str]:
    return [
        f"Pre-training on {shown(images.absolute())}: {folder.summary}.",
        "Written by moco-harness recipes new. Each value has its reason above it, and is a place "
        "to start from; change what you know better.",
    ]


def _section(said: dict[str, Any], folder: str) -> dict[str, Any]:
    return {"name": said["name"], "folder": folder, **said}


def _root(folders: list[Path], site: Site) -> AnyRoot:
    """The data root: the site's if all folders lie in it, else the folder that they share."""
    if all(below(folder, site.data) not in (None, ".") for folder in folders):
        return site.data
    whole = [Path(os.path.abspath(folder)) for folder in folders]  # noqa: PTH100
    return Path(os.path.commonpath([folder.parent for folder in whole]))


def _refuse_few(count: int, images: Path) -> None:
    if count < FEWEST:
        raise DataError(
            f"{shown(images)}: {count:,} images to train; at least {FEWEST} are needed, and "
            f"thousands are better: add some. No queue fits fewer: it should last {QUEUE_STEPS} "
            f"steps of {LEAST_BATCH} images or more, and hold less than {QUEUE_SHARE:.0%} of all, "
            "else many an image meets its own older key among its negatives"
        )


def _few(recipe: Recipe, folder: Folder) -> list[str]:
    """A note if the images are so few that the queue of the recipe, the smallest that works, is
    larger beside them than any published one."""
    images = folder.facts.images
    share, queue = own_image_share(recipe, images), recipe.contrast.old_keys() or 0
    if share <= HARMLESS:
        return []
    return [
        f"{images:,} images are few: the queue of {queue} keys is {queue / images:.0%} of them, so "
        f"that {share:.0%} of the queries meet an older key of their own image (at most "
        f"{HARMLESS:.0%} in what was published); with {ENOUGH:,} images or more it is within that"
    ]


def _refuse_apart(watch: str, images: Path, root: AnyRoot, site: Site) -> None:
    """Raise a DataError if the set that is watched is in the site's data root, but not in `root`.

    A recipe has a single data root.
    """
    places = (PHOTOS[watch].folder,) if watch in PHOTOS else DOWNLOADED[watch][:2]
    there = holders(site.data, *places)
    if there and not holders(root, *places):
        whole = Path(os.path.abspath(images))  # noqa: PTH100
        link = there[0] / whole.name
        raise DataError(
            f"{shown(images)}: it lies outside of the data root {shown(there[0])}, where {watch} "
            f"is; link it there (ln -s {shown(whole)} {shown(link)}), and say --images "
            f"{shown(link)}"
        )


def _watched(named: str, root: AnyRoot) -> Watched:
    """The set on which kNN is measured.

    Raises:
        DataError: it is no data set's name, and no folder of classes.
    """
    if named in names():
        images = STL10_LABELLED if named == "stl10" else KNOWN_SIZES.get(named)
        return Watched({"name": named}, images, SMALLEST_CLASS.get(named))
    folder = Path(named)
    if not folder.is_dir():
        raise DataError(
            f"--watch {shown(named)}: no folder, and no data set's name; there are "
            f"{', '.join(names())}"
        )
    with_splits = all((folder / each).is_dir() for each in SPLITS)
    there = look(folder, None if with_splits else WATCHED_SPLIT)
    data = _section(there.data, below(folder, root) or ".")
    return Watched(data, there.facts.images, there.facts.smallest_class)
