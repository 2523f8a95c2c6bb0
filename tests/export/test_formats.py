from __future__ import annotations

import itertools
import json
import math
import struct
from dataclasses import replace
from typing import Any

import pytest

from export.made import encoder, exported, recipe
from harness.errors import RecipeError
from harness.export import formats, to_timm, to_transformers
from harness.export.formats import Format, why_not

EXPRESSED = {
    ("miniature", 1): set[str](),
    ("resnet18", 1): {"torchvision", "timm", "detectron2", "transformers"},
    ("resnet34", 1): {"torchvision", "timm", "detectron2", "transformers"},
    ("resnet50", 1): {"torchvision", "timm", "detectron2", "transformers"},
    ("resnet50", 2): {"detectron2", "transformers"},
    ("resnet18_cifar", 1): {"torchvision"},
    ("resnet50_cifar", 1): {"torchvision"},
    ("resnext50_32x8d", 1): {"torchvision", "timm", "detectron2"},
}


@pytest.mark.parametrize(
    ("network", "wanted"),
    EXPRESSED.items(),
    ids=[f"{name}-{width}" for name, width in EXPRESSED],
)
def test_what_each_format_can_express(network: tuple[str, int], wanted: set[str]) -> None:
    model = recipe(network[0], width=network[1]).model
    assert {form.value for form in Format if not why_not(form, model, head=False)} == wanted
    for form in set(Format) - wanted:
        with pytest.raises(RecipeError, match=network[0]) as caught:
            formats.refuse(form, model, head=False)
        for other in wanted:
            assert f"--format {other}" in str(caught.value)


@pytest.mark.parametrize(
    ("head", "wanted"),
    [("fc", {"torchvision", "timm", "transformers"}), ("mlp", {"torchvision"})],
    ids=["fc", "mlp"],
)
def test_which_hold_the_head(head: str, wanted: set[str]) -> None:
    model = recipe("resnet50", head=head).model
    assert {form.value for form in Format if not why_not(form, model, head=True)} == wanted
    with pytest.raises(RecipeError, match="leave --head out"):
        formats.refuse(Format.detectron2, model, head=True)


def test_a_head_that_nothing_holds_is_not_offered() -> None:
    with pytest.raises(RecipeError) as caught:
        formats.refuse(Format.timm, recipe("miniature").model, head=True)
    assert "--format" not in str(caught.value)
    assert "--head" not in str(caught.value)


def test_safetensors_are_aligned_and_without_gaps() -> None:
    of = recipe("resnet18")
    content = formats.files(Format.timm, exported(of, encoder(of)), {"stage": "s"})[
        "model.safetensors"
    ]
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "pt", "stage": "s"}
    assert (8 + length) % 8 == 0
    places = sorted((*each["data_offsets"], each["dtype"]) for each in header.values())
    assert places[0][0] == 0
    assert places[-1][1] == len(content) - 8 - length
    assert all(one[1] == other[0] for one, other in itertools.pairwise(places))
    assert all(start % {"I64": 8, "F32": 4}[kind] == 0 for start, _, kind in places)


def test_timm_resizes_as_our_evaluation_does() -> None:
    of = recipe("resnet18")
    network = exported(of, encoder(of))
    for size, side in ((48, 55), (96, 110), (160, 183), (224, 256)):
        views = replace(network.views, size=size)
        made = to_timm.files(replace(network, views=views), {})
        share = json.loads(made["config.json"])["pretrained_cfg"]["crop_pct"]
        assert math.floor(size / share) == views.short_side == side


@pytest.mark.parametrize(
    ("data", "share"),
    [
        ({}, 0.875),
        ({"name": "embedded", "folder": None, "size": 24}, 1.0),
        ({"name": "cifar10", "folder": None, "size": 32}, 1.0),
        ({"name": "cifar10", "folder": None, "size": 64}, 0.875),
    ],
)
def test_images_are_prepared_as_they_are_for_evaluation(data: dict[str, Any], share: float) -> None:
    of = recipe("resnet18", **data)
    network = exported(of, encoder(of))
    config = json.loads(to_timm.files(network, {})["config.json"])["pretrained_cfg"]
    assert config["crop_pct"] == share
    assert config["input_size"] == [3, of.data.size, of.data.size]
    said = json.loads(to_transformers.files(network, {})["preprocessor_config.json"])
    assert said["do_resize"] is said["do_center_crop"] is (share < 1)
    assert said["size"]["shortest_edge"] == round(of.data.size / share)
    assert said["image_mean"] == config["mean"] == list(network.views.mean)


def test_msras_layout_is_detectron2s_alone() -> None:
    model = recipe("resnet50").model.model_copy(update={"layout": "msra"})
    assert [form for form in Format if not why_not(form, model, head=False)] == [Format.detectron2]
    with pytest.raises(RecipeError, match="layout msra"):
        formats.refuse(Format.timm, model, head=False)
