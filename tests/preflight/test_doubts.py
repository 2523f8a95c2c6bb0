"""Each warning: given from where on, and by which numbers."""

from __future__ import annotations

import copy
import random
from collections import deque
from typing import Any

import pytest
from report.build import recipe as varied

from harness.preflight import training
from harness.preflight.recipe_file import of_recipe
from harness.preflight.sizes import Count, Size, nothing_at_hand
from harness.preflight.training import own_image_share
from harness.recipe.schema import Data, Recipe
from harness.spec.registry import METHODS

BASE: dict[str, Any] = {
    "data__images": 20_000,
    "contrast": {"kind": "moco", "queue": 1024, "momentum": 0.99, "temperature": 0.2},
    "optim__lr": 0.03 * 64 / 256,
    "knn__k": [200],
    "linear__lr": [1],
}
BANK = {"kind": "memory_bank", "temperature": 0.1}
OWN = {"name": "imagefolder", "folder": "mine", "size": 32}


def recipe(**changes: Any) -> Recipe:
    """A recipe of 10 epochs with batches of 64, of which nothing is to be warned."""
    return varied(**copy.deepcopy(BASE | changes))


def warned(count: Count = nothing_at_hand, /, **changes: Any) -> dict[str, str]:
    """Key -> what is said."""
    return {each.key: each.says for each in of_recipe(recipe(**changes), count).warnings}


def test_nothing_is_to_be_said() -> None:
    assert warned() == {}


KNN = {"metric": "knn/top1", "value": 50.0, "tolerance": 1.0, "source": "it"}


@pytest.mark.parametrize(
    ("target", "changes", "doubted"),
    [
        (KNN, {}, False),
        (KNN | {"metric": "linear/top1"}, {}, False),
        (KNN | {"metric": "linear/top1"}, {"linear": None}, True),
        (KNN | {"task": "other"}, {}, True),
        (KNN | {"epoch": 6}, {"watch__knn_epochs": 3}, False),
        (KNN | {"epoch": 7}, {"watch__knn_epochs": 3}, True),
        (KNN | {"epoch": 10}, {"watch__knn_epochs": 3}, False),  # after the last
        (KNN | {"epoch": 11}, {"watch__knn_epochs": 1}, True),
        (KNN | {"epoch": 3}, {"watch__knn_epochs": 1, "optim__steps": 700}, True),
        (KNN | {"epoch": 2}, {"watch__knn_epochs": 1, "optim__steps": 700}, False),
    ],
)
def test_a_target_is_measured(
    target: dict[str, Any], changes: dict[str, Any], doubted: bool
) -> None:
    assert ("unmeasured-target" in warned(about={"targets": [target]}, **changes)) is doubted


@pytest.mark.parametrize(("epochs", "doubted"), [(81, False), (80, True)])
def test_a_probes_drops_are_reached(epochs: int, doubted: bool) -> None:
    probe = {"kind": "linear", "epochs": epochs, "lr": [1], "drops": [60, 80]}
    assert ("schedule-cut" in warned(tasks={"other": probe})) is doubted


@pytest.mark.parametrize(
    ("changes", "doubted"),
    [
        ({"contrast__queue": 8_944}, False),  # 0.4472 of the images: 10 %
        ({"contrast__queue": 8_946}, True),
        ({"contrast__queue": 65_536}, True),
        ({"contrast__queue": 65_536, "optim__epochs": 1}, False),  # no image comes twice
        ({"contrast__queue": 65_536, "optim__epochs": 2}, True),
        ({"contrast__queue": 65_536, "optim__epochs": 2, "optim__steps": 312}, False),
        ({"contrast__queue": 65_536, "optim__epochs": 0}, False),
        ({"contrast__queue": 17_888, "contrast__symmetric": True}, False),
        ({"contrast__queue": 17_892, "contrast__symmetric": True}, True),
        ({"contrast": {**BANK, "negatives": 2_107}}, False),  # 1 - (1 - 1 / 20000)^2107 is 10 %
        ({"contrast": {**BANK, "negatives": 2_108}}, True),
        ({"contrast": {**BANK, "negatives": 20_000, "exclude_self": True}}, False),
        ({"contrast": {"kind": "end_to_end", "temperature": 0.1}}, False),
        ({"data": OWN, "contrast__queue": 65_536}, False),  # how many images is not known
    ],
)
def test_a_queue_with_old_keys_of_the_querys_image(changes: dict[str, Any], doubted: bool) -> None:
    changes = {"contrast__momentum": 0.0, **changes} if "contrast" not in changes else changes
    found = warned(**changes)
    assert ("own-image-negatives" in found) is doubted
    if doubted and changes.get("contrast__queue") == 65_536:
        assert "100 %" in found["own-image-negatives"]


@pytest.mark.parametrize(
    ("queue", "symmetric"), [(100, False), (300, False), (300, True), (550, False)]
)
def test_how_many_queries_meet_their_own_image_in_the_queue(queue: int, symmetric: bool) -> None:
    """By the shares of a queue that is filled image by image, in a new order each epoch."""
    images, random_ = 400, random.Random(0)
    made = recipe(
        data__images=images,
        contrast__queue=queue,
        contrast__symmetric=symmetric,
        knn__k=[1],
    )
    keys: deque[int] = deque(maxlen=queue)
    met = 0
    for epoch in range(21):
        for image in random_.sample(range(images), images):
            met += bool(epoch) and image in keys
            keys.extend([image] * (2 if symmetric else 1))
    assert met / (20 * images) == pytest.approx(own_image_share(made, images), abs=0.02)


def test_how_many_queries_meet_their_own_entry_of_the_bank() -> None:
    random_, images, k = random.Random(0), 400, 200
    made = recipe(data__images=images, contrast={**BANK, "negatives": k}, knn__k=[1])
    met = sum(0 in random_.choices(range(images), k=k) for _ in range(4000))
    assert met / 4000 == pytest.approx(own_image_share(made, images), abs=0.02)


@pytest.mark.parametrize(
    ("queue", "symmetric", "doubted"),
    [(256, False, False), (255, False, True), (512, True, False), (511, True, True)],
)
def test_a_queue_that_turns_over_in_a_few_steps(queue: int, symmetric: bool, doubted: bool) -> None:
    found = warned(contrast__queue=queue, contrast__symmetric=symmetric)
    assert set(found) == ({"queue-turnover"} if doubted else set())


@pytest.mark.parametrize(
    ("m", "steps", "left"),
    [
        (0.99, 298, "5 %"),
        (0.99, 299, None),  # 4.95 %
        (0.99, 300, None),  # 3 / (1 - m)
        (0.999, 500, "60.6 %"),
        (0.9999, 500, "95.1 %"),
        (0.0, 1, None),
    ],
)
def test_a_key_encoder_that_stays_where_it_began(m: float, steps: int, left: str | None) -> None:
    changes = {"contrast__momentum": m, "optim__steps": steps}
    found = warned(optim__schedule={"kind": "constant"}, **changes)
    assert set(found) == ({"slow-key-encoder"} if left else set())
    assert not left or left in found["slow-key-encoder"]
    given = {"model__weights": {"file": "it.pth", "sha256": "0" * 8}}
    assert "slow-key-encoder" not in warned(**changes, **given), "it begins where it should be"


@pytest.mark.parametrize(
    ("factor", "doubted"), [(0.49, True), (0.5, False), (2, False), (2.1, True), (0, True)]
)
def test_the_linear_rule(monkeypatch: pytest.MonkeyPatch, factor: float, doubted: bool) -> None:
    rate = {"optim__batch": 128, "optim__lr": factor * 0.015}
    found = warned(**rate)
    assert set(found) == ({"rate-for-batch"} if doubted else set())
    assert not doubted or f" {factor:g} times " in found["rate-for-batch"]
    weights = {"model__weights": {"file": "it.pth", "sha256": "0" * 8}}
    assert ("rate-for-batch" in warned(**rate, **weights)) is (factor > 2), "a low rate keeps them"
    assert warned(**rate, optim__epochs=0, **weights) == {}
    monkeypatch.setattr(training, "METHODS", METHODS[:2])
    assert warned(**rate) == {}, "the rate of another package's method is not known"


@pytest.mark.parametrize(
    ("schedule", "steps", "doubted"),
    [
        ({"kind": "cosine"}, 2807, True),  # of 3,120 in 10 epochs
        ({"kind": "cosine"}, 2808, False),
        ({"kind": "cosine"}, 5000, False),
        ({"kind": "step", "drops": [5, 8]}, 2497, False),
        ({"kind": "step", "drops": [5, 8]}, 2496, True),  # the ninth epoch is never begun
        ({"kind": "decay", "every": 1000, "factor": 0.9}, 999, True),
        ({"kind": "decay", "every": 1000, "factor": 0.9}, 1000, False),
        ({"kind": "constant"}, 400, False),
    ],
)
def test_steps_that_end_before_the_schedule(
    schedule: dict[str, Any], steps: int, doubted: bool
) -> None:
    found = warned(optim__schedule=schedule, optim__steps=steps)
    assert set(found) == ({"schedule-cut"} if doubted else set())


@pytest.mark.parametrize(
    ("changes", "doubted"),
    [
        ({"knn__k": [2000, 20]}, False),  # ten classes of 2,000
        ({"knn__k": [20, 2001]}, True),
        ({"data": {"name": "cifar100", "size": 32}, "knn__k": [501]}, True),
        ({"data": {"name": "cifar100", "size": 32}, "knn__k": [500]}, False),
        ({"data": {"name": "stl10", "size": 96}, "knn__k": [501]}, True),  # 5,000 are labelled
        ({"data": {"name": "stl10", "size": 96}, "knn__k": [500]}, False),
        ({"data": {**OWN, "folder": "imagenet", "images": 100_000}, "knn__k": [101]}, True),
        ({"data": {**OWN, "folder": "imagenet"}, "knn__k": [1281]}, False),
        ({"data": OWN, "knn__k": [5000]}, False),  # neither number is known
    ],
)
def test_more_neighbours_than_a_class_has_images(changes: dict[str, Any], doubted: bool) -> None:
    assert ("knn-k" in warned(**changes)) is doubted


def test_a_folder_at_hand_is_counted_and_further_tasks_have_their_own_data() -> None:
    def count(data: Data) -> Size | None:
        return {"mine": Size(20_000, 10), "flowers": Size(1_020, 102)}.get(data.folder or "")

    flowers = {**OWN, "folder": "flowers"}
    far = {"flowers": {"kind": "knn", "k": [10], "data": flowers}}
    assert warned(count, data=OWN, tasks=far) == {}
    far["flowers"]["k"] = [11]
    found = warned(count, data=OWN, tasks=far)
    assert set(found) == {"knn-k"}
    assert found["knn-k"].startswith("tasks.flowers.k: ")


@pytest.mark.parametrize(
    ("temperature", "k", "doubted"),
    [
        (0.0099, 200, True),
        (0.0099, 1, False),  # the only neighbour needs no weight
        (1e-9, 200, True),
        (0.01, 200, False),
        (1.0, 200, False),
        (1.01, 200, True),
    ],
)
def test_a_temperature_at_which_k_means_little(temperature: float, k: int, doubted: bool) -> None:
    found = warned(knn__temperature=temperature, knn__k=[k])
    assert set(found) == ({"knn-temperature"} if doubted else set())


@pytest.mark.parametrize(
    ("probe", "doubted"),
    [
        ({"lr": [30]}, True),  # 20 epochs of 79 steps
        ({"lr": [10, 1]}, True),
        ({"lr": [9.9, 30]}, False),  # the first rate is the result
        ({"lr": [30], "epochs": 127, "drops": []}, False),
        ({"lr": [30], "epochs": 126, "drops": []}, True),  # 9,954 steps
        ({"lr": [30], "epochs": 800, "batch": 512}, False),
        ({"lr": [30], "epochs": 800, "batch": 513}, True),
        ({"lr": [60], "epochs": 1000, "batch": 2048}, False),  # not the paper's rate
        ({"lr": [30], "epochs": 800, "batch": 127}, True),
    ],
)
def test_the_papers_rate_of_the_probe(probe: dict[str, Any], doubted: bool) -> None:
    found = warned(linear={"drops": [12, 16], "epochs": 20, **probe})
    assert set(found) == ({"probe-rate"} if doubted else set())
    task = {"far": {"kind": "linear", "drops": [], **probe}}
    again = warned(tasks=task, linear=None)
    assert not doubted or "epochs" not in probe or again["probe-rate"].startswith("tasks.far.lr: ")
    given = {"model__weights": {"file": "it.pth", "sha256": "0" * 8}, "optim__epochs": 0}
    large = {"data": {**OWN, "folder": "imagenet"}, "linear": {"lr": [30], "batch": 2048}}
    assert set(warned(**large, **given)) == {"probe-rate"}, "as in moco#132"
