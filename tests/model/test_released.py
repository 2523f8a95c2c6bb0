"""Released weights: the official names are understood, and what does not fit is refused."""

import hashlib
from pathlib import Path

import pytest
import torch

from harness.errors import DataError
from harness.model.encoder import Encoder, build
from harness.model.released import load_released
from harness.recipe.schema import Model


def encoder(head: str = "fc", seed: int = 0) -> Encoder:
    return build(Model.model_validate({"backbone": "resnet18", "head": head, "bn_group": 2}), seed)


def official(source: Encoder, prefix: str) -> dict[str, torch.Tensor]:
    """The encoder's tensors under the official code's names."""
    return {
        prefix + name.replace("backbone.", "").replace("head.", "fc."): tensor
        for name, tensor in source.state_dict().items()
    }


def saved(path: Path, content: object) -> str:
    torch.save(content, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@pytest.mark.parametrize("prefix", ["module.encoder_q.", "encoder_q.", "module.", ""])
@pytest.mark.parametrize("head", ["fc", "mlp"])
def test_official_names(tmp_path: Path, prefix: str, head: str) -> None:
    source, target = encoder(head, seed=1), encoder(head, seed=2)
    path = tmp_path / "weights.pth.tar"
    digest = saved(path, {"state_dict": official(source, prefix), "epoch": 200})
    load_released(target, path, digest, head=True)
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor), name


def test_a_supervised_head_is_left_out(tmp_path: Path) -> None:
    source, target = encoder(seed=1), encoder(seed=2)
    named = official(source, "") | {"fc.weight": torch.zeros(1000, 512)}
    before = target.head.weight.clone()
    load_released(target, tmp_path / "w", saved(tmp_path / "w", named), head=False)
    assert torch.equal(target.head.weight, before)
    assert torch.equal(target.backbone.conv1.weight, source.backbone.conv1.weight)


def test_another_file_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "w", official(encoder(), ""))
    with pytest.raises(DataError, match=r"its SHA-256 is .* the recipe says deadbeef"):
        load_released(encoder(), tmp_path / "w", "deadbeef", head=True)


def test_what_is_missing_or_of_another_shape_is_named(tmp_path: Path) -> None:
    named = official(encoder(), "")
    lacking = {k: v for k, v in named.items() if k != "layer4.1.conv2.weight"}
    with pytest.raises(DataError, match=r"layer4\.1\.conv2\.weight is missing"):
        load_released(encoder(), tmp_path / "w", saved(tmp_path / "w", lacking), head=True)
    wide = named | {"conv1.weight": torch.zeros(128, 3, 7, 7)}
    with pytest.raises(DataError, match=r"conv1\.weight has the shape \(128, 3, 7, 7\)"):
        load_released(encoder(), tmp_path / "w", saved(tmp_path / "w", wide), head=True)


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("/tmp/should-not-exist"),))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    digest = saved(tmp_path / "w", {"state_dict": Evil()})
    with pytest.raises(DataError, match="tensors only"):
        load_released(encoder(), tmp_path / "w", digest, head=True)
    assert not Path("/tmp/should-not-exist").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_released(encoder(), tmp_path / "absent", "deadbeef", head=True)


def test_a_head_that_is_needed_must_be_there(tmp_path: Path) -> None:
    digest = saved(tmp_path / "w", official(encoder("fc"), ""))
    with pytest.raises(DataError, match=r"fc\.0\.weight is missing"):
        load_released(encoder("mlp"), tmp_path / "w", digest, head=True)
