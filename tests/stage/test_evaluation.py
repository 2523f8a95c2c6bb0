"""What the stages measure, made again from their checkpoints with plain arithmetic."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle.knn import knn
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from harness.data.datasets import DataSet, open_data
from harness.data.images import Images
from harness.data.loader import Loader
from harness.evaluate.linear_probe import LinearProbe
from harness.model.encoder import Encoder, build
from harness.stage import linear
from harness.store import journal
from harness.store.layout import StageFolder

from .tiny import final_state, recipe_of, run, write

ALL = "knn: {k: [5, 1], temperature: 0.1"
PRETRAIN = ("pretrain",)


def data_of(folder: StageFolder) -> DataSet:
    return open_data(recipe_of(folder).data, Path("/nonexistent"))


def trained(folder: StageFolder) -> Encoder:
    """The query encoder of a pre-training's last checkpoint, in eval mode."""
    recipe = recipe_of(folder)
    made = build(recipe.model, recipe.seed)
    state = final_state(folder)["mechanism"]
    made.load_state_dict(
        {k.removeprefix("query."): v for k, v in state.items() if k.startswith("query.")}
    )
    return made.eval()


@torch.no_grad()
def plain(made: Encoder, data: DataSet, images: Images, layer: str = "backbone") -> Tensor:
    """Float32 features of all images, not in batches of 500."""
    x = images.load(torch.arange(len(images))).center(16)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    x = made.backbone((x - mean) / std)
    return made.head(x) if layer == "output" else x


def expected_knn(folder: StageFolder, layer: str = "backbone") -> float:
    made, data = trained(folder), data_of(folder)
    bank, queries = (plain(made, data, each, layer) for each in (data.bank, data.test))
    labels = data.bank.labels, data.test.labels
    found = knn(bank.double(), labels[0], queries.double(), labels[1], k=5, temperature=0.1)
    return found.accuracy


def one_query() -> Any:
    """In percent, twice: rounding may decide that of 2,000."""
    return pytest.approx(0, abs=0.11)


@pytest.mark.parametrize("layer", ["backbone", "output"])
def test_knn_asks_the_test_images_of_the_training_images(tmp_path: Path, layer: str) -> None:
    recipe = write(tmp_path, old=ALL + ", queries: 50", new=f"{ALL}, layer: {layer}")
    folders = run(recipe, tmp_path / "runs", kinds=("pretrain", "knn"))
    result = folders["knn"].result
    assert result is not None
    expected = expected_knn(folders["pretrain"], layer)
    assert result["values"]["knn/top1"] - expected == one_query()


def test_the_monitor_measures_the_query_encoder(tmp_path: Path) -> None:
    recipe = write(tmp_path, old=ALL + ", queries: 50", new=ALL)
    folder = run(recipe, tmp_path / "runs", kinds=PRETRAIN)["pretrain"]
    *_, (_, _, last) = journal.series(journal.read(folder), "knn/top1")
    assert last - expected_knn(folder) == one_query()


def test_crops_are_encoded_as_the_frozen_encoder_does(tmp_path: Path) -> None:
    """In eval mode, whatever the statistics of a batch; each with its own image's label."""
    recipe = write(tmp_path, old="views: center", new="views: random_crop")
    folders = run(recipe, tmp_path / "runs", kinds=PRETRAIN)
    seen: list[tuple[Tensor, Tensor]] = []
    real = LinearProbe.step

    def spy(self: LinearProbe, features: Tensor, labels: Tensor, epoch: int) -> Tensor:
        seen.append((features.clone(), labels.clone()))
        return real(self, features, labels, epoch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LinearProbe, "step", spy)
        run(recipe, tmp_path / "runs")
    made, data, said = trained(folders["pretrain"]), data_of(folders["pretrain"]), linear.VIEWS
    stream, device = (recipe_of(folders["pretrain"]).seed, "linear"), torch.device("cpu")
    loader = Loader(
        data, data.bank, [said.at(16)], stream=stream, batch=32, device=device, drop_last=False,
    )  # fmt: skip
    assert len(seen) == 12
    for (features, labels), batch in zip(seen, loader.batches(0, 12), strict=True):
        with torch.no_grad():
            torch.testing.assert_close(features, made.backbone(batch.views[0]))
        assert torch.equal(labels, data.bank.labels[batch.index])


def test_the_probe_is_judged_on_the_test_images(tmp_path: Path) -> None:
    folders = run(write(tmp_path), tmp_path / "runs")
    made, data = trained(folders["pretrain"]), data_of(folders["pretrain"])
    probe, result = final_state(folders["linear"])["probe"], folders["linear"].result
    assert result is not None
    features = plain(made, data, data.test)
    for n, value in enumerate(result["values"].values()):
        logits = features @ probe["weight"][n].T + probe["bias"][n]
        right = (logits.argmax(1) == data.test.labels).double().mean()
        assert value - 100 * float(right) == one_query()


def test_the_probes_crops_are_torchvisions() -> None:
    """As the official probe's: RandomResizedCrop at its defaults and a flip, no colours."""
    defaults = inspect.signature(RandomResizedCrop).parameters
    assert linear.VIEWS.crop_scale == defaults["scale"].default
    assert linear.VIEWS.crop_ratio == pytest.approx(defaults["ratio"].default)
    policy = linear.VIEWS
    assert policy.flip_p == 0.5
    assert policy.jitter_p == policy.grayscale_p == policy.blur_p == 0
