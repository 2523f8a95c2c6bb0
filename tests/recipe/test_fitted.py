"""Values that fit a folder of images: for any number and size they are a sound recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.preflight.training import own_image_share
from harness.recipe.commented import commented
from harness.recipe.fitted import ENOUGH, FEWEST, HARMLESS, Facts, Setting, Watched, settings
from harness.recipe.load import recipe_node
from harness.recipe.rules import stride
from harness.recipe.schema import Recipe
from harness.recipe.validate import check
from harness.recipe.yaml_source import parse

PICTURES = {"name": "pictures", "folder": "my photos: 2020"}
CIFAR = Watched({"name": "cifar10"}, 50_000, 5_000)


def made(found: list[Setting]) -> Recipe:
    """The recipe in the text that they are written as."""
    return check(Recipe, recipe_node(Path("x.yaml"), parse(commented(found, ["Head."]), "x.yaml")))


@pytest.mark.parametrize("images", [ENOUGH, 1_000, 1_024, 4_096, 6_476, 6_477, 50_000, 1_280_000])
def test_few_queries_meet_their_own_older_key(images: int) -> None:
    recipe = made(settings(Facts(images, 64, 10), PICTURES))
    assert own_image_share(recipe, images) <= HARMLESS


@pytest.mark.parametrize("side", [20, 64, 500])
@pytest.mark.parametrize("images", [FEWEST, 300, 1_000, 4_095, 30_000, 150_000, 1_280_000])
def test_the_values_fit(images: int, side: int) -> None:
    recipe = made(settings(Facts(images, side, 10), PICTURES, watched=CIFAR))
    optim, contrast, group = recipe.optim, recipe.contrast, recipe.model.bn_group
    per_epoch = images // optim.batch
    steps = per_epoch * optim.epochs
    assert per_epoch >= 4
    assert optim.batch // group >= 2
    method = contrast.model_dump()
    queue = method["queue"]
    assert queue % optim.batch == 0
    assert 2 * optim.batch <= queue <= images / 2
    assert 1 / (1 - method["momentum"]) <= 0.05 * steps
    assert optim.lr == pytest.approx(0.03 * optim.batch / 256, rel=1e-2)
    assert recipe.data.size <= side
    assert -(-recipe.data.size // stride(recipe.model.backbone)) >= 3
    assert recipe.watch.log_steps <= max(50, per_epoch)


def test_a_large_set_gets_the_papers_values() -> None:
    recipe = made(settings(Facts(1_281_167, 400, 500), PICTURES))
    assert (recipe.data.size, recipe.model.backbone) == (224, "resnet50")
    assert (recipe.optim.batch, recipe.model.bn_group, recipe.optim.epochs) == (256, 32, 200)
    assert recipe.contrast.model_dump()["queue"] == 65_536
    assert recipe.contrast.model_dump()["momentum"] == 0.999
    assert recipe.augment.blur_sigma == (0.1, 2.0)


def test_the_size_that_is_asked_for_is_taken() -> None:
    recipe = made(settings(Facts(1_000, 300, 10), PICTURES, size=64))
    assert recipe.data.size == 64
    assert recipe.augment.blur_p == 0


@pytest.mark.parametrize(
    ("watched", "expected"),
    [
        (CIFAR, {"images": 10_000, "k": (200,)}),
        (Watched({"name": "cifar10"}, 50_000, 5), {"images": 10_000, "k": (1,)}),
        (Watched({"name": "imagefolder", "folder": "a"}, 90, 30), {"images": None, "k": (30,)}),
        (Watched({"name": "stl10"}, None, None), {"images": None, "k": (20,)}),
    ],
)
def test_what_is_watched(watched: Watched, expected: dict[str, Any]) -> None:
    recipe = made(settings(Facts(1_000, 96, 10), PICTURES, watched=watched))
    said: Any = recipe.tasks["watched"]
    assert recipe.watch.knn_task == "watched"
    assert {"images": said.data.images, "k": said.k} == expected
    assert said.data.size == recipe.data.size


def test_labelled_images_have_a_knn_of_their_own() -> None:
    data = {"name": "imagefolder", "folder": "pets", "split": 0.1}
    recipe = made(settings(Facts(1_000, 96, 10, smallest_class=40, tested=100), data))
    assert recipe.knn is not None
    assert recipe.knn.k == (40,)
    assert recipe.data.split == 0.1
    both = made(settings(Facts(1_000, 96, 10, smallest_class=40), data, watched=CIFAR))
    assert both.monitor is both.knn
    assert list(both.tasks) == ["watched"]


def test_every_value_of_the_method_has_its_reason_above_it() -> None:
    found = settings(Facts(1_000, 96, 10), PICTURES, watched=CIFAR)
    assert all(each.why for each in found if each.path != "contrast.kind")
    lines = commented(found, ["Head."]).splitlines()
    assert lines[0] == "# Head."
    assert max(map(len, lines)) <= 100
    at = next(n for n, line in enumerate(lines) if line.startswith("  queue: "))
    assert lines[at - 1].startswith("  # ")
