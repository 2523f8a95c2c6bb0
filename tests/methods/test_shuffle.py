"""The shuffle: a permutation, undone exactly, a function of seed and step."""

import torch

from harness.methods.shuffle import order
from harness.runtime.keyed import key, permutation


def test_back_undoes_there() -> None:
    there, back = order(0, 5, 64)
    x = torch.randn(64, 3)
    assert torch.equal(x[there][back], x)
    assert sorted(there.tolist()) == list(range(64))
    assert not torch.equal(there, back)  # were it its own inverse, a wrong unshuffle would pass


def test_it_is_a_function_of_seed_and_step() -> None:
    for step in (0, 31, 32, 63, 1000):
        for view in (0, 1):
            there, back = order(0, step, 64, view)
            assert torch.equal(there, permutation(key(0, "shuffle", step, view), 64))
            assert torch.equal(back, there.argsort())
    assert not torch.equal(order(0, 5, 64)[0], order(0, 6, 64)[0])
    assert not torch.equal(order(0, 5, 64)[0], order(1, 5, 64)[0])


def test_a_groups_images_come_from_all_groups() -> None:
    """Over many steps a shuffled group holds images of each original group equally often."""
    counts = torch.zeros(4, 4)
    for step in range(200):
        there = order(0, step, 32)[0]
        for position, image in enumerate(there.tolist()):
            counts[position // 8, image // 8] += 1
    expected = 200 * 32 / 16
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # chi-square, 9 dof, p = 0.001
