"""A control: released weights in the official format, evaluated by the stages as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from harness.errors import DataError, RecipeError
from harness.model.encoder import Encoder, build
from harness.recipe.load import load_recipe
from harness.recipe.schema import Model

from .tiny import TEXT, final_state, run

RELEASED = ["released_v1_200", "released_v2_200", "released_v2_800", "supervised_imagenet"]
RECIPES = Path(__file__).parents[2] / "recipes"
MODEL = {"backbone": "resnet18", "dim": 16, "bn_group": 8}


def control(folder: Path, *, file: str = "w.pth.tar", md5: str = "deadbeef") -> Path:
    """The tiny recipe, of a ResNet-18 with given weights and no training."""
    given = f"weights: {{file: {file}, md5: '{md5}'}}"
    text = TEXT.replace("backbone: miniature", f"backbone: resnet18, {given}")
    text = text.replace("optim: {epochs: 3", "optim: {epochs: 0")
    path = folder / "tiny.yaml"
    path.write_text(text + "about: {source: 'https://example.org/w.pth.tar'}\n")
    return path


def release(encoder: Encoder, folder: Path, *, head: bool = True) -> str:
    """Its weights as w.pth.tar in the official format; returns their MD5."""
    state = {
        "module.encoder_q." + name.replace("backbone.", "").replace("head.", "fc."): tensor
        for name, tensor in encoder.state_dict().items()
        if head or name.startswith("backbone.")
    }
    path = folder / "w.pth.tar"
    torch.save({"epoch": 200, "arch": "resnet18", "state_dict": state}, path)
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_released_weights_are_evaluated_as_they_are(tmp_path: Path) -> None:
    released = build(Model.model_validate(MODEL), seed=9)
    recipe = control(tmp_path, md5=release(released, tmp_path))
    folders = run(recipe, tmp_path / "runs", data=tmp_path)
    results = {kind: folder.result or {} for kind, folder in folders.items()}
    assert all(results.values())
    assert results["pretrain"]["step"] == 0
    assert 0 <= results["knn"]["values"]["knn/top1"] <= 100
    assert "linear/top1" in results["linear"]["values"]
    held = final_state(folders["pretrain"])["mechanism"]
    for name, tensor in released.state_dict().items():
        assert torch.equal(held[f"query.{name}"], tensor), name


def test_results_name_the_weights_that_pre_training_began_with(tmp_path: Path) -> None:
    """Whatever lies there when they are evaluated, which reads none."""
    released = build(Model.model_validate(MODEL), seed=9)
    recipe = control(tmp_path, md5=release(released, tmp_path))
    file = tmp_path / "w.pth.tar"
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    run(recipe, tmp_path / "runs", kinds=("pretrain",), data=tmp_path)
    file.write_bytes(b"another")
    folders = run(recipe, tmp_path / "runs", kinds=("pretrain", "knn"), data=tmp_path)
    for kind in ("pretrain", "knn"):
        result = folders[kind].result
        assert result is not None
        assert result["inputs"]["weights"]["sha256"] == sha256
        assert result["inputs"].keys() == {"weights"}, "images that are drawn lie nowhere"


@pytest.mark.parametrize("head", [True, False])
def test_the_output_of_a_head_that_was_not_given_is_no_feature(tmp_path: Path, head: bool) -> None:
    """Though pre-training, which does not read the layer, has accepted the weights."""
    released = build(Model.model_validate(MODEL), seed=9)
    recipe = control(tmp_path, md5=release(released, tmp_path, head=head))
    runs, output = tmp_path / "runs", ("knn.layer=output",)
    folders = run(recipe, runs, kinds=("pretrain", "knn"), data=tmp_path)
    assert folders["knn"].result is not None
    if head:
        assert run(recipe, runs, output, kinds=("knn",), data=tmp_path)["knn"].result is not None
    else:
        with pytest.raises(DataError, match=r"w\.pth\.tar has no head that fits"):
            run(recipe, runs, output, kinds=("knn",), data=tmp_path)


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        run(control(tmp_path), tmp_path / "runs", data=tmp_path)
    assert f"{tmp_path}/w.pth.tar: the recipe's weights" in str(raised.value)
    assert "https://example.org/w.pth.tar" in str(raised.value)


def test_weights_of_no_known_identity(tmp_path: Path) -> None:
    recipe = control(tmp_path)
    recipe.write_text(recipe.read_text().replace(", md5: 'deadbeef'", ""))
    with pytest.raises(RecipeError, match="sha256 or md5"):
        load_recipe(recipe)


@pytest.mark.parametrize("name", RELEASED)
def test_the_committed_controls(name: str) -> None:
    """They are evaluated by the protocol of the recipe that they control, and say where from."""
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    assert recipe.optim.epochs == 0
    given = recipe.model.weights
    assert given is not None
    assert given.file is not None
    assert recipe.about.source.endswith(given.file.split("/")[-1])
    official = load_recipe(RECIPES / "moco_v1_imagenet.yaml")
    assert recipe.knn == official.knn
    assert recipe.linear is not None
    assert recipe.linear.model_copy(update={"lr": (30.0,)}) == official.linear
    assert recipe.about.cost is not None
    assert recipe.about.cost.hours == 8
    assert len(recipe.about.targets) == (name != "supervised_imagenet")
