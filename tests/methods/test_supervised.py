"""The supervised method against torch's plain classification, step by step."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from stage import tiny

from harness.errors import DataError
from harness.methods.supervised.config import Supervised
from harness.methods.supervised.method import Classification
from harness.model.encoder import build
from harness.recipe.schema import Model
from harness.runtime import keyed
from harness.runtime.merged import Merged
from harness.runtime.sgd.config import SgdOptim
from harness.runtime.sgd.optimiser import Sgd
from harness.runtime.world import World

from .plain import plain, same

N, SIZE, STEPS, SEED, IMAGES, CLASSES = 12, 8, 8, 5, 30, 10
MODEL = Model(backbone="miniature", dim=CLASSES, bn_group=N)


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def classification(
    labels: torch.Tensor, dim: int = CLASSES, smoothing: float = 0
) -> Classification:
    return Classification(
        build(MODEL.model_copy(update={"dim": dim}), SEED),
        Supervised(kind="supervised", smoothing=smoothing),
        labels=labels,
        dim=dim,
        seed=SEED,
        precision="fp32",
        world=World.alone(torch.device("cpu")),
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_its_steps_are_those_of_plain_classification(smoothing: float) -> None:
    labels = torch.arange(IMAGES) % CLASSES
    ours = classification(labels, smoothing=smoothing)
    settings = {"epochs": 1, "batch": N, "lr": 0.1, "weight_decay": 0.05}
    optim = SgdOptim.model_validate(settings | {"schedule": {"kind": "constant"}})
    optimiser = Sgd(Merged(ours.query.parameters()), optim)
    theirs = plain(MODEL, SEED)
    reference = torch.optim.SGD(theirs.parameters(), 0.1, 0.9, weight_decay=0.05)
    for step in range(STEPS):
        x = torch.randn(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(step))
        index = keyed.permutation(keyed.key("index", step), IMAGES)[:N]
        logits = theirs(x)
        expected = F.cross_entropy(logits, labels[index], label_smoothing=smoothing)
        reference.zero_grad()
        expected.backward()
        reference.step()
        optimiser.zero_grad()
        loss, correct = ours([x], index, step)
        loss.backward()
        optimiser.step()
        ours.after_step()
        assert loss.item() == pytest.approx(expected.item(), abs=1e-10), step
        assert int(correct) == int((logits.argmax(1) == labels[index]).sum())
    same(ours.query, theirs)


def test_images_without_a_label_are_refused() -> None:
    with pytest.raises(DataError, match=r"contrast\.kind.* 2 of 30"):
        classification(torch.cat([torch.arange(28) % CLASSES, torch.tensor([-1, -1])]))


def test_a_head_of_another_width_than_the_classes_is_refused() -> None:
    with pytest.raises(DataError, match=r"write model\.dim: 10"):
        classification(torch.arange(IMAGES) % CLASSES, dim=16)


def test_it_learns_the_labels_of_the_embedded_images(tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float32)
    text = tiny.TEXT.replace("dim: 16", "dim: 10").replace("images: 80", "images: 400")
    line = next(each for each in text.splitlines() if each.startswith("contrast:"))
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(text.replace(line, "contrast: {kind: supervised}"))
    folder = tiny.run(recipe, tmp_path / "runs", ("optim.epochs=8",), kinds=("pretrain",))
    result = folder["pretrain"].result
    assert result is not None
    assert result["values"]["train/loss"] < 1.9  # chance: ln 10 = 2.3
    assert result["values"]["pretext/top1"] > 30
