"""Released weights: the official names are understood, and what does not fit is refused."""

import hashlib
import re
from pathlib import Path

import pytest
import torch

from harness.errors import DataError
from harness.model.encoder import Encoder, build
from harness.model.released import load_released
from harness.recipe.schema import Model, Weights


def encoder(head: str = "fc", seed: int = 0) -> Encoder:
    return build(Model.model_validate({"backbone": "resnet18", "head": head, "bn_group": 2}), seed)


def official(source: Encoder, prefix: str) -> dict[str, torch.Tensor]:
    """The encoder's tensors under the official code's names."""
    return {
        prefix + name.replace("backbone.", "").replace("head.", "fc."): tensor
        for name, tensor in source.state_dict().items()
    }


def saved(path: Path, content: object) -> Weights:
    torch.save(content, path)
    return weights(path)


def weights(path: Path) -> Weights:
    return Weights(file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest()[:16])


def load(target: Encoder, root: Path, given: Weights, *, head: bool = True) -> None:
    load_released(target, given, root, head=head, source="https://example.org/w")


@pytest.mark.parametrize("prefix", ["module.encoder_q.", "encoder_q.", "module.", ""])
@pytest.mark.parametrize("head", ["fc", "mlp"])
def test_official_names(tmp_path: Path, prefix: str, head: str) -> None:
    source, target = encoder(head, seed=1), encoder(head, seed=2)
    given = saved(
        tmp_path / "weights.pth.tar", {"state_dict": official(source, prefix), "epoch": 200}
    )
    load(target, tmp_path, given)
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor), name


def test_a_supervised_head_is_left_out(tmp_path: Path) -> None:
    source, target = encoder(seed=1), encoder(seed=2)
    named = official(source, "") | {"fc.weight": torch.zeros(1000, 512)}
    before = target.get_parameter("head.weight").clone()
    load(target, tmp_path, saved(tmp_path / "w", named), head=False)
    assert torch.equal(target.get_parameter("head.weight"), before)
    name = "backbone.conv1.weight"
    assert torch.equal(target.get_parameter(name), source.get_parameter(name))


def test_files_older_than_the_count_of_batches(tmp_path: Path) -> None:
    source, target = encoder(seed=1), encoder(seed=2)
    named = {k: v for k, v in official(source, "").items() if "num_batches" not in k}
    load(target, tmp_path, saved(tmp_path / "w", named))
    name = "backbone.bn1.running_var"
    assert torch.equal(target.get_buffer(name), source.get_buffer(name))


def test_the_readmes_md5(tmp_path: Path) -> None:
    path = tmp_path / "w"
    saved(path, official(encoder(seed=1), ""))
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    load(encoder(), tmp_path, Weights(file="w", md5=digest[:8]))
    with pytest.raises(DataError, match=r"its md5 is .*, not deadbeef; .*https"):
        load(encoder(), tmp_path, Weights(file="w", md5="deadbeef"))


def test_another_file_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "w", official(encoder(), ""))
    with pytest.raises(DataError, match=r"its sha256 is .*, not deadbeef"):
        load(encoder(), tmp_path, Weights(file="w", sha256="deadbeef"))


def test_what_is_missing_or_of_another_shape_is_named(tmp_path: Path) -> None:
    named = official(encoder(), "")
    lacking = {k: v for k, v in named.items() if k != "layer4.1.conv2.weight"}
    with pytest.raises(DataError, match=r"layer4\.1\.conv2\.weight is missing"):
        load(encoder(), tmp_path, saved(tmp_path / "w", lacking))
    wide = named | {"conv1.weight": torch.zeros(128, 3, 7, 7)}
    with pytest.raises(DataError, match=r"conv1\.weight has the shape \(128, 3, 7, 7\)"):
        load(encoder(), tmp_path, saved(tmp_path / "w", wide))


SHAPE = (64, 3, 7, 7)


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("hostile", "says"),
    [
        (torch.full(SHAPE, torch.nan), "not finite"),
        (torch.zeros(SHAPE, dtype=torch.int64), "another type"),
        (torch.zeros(SHAPE, dtype=torch.complex64), "another type"),
        (torch.zeros(SHAPE).to_sparse(), "another type"),
        (torch.zeros(SHAPE, device="meta"), "another type"),
        ([1.0], "no ResNet"),
    ],
    ids=["nan", "integer", "complex", "sparse", "meta", "list"],
)
def test_what_is_no_weight_is_refused(tmp_path: Path, hostile: object, says: str) -> None:
    named = official(encoder(), "module.encoder_q.") | {"module.encoder_q.conv1.weight": hostile}
    with pytest.raises(DataError, match=says):
        load(encoder(), tmp_path, saved(tmp_path / "w", {"state_dict": named}))


@pytest.mark.parametrize("content", [{}, [], 3, {"state_dict": [1]}, {1: torch.zeros(1)}], ids=repr)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(DataError, match="no ResNet"):
        load(encoder(), tmp_path, saved(tmp_path / "w", content))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>404</html>", b"\x80\x02}."])
def test_what_is_no_file_of_torchs_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(DataError, match=r"tensors only|no ResNet"):
        load(encoder(), tmp_path, weights(tmp_path / "w"))


def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "w", official(encoder(), ""))
    whole = (tmp_path / "w").read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "w").write_bytes(whole[:length])
        with pytest.raises(DataError, match="tensors only"):
            load(encoder(), tmp_path, weights(tmp_path / "w"))


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    given = saved(tmp_path / "w", {"state_dict": Evil(tmp_path / "sprung")})
    with pytest.raises(DataError, match="tensors only"):
        load(encoder(), tmp_path, given)
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent: .*from: https://exam"):
        load(encoder(), tmp_path, Weights(file="absent", md5="deadbeef"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="a folder"):
        load(encoder(), tmp_path, Weights(file="folder", md5="deadbeef"))


def test_a_head_that_is_needed_must_be_there(tmp_path: Path) -> None:
    given = saved(tmp_path / "w", official(encoder("fc"), ""))
    with pytest.raises(DataError, match=r"fc\.0\.weight is missing") as refused:
        load(encoder("mlp"), tmp_path, given)
    assert "knn.layer: backbone" in str(refused.value)
    assert "model.backbone" not in str(refused.value)


def test_a_head_of_more_layers_is_another(tmp_path: Path) -> None:
    named = official(encoder(), "") | {"fc.2.weight": torch.zeros(1)}
    with pytest.raises(DataError, match=r"fc\.2\.weight .*recipe's head.*head: new"):
        load(encoder(), tmp_path, saved(tmp_path / "w", named))


def test_a_new_head_stays_as_it_was_drawn(tmp_path: Path) -> None:
    """Whether the file's fits or not: the backbone alone is taken."""
    for source in (encoder("mlp", seed=1), encoder("fc", seed=1)):
        target = encoder("fc", seed=2)
        drawn = target.state_dict()["head.weight"].clone()
        given = saved(tmp_path / "w", official(source, ""))
        load(target, tmp_path, given.model_copy(update={"head": "new"}))
        found, theirs = target.state_dict(), source.state_dict()
        assert torch.equal(found["head.weight"], drawn)
        assert torch.equal(found["backbone.conv1.weight"], theirs["backbone.conv1.weight"])


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("layer1.2.conv1.weight",), "layer1.2.conv1.weight"),
        (("layer3.6.bn1.running_mean", "layer3.7.conv1.weight"), "2 tensors"),
        (("layer1.0.se.fc1.weight",), "layer1.0.se.fc1.weight"),
        (("conv2.weight",), "conv2.weight"),
        (("\x1b[31mx",), r"\x1b[31mx"),
    ],
)
@pytest.mark.parametrize("prefix", ["module.encoder_q.", ""])
def test_a_deeper_networks_file_is_refused(
    tmp_path: Path, prefix: str, names: tuple[str, ...], says: str
) -> None:
    named = official(encoder(), prefix) | {prefix + name: torch.zeros(1) for name in names}
    with pytest.raises(DataError, match=re.escape(says)) as refused:
        load(encoder(), tmp_path, saved(tmp_path / "w", named))
    assert str(refused.value).isprintable()


def test_what_lies_beside_a_backbone_is_left_out(tmp_path: Path) -> None:
    """Heads under the prefix, and anything under another."""
    more = (
        "module.encoder_q.heads.4.weight",
        "module.encoder_q.predictor.0.weight",
        "module.queue",
    )
    named = official(encoder(seed=1), "module.encoder_q.") | {n: torch.zeros(1) for n in more}
    named |= {"module.encoder_k.layer9.weight": torch.zeros(1)}
    target = encoder(seed=2)
    load(target, tmp_path, saved(tmp_path / "w", named))
    name = "head.weight"
    assert torch.equal(target.get_parameter(name), encoder(seed=1).get_parameter(name))


def test_a_float64_that_float32_cannot_hold_is_not_finite(tmp_path: Path) -> None:
    named = official(encoder(), "") | {"bn1.bias": torch.full((64,), 1e300, dtype=torch.float64)}
    with pytest.raises(DataError, match=r"bn1\.bias .*not finite"):
        load(encoder(), tmp_path, saved(tmp_path / "w", named))


@pytest.mark.parametrize("prefix", ["layer1.", "encoder_k.", "module.backbone.body."])
def test_an_unknown_prefix_is_named_with_the_mend(tmp_path: Path, prefix: str) -> None:
    source = encoder(seed=1)
    given = saved(tmp_path / "w", official(source, prefix))
    with pytest.raises(DataError, match=r"model\.weights\.prefix") as refused:
        load(encoder(), tmp_path, given)
    assert repr(prefix) in str(refused.value)
    target = encoder()
    load(target, tmp_path, given.model_copy(update={"prefix": prefix}))
    assert torch.equal(target.backbone.conv1.weight, source.backbone.conv1.weight)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"cls_token": torch.zeros(1), "norm.weight": torch.zeros(1)}, "'cls_token', 'norm'"),
        ({"epoch": 3}, "'epoch'"),
        (torch.zeros(3), "one Tensor"),
    ],
    ids=["transformer", "no tensors", "one tensor"],
)
def test_what_is_in_the_file_is_told(tmp_path: Path, content: object, says: str) -> None:
    with pytest.raises(DataError, match=f"no ResNet.*{says}"):
        load(encoder(), tmp_path, saved(tmp_path / "w", content))
