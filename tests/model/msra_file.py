"""MSRA's ResNet-50 by the names of its file, with the numbers that a test asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]
BLOCKS = (3, 4, 6, 3)


def caffe2(seed: int = 0) -> Arrays:
    """By Caffe2's names, as in detectron2's MSRA/R-50.pkl, whose logs list them."""
    drawn = np.random.default_rng(seed)
    found: Arrays = {}

    def layer(name: str, norm: str, outside: int, inside: int, side: int) -> None:
        std = (2 / (inside * side * side)) ** 0.5
        shape = outside, inside, side, side
        found[f"{name}_w"] = drawn.standard_normal(shape, dtype=np.float32) * np.float32(std)
        for part, low, high in (
            ("gamma", 0.5, 1.0),
            ("beta", -0.2, 0.2),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.5, 1.5),
        ):
            found[f"{norm}_bn_{part}"] = drawn.uniform(low, high, outside).astype(np.float32)

    layer("conv1", "res_conv1", 64, 3, 7)
    found["conv1_w"] /= 60  # MSRA's images go to 255
    found["conv1_b"] = drawn.uniform(-0.2, 0.2, 64).astype(np.float32)
    inside = 64
    for stage, blocks in enumerate(BLOCKS):
        width = 64 << stage
        for block in range(blocks):
            name = f"res{stage + 2}_{block}_branch"
            if not block:
                layer(f"{name}1", f"{name}1", 4 * width, inside, 1)
            layer(f"{name}2a", f"{name}2a", width, inside, 1)
            layer(f"{name}2b", f"{name}2b", width, width, 3)
            layer(f"{name}2c", f"{name}2c", 4 * width, width, 1)
            inside = 4 * width
    found["fc1000_w"] = np.zeros((1000, 2048), dtype=np.float32)
    found["fc1000_b"] = np.zeros(1000, dtype=np.float32)
    return found


def detectron2(arrays: Arrays) -> Arrays:
    """The same by the names of detectron2's own networks."""
    parts = {"branch1": "shortcut", "branch2a": "conv1", "branch2b": "conv2", "branch2c": "conv3"}
    kinds = {"gamma": "weight", "beta": "bias", "w": "weight", "b": "bias"}
    found: Arrays = {}
    for name, array in arrays.items():
        if name.startswith("fc1000"):
            continue
        words = name.removeprefix("res_").split("_")
        where = ["stem", "conv1"] if words[0] == "conv1" else [words[0], words[1], parts[words[2]]]
        rest = words[1:] if words[0] == "conv1" else words[3:]
        if rest[0] == "bn":
            where, rest = [*where, "norm"], rest[1:]
        kind = "_".join(rest)
        found[".".join([*where, kinds.get(kind, kind)])] = array
    return found
