"""The same recipe on 1, 2, 4 and 8 processes is the same experiment."""

import pytest
import torch
from gloo import Pool

from harness.certify.trajectory import largest_difference
from harness.errors import HarnessError
from harness.model.encoder import build
from harness.model.groups import fit_groups
from harness.runtime.world import World

from . import trajectory
from .trajectory import CONTRASTS, in_float32, in_float64, one_begins_apart, recipe

ALONE = World.alone(torch.device("cpu"))


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_twelve_steps_in_float64(gloo: Pool, contrast: str) -> None:
    expected = in_float64(ALONE, contrast, 2, "first_group")
    assert expected["losses"][0] != expected["losses"][-1]
    for size in (2, 4, 8) if contrast == "moco" else (2, 8):
        for found in gloo.run(in_float64, size, contrast, 2, "first_group", timeout=120):
            assert largest_difference(expected, found) < 1e-9


@pytest.mark.parametrize(
    ("group", "running_stats", "sizes"),
    [(4, "mean", (2, 4)), (8, "first_group", (2,)), (16, "first_group", (2, 4))],
    ids=["mean", "large", "synchronised"],
)
def test_other_groups(
    gloo: Pool,
    group: int,
    running_stats: str,
    sizes: tuple[int, ...],
) -> None:
    expected = in_float64(ALONE, "moco", group, running_stats)
    for size in sizes:
        for found in gloo.run(in_float64, size, "moco", group, running_stats, timeout=120):
            assert largest_difference(expected, found) < 1e-9


@pytest.mark.parametrize("contrast", ["moco", "end_to_end", "memory_bank"])
def test_four_steps_in_float32(gloo: Pool, contrast: str) -> None:
    expected = in_float32(ALONE, contrast)
    for size in (2, 8):
        for found in gloo.run(in_float32, size, contrast, timeout=120):
            assert torch.allclose(found["losses"], expected["losses"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("group", "size"), [(4, 8), (16, 3), (2, 5), (8, 4)])
def test_processes_that_do_not_hold_whole_groups_are_refused(group: int, size: int) -> None:
    encoder = build(recipe("moco", group=group).model, 0)
    world = World(0, size, torch.device("cpu"))
    with pytest.raises(HarnessError, match="cannot share a batch of 16"):
        fit_groups(encoder, batch=trajectory.BATCH, world=world)


@pytest.mark.parametrize("tensor", ["query.head.weight", "key.head.weight", "queue.keys"])
def test_processes_that_begin_apart_are_refused(gloo: Pool, tensor: str) -> None:
    for outcome in gloo.outcomes(one_begins_apart, 4, tensor):
        assert outcome.kind == "HarnessError"
        assert f"the state at step 0: {tensor} on rank 1 differs" in outcome.message
