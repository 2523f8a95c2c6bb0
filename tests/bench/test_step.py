"""How many steps are timed as one."""

from pathlib import Path

import pytest
import torch

from harness.bench.step import whole_blocks
from harness.data import loader
from harness.data.datasets import open_data
from harness.recipe.schema import Augment, Data


def test_steps_are_rounded_up_to_the_blocks_in_which_their_views_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_data(Data(name="embedded", images=50, size=16), tmp_path)
    made = loader.Loader(
        data,
        data.train,
        [Augment().at(16)] * 2,
        stream=(0, "pretrain"),
        batch=10,
        device=torch.device("cpu"),
    )
    monkeypatch.setattr(loader, "AT_ONCE", 2 * (2 * 10 * 3 * 16**2))  # two steps; five an epoch
    assert [whole_blocks(made, steps) for steps in (1, 2, 3, 5, 6, 8, 11)] == [2, 2, 4, 5, 7, 9, 12]
