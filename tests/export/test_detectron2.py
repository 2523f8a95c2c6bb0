"""detectron2 is on no package index: its names and shapes are those that its own code has."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from export.made import encoder, exported, files, recipe, undrawn
from harness.export import formats
from harness.export.formats import Format
from harness.export.to_detectron2 import WEIGHTS, renamed

GOLDEN = Path(__file__).with_name("detectron2_resnet50.txt")
"""Recorded from detectron2 at 02b5c4e: the state of build_resnet_backbone, without counters."""


def test_resnet50_has_detectron2s_names_and_shapes() -> None:
    wanted = dict(line.split() for line in GOLDEN.read_text().splitlines())
    of = recipe("resnet50")
    made = encoder(of)
    content = files(Format.detectron2, of, made)[WEIGHTS]
    found = pickle.loads(content, encoding="latin1")
    assert (found["__author__"], found["matching_heuristics"]) == ("moco-harness", True)
    shapes = {name: "x".join(map(str, array.shape)) for name, array in found["model"].items()}
    assert shapes == wanted
    assert sum(array.ndim == 4 for array in found["model"].values()) == 53
    for name, tensor in made.backbone.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            array = found["model"][renamed(name)]
            assert array.flags.writeable
            assert torch.equal(torch.from_numpy(array), tensor)


def test_any_numpy_can_read_it() -> None:
    """NumPy 2 pickles arrays under names that NumPy 1 lacks."""
    of = recipe("resnet18")
    texts: list[str] = []
    for code, argument, _ in pickletools.genops(files(Format.detectron2, of, encoder(of))[WEIGHTS]):
        assert code.name != "GLOBAL"
        if isinstance(argument, str):
            texts.append(argument)
    assert {text for text in texts if "numpy" in text} == {"numpy"}
    assert {"ndarray", "bytearray"} < set(texts)
    assert not {"_reconstruct", "_frombuffer"} & set(texts)
    assert np.ndarray.__module__ == "numpy"


@pytest.mark.parametrize(
    ("backbone", "width", "wanted"),
    [
        ("resnet18", 1, (18, 1, 64, 64, 64)),
        ("resnet50", 1, (50, 1, 64, 64, 256)),
        ("resnet50", 2, (50, 1, 128, 128, 512)),
        ("resnext50_32x8d", 1, (50, 32, 8, 64, 256)),
    ],
)
def test_the_settings_that_go_with_it(backbone: str, width: int, wanted: tuple[int, ...]) -> None:
    of = recipe(backbone, width=width)
    said = formats.usage(Format.detectron2, exported(of, undrawn(of)))
    settings = yaml.safe_load(said.partition("```yaml\n")[2].partition("```")[0])
    nets = settings["MODEL"]["RESNETS"]
    keys = ("DEPTH", "NUM_GROUPS", "WIDTH_PER_GROUP", "STEM_OUT_CHANNELS", "RES2_OUT_CHANNELS")
    assert tuple(nets[key] for key in keys) == wanted
    assert nets["STRIDE_IN_1X1"] is False
    assert settings["INPUT"]["FORMAT"] == "RGB"
    assert settings["MODEL"]["PIXEL_MEAN"] == [123.675, 116.28, 103.53]  # detectron2's own for RGB
    assert settings["MODEL"]["PIXEL_STD"] == [58.395, 57.12, 57.375]


def test_the_settings_of_msras_layout() -> None:
    of = recipe("resnet50")
    of = of.model_copy(update={"model": of.model.model_copy(update={"layout": "msra"})})
    said = formats.usage(Format.detectron2, exported(of, undrawn(of)))
    settings = yaml.safe_load(said.partition("```yaml\n")[2].partition("```")[0])
    assert settings["MODEL"]["RESNETS"]["STRIDE_IN_1X1"] is True
    assert settings["INPUT"]["FORMAT"] == "BGR"
    assert settings["MODEL"]["PIXEL_MEAN"] == [103.53, 116.28, 123.675]  # detectron2's defaults
    assert settings["MODEL"]["PIXEL_STD"] == [1.0, 1.0, 1.0]
