"""The queue: first in, first out, with any size and any batch."""

import pytest
import torch

from harness.methods.moco.queue import Queue


def keys(first: int, n: int) -> torch.Tensor:
    return torch.arange(first, first + n, dtype=torch.float32).view(n, 1).expand(n, 4)


@pytest.mark.parametrize(("size", "batch"), [(8, 4), (10, 4), (7, 3), (5, 5), (3, 7), (6, 4)])
def test_it_holds_the_newest_keys(size: int, batch: int) -> None:
    queue = Queue(size, 4, seed=0)
    for step in range(7):
        queue.enqueue(keys(step * batch, batch))
    newest = sorted(queue.keys[:, 0].tolist())
    assert newest == [float(v) for v in range(7 * batch - size, 7 * batch)]
    assert queue.pointer == 7 * batch % size


def test_the_oldest_keys_go_first() -> None:
    queue = Queue(5, 4, seed=0)
    for step in range(3):
        queue.enqueue(keys(2 * step, 2))
    assert queue.keys[:, 0].tolist() == [5.0, 1.0, 2.0, 3.0, 4.0]


def test_it_begins_with_random_unit_vectors_of_the_seed() -> None:
    queue = Queue(64, 16, seed=3)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(64))
    assert torch.equal(queue.keys, Queue(64, 16, seed=3).keys)
    assert not torch.equal(queue.keys, Queue(64, 16, seed=4).keys)


def test_a_checkpoint_holds_keys_and_pointer() -> None:
    queue = Queue(5, 4, seed=0)
    queue.enqueue(keys(0, 3))
    again = Queue(5, 4, seed=1)
    again.load_state_dict(queue.state_dict())
    for each in (queue, again):
        each.enqueue(keys(10, 4))
    assert torch.equal(queue.keys, again.keys)
    assert queue.pointer == again.pointer == 2
