"""Detections of all processes come together: each test image once, in the images' order."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from gloo import Pool

from harness.errors import HarnessError
from harness.evaluate.detections import Found, gathered, merged, pack, unpack
from harness.runtime.world import World


def found(image: int | str, n: int = 2, masks: bool = False) -> Found:
    draws = np.random.default_rng([n, int(str(image)[-1])])
    return Found(
        image,
        draws.random((n, 4), dtype=np.float32),
        draws.integers(0, 5, n),
        draws.random(n, dtype=np.float32),
        tuple(b"mask %d" % k * k for k in range(n)) if masks else None,
    )


def same(one: Found, other: Found) -> bool:
    arrays = ("boxes", "labels", "scores")
    equal = all(np.array_equal(getattr(one, of), getattr(other, of)) for of in arrays)
    types = all(getattr(one, of).dtype == getattr(other, of).dtype for of in arrays)
    return equal and types and (one.image, one.masks) == (other.image, other.masks)


def test_they_have_the_order_of_the_images() -> None:
    every = [found(n) for n in (4, 2, 9)]
    assert merged([[every[1]], [], [every[2], every[0]]], [4, 2, 9]) == every


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([["a7"], ["b8", "a7"]], "image a7: .*twice"),
        ([["a7", "a7"], ["b8"]], "image a7: .*twice"),
        ([["a7"], ["b8", "c9"]], "image c9: .*no such"),
        ([["a7"], []], "1 of 2 .*b8"),
    ],
)
def test_an_image_that_is_wrong_is_named(parts: list[list[str]], says: str) -> None:
    with pytest.raises(HarnessError, match=says):
        merged([[found(image) for image in part] for part in parts], ["a7", "b8"])


@pytest.mark.parametrize(
    "every",
    [
        [],
        [found(3, 0)],
        [found("VOC2007/000001", 3), found("2", 0), found(2, 1)],
        [found(1, 3, masks=True), found(2, 0, masks=True), found(3, 1), found(4, 2, masks=True)],
    ],
)
def test_they_are_unpacked_as_they_were_packed(every: list[Found]) -> None:
    again = unpack(pack(every))
    assert len(again) == len(every)
    assert all(map(same, again, every))


def on_rank(world: World) -> list[Any]:
    own = [found(f"image {3 * n + world.rank}", n, masks=True) for n in range(4 - world.rank)]
    return gathered(own, world)


def test_every_process_has_those_of_all(gloo: Pool) -> None:
    expected = [
        [found(f"image {3 * n + r}", n, masks=True) for n in range(4 - r)] for r in range(3)
    ]
    for parts in gloo.run(on_rank, 3):
        assert [len(part) for part in parts] == [4, 3, 2]
        assert all(map(same, chain(*parts), chain(*expected)))
    alone = World.alone(torch.device("cpu"))
    assert gathered(expected[1], alone) == [expected[1]]
