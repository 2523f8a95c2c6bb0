"""Features against one image at a time in eval mode; what is not finite is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.data.datasets import DataSet, open_data
from harness.evaluate.features import Layer, NotFinite, extract
from harness.evaluate.knn import check_distinct
from harness.model.encoder import Encoder, build
from harness.recipe.schema import Data, Model
from harness.runtime.precision import Precision
from harness.runtime.world import World

ALONE = World.alone(torch.device("cpu"))
MODEL = Model.model_validate({"backbone": "miniature", "dim": 8, "bn_group": 8})


def images() -> DataSet:
    return open_data(Data(name="embedded", images=32, size=16), Path("/nonexistent"))


def encoder() -> Encoder:
    """In training mode, with running statistics that no batch has."""
    made = build(MODEL, 0).train()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(3):
            made(0.5 + 2 * torch.randn(16, 3, 16, 16, generator=draw))
    return made


def features(
    of: Encoder, data: DataSet, layer: Layer = "backbone", precision: Precision = "fp32"
) -> Tensor:
    some = data.test.subset(torch.arange(40))
    return extract(of, data, some, size=16, layer=layer, precision=precision, world=ALONE)


@pytest.mark.parametrize("layer", ["backbone", "output"])
def test_features_are_those_of_one_image_at_a_time(layer: Layer) -> None:
    """Normalised with the data set's mean and deviation, by running statistics, in order; and the
    encoder is left as it was."""
    data, made = images(), encoder()
    before = copy.deepcopy(made.state_dict())
    found = features(made, data, layer)
    assert made.training
    assert all(torch.equal(v, before[k]) for k, v in made.state_dict().items())
    plain = copy.deepcopy(made).eval()
    for n in range(40):
        x = data.test.load(torch.tensor([n])).center(16)
        for channel in range(3):
            x[:, channel] = (x[:, channel] - data.mean[channel]) / data.std[channel]
        with torch.no_grad():
            expected = plain.backbone(x)
            expected = plain.head(expected) if layer == "output" else expected
        torch.testing.assert_close(found[n : n + 1], expected, rtol=1e-4, atol=1e-4)


def norm(made: Encoder) -> torch.nn.BatchNorm2d:
    """The backbone's last."""
    (*_, last) = (m for m in made.modules() if isinstance(m, torch.nn.BatchNorm2d))
    return last


def break_weight(made: Encoder) -> None:
    made.backbone.conv1.weight.data[0, 0, 0, 0] = torch.nan


def overflow_variance(made: Encoder) -> None:
    """Its channels become constants, and the features stay finite."""
    norm(made).get_buffer("running_var").fill_(torch.inf)


def negative_variance(made: Encoder) -> None:
    norm(made).get_buffer("running_var").fill_(-1)


def enlarge(made: Encoder) -> None:
    """Finite features, whose squares are not."""
    norm(made).bias.data.fill_(1e25)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (break_weight, "1 of .* first backbone.conv1.weight"),
        (overflow_variance, "tensors were not finite, .*running_var"),
        (negative_variance, "40 of 40 images were not finite"),
        (enlarge, "40 of 40 images were too large"),
    ],
)
def test_what_is_not_finite_is_refused(spoil: Callable[[Encoder], None], says: str) -> None:
    made = encoder()
    spoil(made)
    with pytest.raises(NotFinite, match=says):
        features(made, images())


def test_weights_that_one_precision_holds_and_another_does_not() -> None:
    made, data = encoder(), images()
    made.backbone.conv1.weight.data.mul_(1e6)
    made.get_buffer("backbone.bn1.running_mean").mul_(1e6)
    made.get_buffer("backbone.bn1.running_var").mul_(1e12)
    assert features(made, data).isfinite().all()
    assert features(made, data, precision="bf16").isfinite().all()
    with pytest.raises(NotFinite, match="fp16 features"):
        features(made, data, precision="fp16")


def test_one_bad_image_is_enough() -> None:
    data, made = images(), encoder()
    some = data.test.subset(torch.arange(40))

    class Spoilt:
        """The images, of which the last is not finite."""

        def __len__(self) -> int:
            return 40

        def load(self, index: Tensor) -> Spoilt:
            self.index = index
            return self

        def center(self, size: int) -> Tensor:
            x = some.load(self.index).center(size)
            x[self.index == 39] = torch.nan
            return x

    with pytest.raises(NotFinite, match="of 1 of 40 images"):
        extract(
            made,
            data,
            Spoilt(),  # type: ignore[arg-type]
            size=16,
            layer="backbone",
            precision="fp32",
            world=ALONE,
        )


LABELS = torch.arange(100) % 2


@pytest.mark.parametrize("bank", [torch.zeros(100, 4), torch.ones(100, 4), torch.eye(100) * 1e-20])
def test_a_bank_without_neighbours_is_refused(bank: Tensor) -> None:
    with pytest.raises(NotFinite, match="all 100 images"):
        check_distinct(bank, LABELS)
    check_distinct(bank, torch.zeros(100))  # one class: there is nothing to choose


def test_a_bank_is_refused_for_nothing_less() -> None:
    for bank in (torch.ones(100, 4), torch.zeros(100, 4)):
        bank[99] = 2.0  # even one
        check_distinct(bank, LABELS)
