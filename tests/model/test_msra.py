"""MSRA's file of weights: by which names, what is refused, and that a recipe can begin with it."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import DataError
from harness.model.encoder import Encoder
from harness.model.msra import converted, network
from harness.model.released import load_released
from harness.recipe.schema import Model, Weights

from .msra_file import Arrays, caffe2, detectron2


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return caffe2()


def test_both_namings_are_one_network(arrays: Arrays) -> None:
    one, other = network(arrays), network(detectron2(arrays))
    with torch.device("meta"):
        own = Encoder(Model.model_validate({"backbone": "resnet50", "bn_group": 2})).backbone
    assert list(one) == list(other) == list(own.state_dict())
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name])
    given = {
        "layer2.0.downsample.0.weight": "res3_0_branch1_w",
        "layer2.0.downsample.1.running_var": "res3_0_branch1_bn_running_var",
        "layer3.5.conv2.weight": "res4_5_branch2b_w",
        "layer4.2.bn3.bias": "res5_2_branch2c_bn_beta",
        "bn1.weight": "res_conv1_bn_gamma",
    }
    for ours, theirs in given.items():
        assert np.array_equal(one[ours].numpy(), arrays[theirs])
    mean = arrays["res_conv1_bn_running_mean"] - arrays["conv1_b"]
    assert np.array_equal(one["bn1.running_mean"].numpy(), mean)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"res4_5_branch2b_w": None}, "layer3.5.conv2.weight"),
        ({"res_conv1_bn_running_var": None}, "bn1.running_var"),
        ({"res4_6_branch2b_w": (256, 256, 3, 3)}, "res4_6_branch2b_w"),
        ({"res2_0_branch2a_b": (64,)}, "res2_0_branch2a_b"),
        ({"stem.conv1.weight": (64, 3, 7, 7)}, "stem.conv1.weight"),
        ({"anything": (2,)}, "anything"),
        ({"fc1000_extra": (2,)}, "fc1000_extra"),
        ({"res2_0_branch2a_w": (64, 64, 3, 3)}, "layer1.0.conv1.weight"),
        ({"conv1_b": (3,)}, "conv1.bias"),
    ],
    ids=str,
)
def test_what_is_missing_or_left_over_is_named(
    arrays: Arrays, change: dict[str, Any], named: str
) -> None:
    made = dict(arrays)
    for name, shape in change.items():
        made.pop(name, None)
        if shape is not None:
            made[name] = np.zeros(shape, dtype=np.float32)
    with pytest.raises(ValueError, match=named.replace(".", r"\.")):
        network(made)


def test_folded_norms_and_numbers_that_are_not_finite(arrays: Arrays) -> None:
    folded = {name: each for name, each in arrays.items() if "running" not in name}
    with pytest.raises(ValueError, match="folded"):
        network(folded)
    spoilt = arrays["res2_0_branch2a_w"].copy()
    spoilt[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"layer1\.0\.conv1\.weight"):
        network(arrays | {"res2_0_branch2a_w": spoilt})


def test_a_recipe_begins_with_the_file_and_only_by_its_prefix(
    arrays: Arrays, tmp_path: Path
) -> None:
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    content = converted(tmp_path / "R-50.pkl")
    (tmp_path / "msra.safetensors").write_bytes(content)
    model = Model.model_validate({"backbone": "resnet50", "bn_group": 2})
    sha256 = hashlib.sha256(content).hexdigest()
    weights, made = Weights(file="msra.safetensors", sha256=sha256), Encoder(model)
    with pytest.raises(DataError, match="msra"):
        load_released(made, weights, tmp_path, head=False, source="")
    named = weights.model_copy(update={"prefix": "msra"})
    load_released(made, named, tmp_path, head=False, source="")
    for name, tensor in network(arrays).items():
        assert torch.equal(made.backbone.state_dict()[name], tensor)


class Command:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("content", [b"", b"<html>", pickle.dumps(Command()), pickle.dumps([1])])
def test_other_files_are_refused_in_one_line(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("R-50.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"R-50\.pkl") as caught:
        converted(Path("R-50.pkl"))
    assert "\n" not in str(caught.value)
    assert not Path("ran").exists()
    for nothing in (Path("none.pkl"), tmp_path):
        with pytest.raises(DataError):
            converted(nothing)
