"""Checkpoints in the forms that people have: which network of a file is taken, and with which head.

The tensors' names are those that the sources in docs/weights.md write.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from harness.errors import DataError
from harness.model.encoder import Encoder, build
from harness.model.released import UsedWeights, load_released
from harness.recipe.schema import Model, Weights

MODEL = {"backbone": "resnet18", "head": "mlp", "dim": 16, "bn_group": 2}

Named = dict[str, Any]


def encoder(seed: int = 0, **changes: Any) -> Encoder:
    return build(Model.model_validate(MODEL | changes), seed)


SOURCE = encoder(seed=1)
OTHER = encoder(seed=2)


def part(made: Encoder, prefix: str, of: str = "backbone.") -> Named:
    """The encoder's backbone or head, under a prefix."""
    state = made.state_dict()
    return {prefix + n.removeprefix(of): x for n, x in state.items() if n.startswith(of)}


def load(content: Named, folder: Path, target: Encoder, **said: Any) -> UsedWeights:
    path = folder / "w"
    torch.save(content, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    given = Weights(file="w", sha256=sha256, **said)
    return load_released(target, given, folder, head=False, source="here")


def same(one: Encoder, other: Encoder, of: str = "backbone.") -> bool:
    theirs = other.state_dict()
    return all(torch.equal(x, theirs[n]) for n, x in one.state_dict().items() if n.startswith(of))


JUNK: dict[str, Tensor] = {"0.weight": torch.ones(3, 3), "1.weight": torch.ones(3)}


def under(prefix: str, named: Named = JUNK) -> Named:
    return {prefix + name: each for name, each in named.items()}


def wrapped(key: str, named: Named, **more: Any) -> Named:
    return {key: named, "epoch": 3, "arch": "resnet18", **more}


def sequence(made: Encoder, prefix: str) -> Named:
    """The backbone as torchvision's children in a Sequential."""
    numbers = {"conv1": "0", "bn1": "1"} | {f"layer{n}": str(n + 3) for n in range(1, 5)}
    named = part(made, "")
    renamed = {re.sub(r"^\w+", lambda m: numbers[m[0]], n): each for n, each in named.items()}
    return under(prefix, renamed)


def own(made: Encoder) -> Named:
    """A checkpoint of this harness."""
    mechanism = under("query.", made.state_dict()) | under("key.", OTHER.state_dict())
    mechanism |= {"queue.keys": torch.zeros(8, 16), "queue._extra_state": {"pointer": 3}}
    optimiser = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    return {"stage": "x", "step": 7, "mechanism": mechanism, "optimiser": optimiser}


FORMS: dict[str, tuple[Named, str, bool]] = {
    "MoCo v1, v2, whole": (
        wrapped(
            "state_dict",
            part(SOURCE, "module.encoder_q.")
            | part(SOURCE, "module.encoder_q.fc.", "head.")
            | part(OTHER, "module.encoder_k.")
            | {"module.queue": torch.zeros(4, 4)},
            optimizer={"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": []},
        ),
        "state_dict.module.encoder_q.",
        True,
    ),
    "MoCo v3": (
        wrapped(
            "state_dict",
            part(SOURCE, "module.base_encoder.")
            | under("module.base_encoder.fc.")
            | part(OTHER, "module.momentum_encoder.")
            | under("module.predictor."),
        ),
        "state_dict.module.base_encoder.",
        False,
    ),
    "torchvision, timm": (part(SOURCE, "") | {"fc.weight": torch.ones(10, 512)}, "", False),
    "torch.compile": (wrapped("model", part(SOURCE, "_orig_mod.")), "model._orig_mod.", False),
    "SimSiam": (
        wrapped("state_dict", part(SOURCE, "module.encoder.") | under("module.predictor.")),
        "state_dict.module.encoder.",
        False,
    ),
    "Barlow Twins, VICReg": (
        wrapped("model", part(SOURCE, "module.backbone.") | under("module.projector.")),
        "model.module.backbone.",
        False,
    ),
    "SwAV": (
        part(SOURCE, "module.")
        | under("module.projection_head.")
        | {"module.prototypes.weight": torch.ones(3, 4)},
        "module.",
        False,
    ),
    "DINO": (
        {
            "student": part(OTHER, "module.backbone.") | under("module.head."),
            "teacher": part(SOURCE, "backbone.") | under("head."),
            "epoch": 3,
        },
        "teacher.backbone.",
        False,
    ),
    "BYOL": (
        wrapped(
            "model",
            part(SOURCE, "module.online_network.encoder.")
            | part(OTHER, "module.target_network.encoder."),
        ),
        "model.module.online_network.encoder.",
        False,
    ),
    "VISSL": (
        {
            "classy_state_dict": {
                "base_model": {
                    "model": {"trunk": part(SOURCE, "_feature_blocks."), "heads": under("0.clf.")}
                }
            }
        },
        "classy_state_dict.base_model.model.trunk._feature_blocks.",
        False,
    ),
    "lightly": (
        wrapped(
            "state_dict",
            part(SOURCE, "backbone.") | part(SOURCE, "projection_head.layers.", "head."),
        ),
        "state_dict.backbone.",
        True,
    ),
    "lightly, a Sequential": (
        wrapped("state_dict", sequence(SOURCE, "backbone.") | under("projection_head.layers.")),
        "state_dict.backbone.",
        False,
    ),
    "lightly, its examples": (
        wrapped(
            "state_dict",
            part(SOURCE, "backbone.")
            | part(OTHER, "backbone_momentum.")
            | part(OTHER, "projection_head_momentum.layers.", "head."),
        ),
        "state_dict.backbone.",
        False,
    ),
    "solo-learn, at first": (
        wrapped("state_dict", part(SOURCE, "encoder.") | part(OTHER, "momentum_encoder.")),
        "state_dict.encoder.",
        False,
    ),
    "solo-learn": (
        wrapped(
            "state_dict",
            part(SOURCE, "backbone.")
            | part(SOURCE, "projector.", "head.")
            | part(OTHER, "momentum_backbone.")
            | part(OTHER, "momentum_projector.", "head."),
        ),
        "state_dict.backbone.",
        True,
    ),
    "this harness": (own(SOURCE), "mechanism.query.backbone.", True),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_its_network(tmp_path: Path, form: str) -> None:
    content, prefix, head = FORMS[form]
    target = encoder()
    drawn = copy.deepcopy(target)
    taken = load(content, tmp_path, target)
    assert same(target, SOURCE)
    assert taken.prefix == prefix
    assert taken.head is head
    assert same(target, SOURCE if head else drawn, "head.")


def test_a_network_that_was_left_is_told(tmp_path: Path) -> None:
    taken = load(FORMS["DINO"][0], tmp_path, encoder())
    assert taken.others == ("student.module.backbone.",)
    assert "student.module.backbone." in str(taken)


@pytest.mark.parametrize(
    ("form", "prefix", "made"),
    [
        ("MoCo v1, v2, whole", "module.encoder_k", OTHER),
        ("MoCo v1, v2, whole", "module.encoder_q.", SOURCE),
        ("DINO", "student.module.backbone.", OTHER),
        ("solo-learn", "state_dict.momentum_backbone", OTHER),
        ("this harness", "key.backbone", OTHER),
        ("torchvision, timm", "", SOURCE),
    ],
)
def test_a_prefix_says_which(tmp_path: Path, form: str, prefix: str, made: Encoder) -> None:
    target = encoder()
    load(FORMS[form][0], tmp_path, target, prefix=prefix)
    assert same(target, made)


@pytest.mark.parametrize("prefix", ["backbone", "ncoder_q", "encoder_q.layer1.0"])
def test_a_prefix_that_is_none(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(DataError, match=r"model\.weights\.prefix .* no networks") as refused:
        load(FORMS["MoCo v1, v2, whole"][0], tmp_path, encoder(), prefix=prefix)
    assert "'state_dict.module.encoder_q.'" in str(refused.value)


@pytest.mark.parametrize(
    "named",
    [
        part(SOURCE, "backbone.") | part(OTHER, "query_backbone."),  # lightly's MoCo v2
        {"state_dict": part(SOURCE, ""), "state_dict_ema": part(OTHER, "")},  # timm's training
        {"state_dict": part(SOURCE, ""), "model": part(OTHER, "")},
    ],
    ids=["lightly", "timm", "two wrappers"],
)
def test_of_two_networks_none_is_taken_unasked(tmp_path: Path, named: Named) -> None:
    with pytest.raises(DataError, match=r"2 networks.*model\.weights\.prefix"):
        load(named, tmp_path, encoder())


def test_torchvisions_own_modules(tmp_path: Path) -> None:
    """Not by names that are written here: what torchvision itself makes, whole and in parts."""
    made = torchvision.models.resnet18(num_classes=7)
    for content in (
        made.state_dict(),
        nn.DataParallel(made).state_dict(),
        nn.Sequential(*list(made.children())[:-1]).state_dict(),
    ):
        target = encoder()
        load(dict(content), tmp_path, target)
        image = torch.rand(2, 3, 40, 40)
        headless = copy.deepcopy(made)
        headless.fc = nn.Identity()
        with torch.no_grad():
            features = target.eval().backbone(image)
            assert torch.allclose(features, headless.eval()(image), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (torchvision.models.resnet34, "blocks 3, 4, 6, 3 of two convolutions"),
        (torchvision.models.resnet50, "blocks 3, 4, 6, 3 of three convolutions"),
    ],
)
def test_another_network_is_told_by_its_shape(
    tmp_path: Path, make: Callable[..., nn.Module], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        load(dict(make().state_dict()), tmp_path, encoder())
    wide = encoder(backbone="resnet18_cifar")
    with pytest.raises(DataError, match="a stem of 64 channels, 7x7"):
        load(part(SOURCE, ""), tmp_path, wide)
