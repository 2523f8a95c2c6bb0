"""Combinations that could only fail once training has begun are refused with their field."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from harness.methods.moco.config import Moco
from harness.model.encoder import build
from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.recipe.method import MAIN
from harness.recipe.rules import stride
from harness.recipe.schema import Model, Recipe

BACKBONES = list(Model.model_json_schema()["properties"]["backbone"]["enum"])


def made(**changes: Any) -> Recipe:
    """A small recipe with some fields changed, e.g. model__bn_group=1."""
    found: dict[str, Any] = {
        "name": "small",
        "data": {"name": "embedded", "images": 64, "size": 16},
        "augment": {},
        "model": {"backbone": "miniature", "dim": 8, "bn_group": 4},
        "contrast": {"kind": "moco", "queue": 32, "momentum": 0.9, "temperature": 0.2},
        "optim": {"epochs": 1, "batch": 8, "lr": 0.1, "schedule": {"kind": "constant"}},
        "knn": {"k": [5]},
    }
    for path, value in changes.items():
        section, _, name = path.partition("__")
        if name:
            found.setdefault(section, {})[name] = value
        else:
            found[section] = value
    return Recipe.model_validate_json(json.dumps(found))


def refused(**changes: Any) -> str:
    with pytest.raises(ValidationError) as error:
        made(**changes)
    return str(error.value)


def narrowest(backbone: str, size: int) -> int:
    """The least number of pixels that a norm of the backbone sees of one image."""
    seen = []
    with torch.device("meta"):
        network = build(Model.model_validate({"backbone": backbone, "bn_group": 2}), 0)
        for norm in network.modules():
            if isinstance(norm, GroupedBatchNorm2d):
                norm.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[2:].numel()))
        network.eval()(torch.zeros(2, 3, size, size))
    return min(seen)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_group_of_one_needs_more_than_one_value_a_channel(backbone: str) -> None:
    edge = stride(backbone)
    for size in (8, 16, edge, edge + 1):
        if size < 8:
            continue
        changed = {"model__backbone": backbone, "model__bn_group": 1, "data__size": size}
        if narrowest(backbone, size) > 1:
            made(**changed)
        else:
            assert "model.bn_group" in refused(**changed)
            made(**changed | {"model__bn_group": 2})
            made(**changed, optim__epochs=0)  # running statistics are all that is read


LINEAR: dict[str, Any] = {"kind": "linear", "data": {"name": "cifar100", "size": 16}}
FINETUNE = {
    "kind": "finetune",
    "epochs": 1,
    "batch": 8,
    "lr": 0.1,
    "schedule": {"kind": "constant"},
}
LIST = {"labels_file": "few.txt", "labels_sha256": "0" * 8}


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (LINEAR | {"data": LINEAR["data"] | {"images": 50_001}}, "tasks.it.data.images"),
        ({"kind": "knn", "k": []}, "tasks.it.k"),
        ({"kind": "knn", "k": [5], "parent": "knn"}, "tasks.it.parent"),
        (FINETUNE | LIST, "tasks.it.labels_file"),
    ],
)
def test_a_further_task_that_cannot_be_run(said: dict[str, Any], field: str) -> None:
    assert field in refused(tasks={"it": said})


def test_the_name_of_the_control_is_taken() -> None:
    with pytest.raises(ValidationError, match="untrained is the control"):
        made(name="untrained")


def test_a_folder_is_not_searched_in_the_users_home() -> None:
    data = {"name": "imagefolder", "folder": "~/birds", "size": 16}
    assert "data.folder" in refused(data=data)


NCE = {"kind": "memory_bank", "negatives": 8, "loss": "nce"}


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("contrast.temperature", {"contrast__temperature": 1e-46}),
        ("contrast.temperature", {"contrast": NCE | {"temperature": 0.01}}),
        ("knn.temperature", {"knn__temperature": 1e-300}),
        ("augment.jitter", {"augment__jitter": [1e39, 0, 0, 0]}),
        ("augment.blur_sigma", {"augment__blur_sigma": [0.1, 1e300]}),
        ("augment.crop_ratio", {"augment__crop_ratio": [1e-300, 1]}),
        ("optim.lr", {"optim__lr": 1e200}),
        ("linear.lr", {"linear__lr": [0.1, 1e39], "linear__drops": []}),
        ("linear.weight_decay", {"linear__weight_decay": [1e-50]}),
    ],
)
def test_numbers_that_float32_makes_nothing_or_infinite_of(
    field: str, changes: dict[str, Any]
) -> None:
    assert f"{field}: " in refused(**changes)


def test_small_and_large_numbers_that_it_holds() -> None:
    made(knn__temperature=1e-30, optim__lr=1e30, optim__weight_decay=0)
    made(contrast=NCE | {"temperature": 0.02})
    made(contrast=NCE | {"loss": "info_nce", "temperature": 0.01})


SMALL = {"size": 8, "crop_scale": [0.05, 0.2]}


def test_views_that_the_method_does_not_draw_are_refused() -> None:
    assert "views.small" in refused(views={"small": SMALL})
    assert "views.augment" in refused(views={"augment": SMALL})


def test_views_that_the_method_draws_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Moco, "views", lambda _: (MAIN, "small", MAIN))
    assert "views.small" in refused()
    recipe = made(views={"small": SMALL}, augment__flip_p=0)
    assert [(view.size, view.flip_p) for view in recipe.drawn()] == [(16, 0), (8, 0.5), (16, 0)]
    assert recipe.drawn()[1].crop_scale == (0.05, 0.2)
    for field, wrong in (("crop_scale", [0.2, 0.1]), ("blur_sigma", [1e-50, 1]), ("size", 4)):
        said = refused(views={"small": SMALL | {field: wrong}})
        assert f"views.small.{field}" in said
    assert "views.small.size" in refused(
        views={"small": SMALL}, data__size=64, model__bn_group=1, model__backbone="resnet18_cifar"
    )


FILE = {"file": "w.pth", "md5": "0" * 8}
RUN = {"run": "small-s0.pretrain-0123456789"}


@pytest.mark.parametrize(
    ("weights", "field"),
    [
        ({}, "model.weights: neither"),
        (FILE | RUN, "model.weights: file and run"),
        (RUN | {"sha256": "0" * 8}, "model.weights.sha256"),
        (RUN | {"prefix": "module"}, "model.weights.prefix"),
        ({"run": "small-s0.knn-0123456789"}, "model.weights.run"),
        ({"run": "runs/.."}, "model.weights.run"),
        ({"run": "~/runs/small-s0.pretrain-0123456789"}, "model.weights.run"),
        ({"file": "../w.pth", "md5": "0" * 8}, "model.weights.file"),
        ({"file": "w.pth"}, "model.weights: needs sha256 or md5"),
    ],
)
def test_weights_that_name_nothing_or_two_things(weights: dict[str, str], field: str) -> None:
    assert f"{field}" in refused(model__weights=weights)


def test_weights_of_a_file_or_of_a_run() -> None:
    for weights in (FILE, RUN, {"run": "/elsewhere/runs/small-s0.pretrain-0123456789/"}):
        for epochs, head in ((0, "given"), (1, "given"), (1, "new")):
            made(model__weights=weights | {"head": head}, optim__epochs=epochs)


def test_a_new_head_that_nothing_trains() -> None:
    said = refused(model__weights=FILE | {"head": "new"}, optim__epochs=0)
    assert "model.weights.head" in said


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model__weights": FILE}, "model.weights"),
        ({"optim__epochs": 0}, "optim.epochs"),
        ({"continue_from": "w.pth"}, "continue_from"),
    ],
)
def test_a_run_that_continues_nothing_it_can(changes: dict[str, Any], field: str) -> None:
    assert f"{field}: " in refused(**{"continue_from": RUN["run"]} | changes)


def test_a_cosine_that_begins_after_the_end() -> None:
    schedule = {"kind": "cosine", "start": 3}
    assert "optim.schedule.start" in refused(optim__schedule=schedule, optim__epochs=3)
    made(optim__schedule=schedule, optim__epochs=4)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "cifar10", "test": "other"}, "data.test"),
        ({"name": "imagefolder", "folder": "f", "test": "../other"}, "data.test"),
        ({"name": "imagefolder", "folder": "f", "test": "/other"}, "data.test"),
        ({"name": "imagefolder", "folder": "f", "test": "other", "split": 0.1}, "data.test"),
        ({"name": "pictures", "folder": "f", "test": "other"}, "data.test"),
        ({"name": "imagefolder", "folder": "f", "test_view": "whole"}, "data.test_view"),
        ({"name": "pets", "folder": "f"}, "data.folder"),
        ({"name": "pets", "images": 4_000}, "data.images"),
    ],
)
def test_test_images_and_published_sets(data: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        made(data={"size": 16, **data})
    found = error.value.errors()[0]["ctx"]["found"]
    assert field in [path for path, _ in found]
    further = {"more": {"kind": "knn", "k": [1], "data": {"size": 16, **data}}}
    if field.startswith("data.test"):
        with pytest.raises(ValidationError, match=rf"tasks\.more\.{field}"):
            made(tasks=further)


def test_a_published_set_declares_its_metric() -> None:
    assert made(data={"name": "pets", "size": 16}).data.metric == "mean_per_class"
    assert made().data.metric == "top1"
