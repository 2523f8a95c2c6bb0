"""Groups of one orientation: those of a stream that is grouped as it comes, by their number."""

from __future__ import annotations

from itertools import count

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.aspect_groups import AspectGroups
from harness.runtime import keyed

STREAM = (3, "detection", 1)


def as_they_come(wide: list[bool], group: int, most: int) -> list[list[int]]:
    """The first groups of an endless shuffled stream, of which two buckets are filled."""
    buckets: dict[bool, list[int]] = {True: [], False: []}
    found: list[list[int]] = []
    for epoch in count():
        order = keyed.permutation(keyed.key(*STREAM, "order", epoch), len(wide))
        for image in order.tolist():
            bucket = buckets[wide[image]]
            bucket.append(image)
            if len(bucket) == group:
                found.append(list(bucket))
                bucket.clear()
                if len(found) == most:
                    return found
    raise AssertionError


@given(
    wide=st.lists(st.booleans(), min_size=1, max_size=12),
    group=st.integers(1, 4),
    groups=st.integers(1, 3),
)
def test_they_are_those_of_a_stream_that_is_grouped_as_it_comes(
    wide: list[bool], group: int, groups: int
) -> None:
    steps = 12
    stream = [image for each in as_they_come(wide, group, steps * groups) for image in each]
    made = AspectGroups(torch.tensor(wide), group, *STREAM)
    size = group * groups
    in_turn = [made.batch(step, size) for step in range(steps)]
    assert torch.cat(in_turn).tolist() == stream
    for step in (7, 2, 11):  # resumed anywhere
        later = AspectGroups(torch.tensor(wide), group, *STREAM)
        assert torch.equal(later.batch(step, size), in_turn[step])


def test_an_epoch_has_each_image_once() -> None:
    wide = torch.arange(12) % 3 == 0
    made = AspectGroups(wide, 2, *STREAM)
    first = torch.cat([made.batch(step, 4) for step in range(3)])
    assert sorted(first.tolist()) == list(range(12))
    assert all(len(set(pair)) == 1 for pair in wide[first].view(-1, 2).tolist())
    other = AspectGroups(wide, 2, 4, "detection", 1)
    assert not torch.equal(other.batch(0, 12), made.batch(0, 12))


def test_a_batch_is_made_of_whole_groups() -> None:
    with pytest.raises(ValueError, match="batch of 3"):
        AspectGroups(torch.ones(4, dtype=torch.bool), 2, 0).batch(0, 3)
