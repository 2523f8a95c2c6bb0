"""Batches are a function of the step."""

import pytest
import torch

from harness.data.datasets import DataSet, open_data
from harness.data.loader import Loader
from harness.errors import DataError
from harness.recipe.schema import Augment, Data


@pytest.fixture
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    recipe = Data(name="embedded", images=50, size=16)
    return open_data(recipe, tmp_path_factory.mktemp("data"))


def loader(data: DataSet, seed: int = 0, **more: object) -> Loader:
    settings = {"stream": (seed, "pretrain"), "batch": 16, "size": 16, **more}
    return Loader(data, data.train, Augment(), device=torch.device("cpu"), **settings)


def test_a_step_yields_the_same_batch_wherever_one_begins(data: DataSet) -> None:
    whole = list(loader(data).batches(0, 7))
    for first in (1, 3, 5):
        resumed = list(loader(data).batches(first, 7))
        for one, other in zip(whole[first:], resumed, strict=True):
            assert torch.equal(one.index, other.index)
            assert all(torch.equal(a, b) for a, b in zip(one.views, other.views, strict=True))


def test_an_epoch_sees_each_image_at_most_once_and_drops_the_rest(data: DataSet) -> None:
    made = loader(data)
    assert made.steps_per_epoch == 3
    for epoch in range(3):
        seen = torch.cat([made.indices(3 * epoch + s) for s in range(3)])
        assert len(set(seen.tolist())) == 48
    orders = [made.indices(3 * epoch).tolist() for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]


def test_without_dropping_the_last_batch_is_smaller(data: DataSet) -> None:
    made = loader(data, drop_last=False, views=1)
    batches = list(made.batches(0, 4))
    assert [len(batch.index) for batch in batches] == [16, 16, 16, 2]
    assert sorted(torch.cat([b.index for b in batches]).tolist()) == list(range(50))
    assert len(batches[0].views) == 1


def test_the_views_differ_and_so_do_seeds_and_epochs(data: DataSet) -> None:
    first = next(loader(data).batches(0, 1))
    assert first.views[0].shape == (16, 3, 16, 16)
    assert first.views[0].dtype == torch.float32
    assert not torch.equal(*first.views)
    other = next(loader(data, seed=1).batches(0, 1))
    assert first.index.tolist() != other.index.tolist()


def test_more_images_per_step_than_there_are_is_refused(data: DataSet) -> None:
    with pytest.raises(DataError, match="a batch of 64 images, but there are 50"):
        loader(data, batch=64)
