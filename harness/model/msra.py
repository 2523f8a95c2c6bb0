"""MSRA's ResNet-50, from which the papers' supervised detectors start: its file, by our names.

detectron2's MSRA/R-50.pkl is a pickle of NumPy arrays, by Caffe2's names. The network is another
one than torchvision's, with the same shapes: a block's stride is in its first 1x1 convolution, and
images are BGR from 0 to 255 minus their mean. `model.layout: msra` says so in a recipe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.errors import DataError, cannot_be_read
from harness.model import safetensors
from harness.model.array_pickle import Refused, read
from harness.model.backbones import backbone
from harness.model.networks import some
from harness.model.released import COUNT, misfits
from harness.recipe.schema import Model
from harness.recipe.sections import MSRA_PREFIX

_CLASSIFIER = re.compile(r"(fc1000|pred|(stem\.)?(fc|linear))[._](w|b|weight|bias)")
"""Names of the classifier of ImageNet, which is left."""
STEM_BIAS = "conv1.bias"

_CAFFE2 = re.compile(r"(?:res(\d)_(\d+)_branch(1|2[abc])|(?:res_)?(conv1))(_bn)?_(\w+)")
_DETECTRON2 = re.compile(r"(?:res(\d)\.(\d+)\.(shortcut|conv[123])|stem\.(conv1))(\.norm)?\.(\w+)")
_PARTS = {"1": "downsample", "2a": "1", "2b": "2", "2c": "3"}
_PARTS |= {"shortcut": "downsample", "conv1": "1", "conv2": "2", "conv3": "3"}
_KINDS = {"w": "weight", "b": "bias", "s": "weight", "gamma": "weight", "beta": "bias",
          "rm": "running_mean", "riv": "running_var"}  # fmt: skip


def converted(path: Path) -> bytes:
    """A safetensors file of the network by torchvision's names, under a prefix of its own, so that
    no recipe takes it for torchvision's network.

    Raises:
        DataError: the file cannot be read, holds anything but arrays, or lacks a weight of the
            network or has one more.
    """
    try:
        if not path.is_file():
            missing = "not a file" if path.exists() else "no such file"
            raise DataError(f"{path}: {missing}; name MSRA's R-50.pkl, as detectron2 publishes it")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(cannot_be_read(error, path)) from error
    try:
        tensors = network(_arrays(read(content)))
    except Refused as why:
        raise DataError(f"{path}: not a pickle of arrays only: it holds {why}") from None
    except ValueError as why:
        raise DataError(f"{path}: not MSRA's ResNet-50: {why}") from None
    named = {f"{MSRA_PREFIX}.{name}": each for name, each in tensors.items()}
    return safetensors.encoded(named, {"format": "pt", "layout": "msra"})


def network(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Tensor]:
    """The network's tensors by torchvision's names, from Caffe2's or detectron2's.

    The bias of the first convolution, which ResNets since then leave out, is taken into the running
    mean behind it: the outputs are the same.

    Raises:
        ValueError: a weight is missing, left over, doubled, not finite or of another shape.
    """
    with torch.device("meta"):
        own = backbone(Model.model_validate({"backbone": "resnet50", "bn_group": 2})).state_dict()
    found: dict[str, Tensor] = {}
    left: list[str] = []
    for name, array in arrays.items():
        if _CLASSIFIER.fullmatch(name) or name.endswith("_momentum"):
            continue
        ours = renamed(name)
        if ours in found or ours not in (*own, STEM_BIAS):
            left.append(name)
        elif ours is not None:
            found[ours] = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
    bias = found.pop(STEM_BIAS, None)
    wrong = misfits(found, own)
    if bias is not None and bias.shape != (64,):
        wrong.append(f"{STEM_BIAS} has the shape {tuple(bias.shape)}")
    if wrong or left:
        lost = f"{len(wrong)} of its weights: {'; '.join(wrong[:3])}" if wrong else ""
        more = f"{len(left)} more than it has ({some(left)})" if left else ""
        folded = any("running_" in each for each in wrong) and not any(
            "running_" in n for n in found
        )
        hint = "; its norms are folded, as in Detectron's first files" if folded else ""
        raise ValueError("; ".join(filter(None, (lost, more))) + hint)
    if bias is not None:
        found["bn1.running_mean"] = found["bn1.running_mean"] - bias
    counts = {n: torch.zeros((), dtype=torch.int64) for n in own if n.endswith(COUNT)}
    return {name: found[name] if name in found else counts[name] for name in own}


def renamed(name: str) -> str | None:
    """torchvision's name for Caffe2's or detectron2's `name`; None: it has none."""
    match = _CAFFE2.fullmatch(name) or _DETECTRON2.fullmatch(name)
    if match is None:
        return None
    stage, block, part, _, norm, kind = match.groups()
    kind = _KINDS.get(kind, kind)
    where = f"layer{int(stage) - 1}.{block}." if stage else ""
    number = _PARTS[part] if stage else "1"
    if number == "downsample":
        return f"{where}downsample.{1 if norm else 0}.{kind}"
    return f"{where}{'bn' if norm else 'conv'}{number}.{kind}"


def _arrays(content: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays by name: of the file itself, or of its "model" or "blobs"."""
    if isinstance(content, dict):
        content = next((content[k] for k in ("model", "blobs") if k in content), content)
    if not isinstance(content, dict):
        raise Refused(f"one {type(content).__name__}, and no arrays by name")
    found = {str(name): each for name, each in content.items() if isinstance(each, np.ndarray)}
    if not found:
        raise Refused("no arrays by name")
    return found
