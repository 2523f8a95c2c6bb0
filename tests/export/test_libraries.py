"""timm, transformers and safetensors load what is exported for them, and say the same."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from export.made import DIM, encoder, files, images, outputs, recipe, same
from harness.export.formats import Format

WANTED = ("timm", "transformers", "safetensors")

pytestmark = [
    pytest.mark.libraries,
    pytest.mark.skipif(
        not all(map(find_spec, WANTED)), reason=f"not installed: {', '.join(WANTED)}"
    ),
]


@pytest.fixture(autouse=True)
def _without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def written(folder: Path, content: dict[str, bytes]) -> str:
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return str(folder)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet34", "resnet50", "resnext50_32x8d"])
def test_timm(tmp_path: Path, backbone: str) -> None:
    import timm

    of = recipe(backbone)
    made, x = encoder(of), images()
    folder = written(tmp_path, files(Format.timm, of, made))
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval().double()
    assert model.num_classes == 0
    with torch.no_grad():
        assert same(model(x), outputs(made, x))
    config = timm.data.resolve_model_data_config(model)
    assert tuple(config["input_size"]) == (3, 64, 64)
    assert (tuple(config["mean"]), config["crop_pct"]) == ((0.485, 0.456, 0.406), 0.875)
    with torch.no_grad():
        random = timm.create_model(f"local-dir:{folder}").eval().double()
        assert not same(random(x), outputs(made, x))


def test_timm_with_the_head_and_with_another(tmp_path: Path) -> None:
    import timm

    of = recipe("resnet18")
    made, x = encoder(of), images()
    folder = written(tmp_path, files(Format.timm, of, made, head=True))
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval().double()
    with torch.no_grad():
        assert same(model(x), outputs(made, x, head=True))
    classes = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=10)
    bare = classes.eval().double()
    bare.reset_classifier(0)
    with torch.no_grad():
        assert same(bare(x), outputs(made, x))


@pytest.mark.parametrize(("backbone", "width"), [("resnet18", 1), ("resnet50", 1), ("resnet50", 2)])
def test_transformers(tmp_path: Path, backbone: str, width: int) -> None:
    import transformers

    of = recipe(backbone, width=width)
    made, x = encoder(of), images()
    folder = written(tmp_path, files(Format.transformers, of, made))
    model, told = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    with torch.no_grad():
        said = model.eval().double()(x).pooler_output.flatten(1)
    assert same(said, outputs(made, x))
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    assert tuple(processor.image_mean) == (0.485, 0.456, 0.406)
    assert processor.size["shortest_edge"] == 73


def test_transformers_with_the_head_and_with_another(tmp_path: Path) -> None:
    import transformers

    of = recipe("resnet18")
    made, x = encoder(of), images()
    folder = written(tmp_path, files(Format.transformers, of, made, head=True))
    kind = transformers.AutoModelForImageClassification
    with torch.no_grad():
        said = kind.from_pretrained(folder).eval().double()(x).logits
    assert said.shape == (2, DIM)
    assert same(said, outputs(made, x, head=True))

    bare = tmp_path / "bare"
    bare.mkdir()
    folder = written(bare, files(Format.transformers, of, made))
    model, told = kind.from_pretrained(folder, num_labels=10, output_loading_info=True)
    assert set(told["missing_keys"]) == {"classifier.1.weight", "classifier.1.bias"}
    with torch.no_grad():
        assert same(model.resnet.eval().double()(x).pooler_output.flatten(1), outputs(made, x))


def test_safetensors_reads_what_travels_with_the_weights(tmp_path: Path) -> None:
    import safetensors

    of = recipe("resnet18")
    made = encoder(of)
    folder = written(tmp_path, files(Format.timm, of, made))
    with safetensors.safe_open(Path(folder) / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "stage": "made"}
        state = made.backbone.state_dict()
        assert set(file.keys()) == set(state)
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in state.items())
