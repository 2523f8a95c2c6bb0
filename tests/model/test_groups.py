"""After sharing, each process holds what one process with the whole batch holds."""

from __future__ import annotations

import pytest
import torch
from gloo import Pool
from torch import Tensor, nn

from harness.model.grouped_norm import GroupedBatchNorm2d, RunningStats
from harness.model.groups import average_running_statistics, broadcast_running_statistics
from harness.runtime.world import World

GROUP, GROUPS, STEPS = 4, 8, 3


def net(stats: RunningStats) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3),
        GroupedBatchNorm2d(5, group=GROUP, running_stats=stats),
        nn.Conv2d(5, 2, 1),
        GroupedBatchNorm2d(2, group=GROUP, running_stats=stats),
    ).double()


def batches() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (STEPS, GROUP * GROUPS, 3, 5, 5)
    return list(torch.randn(shape, generator=generator, dtype=torch.float64).cumsum(0))


def trained(world: World, stats: RunningStats, looks: bool) -> dict[str, Tensor]:
    """The buffers after some steps; with `looks`, someone looks at them after each."""
    module = net(stats)
    for x in batches():
        module(world.share(x))
        average_running_statistics(module, world)
        if looks:
            broadcast_running_statistics(module, world)
    broadcast_running_statistics(module, world)
    return dict(module.named_buffers())


@pytest.mark.parametrize("stats", ["first_group", "mean"])
@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_every_process_holds_what_one_alone_would(
    gloo: Pool, size: int, stats: RunningStats
) -> None:
    expected = trained(World.alone(torch.device("cpu")), stats, False)
    held = gloo.run(trained, size, stats, False)
    for other in gloo.run(trained, size, stats, True):
        assert all(torch.equal(other[name], held[0][name]) for name in expected)
    assert len(expected) == 6
    for name, value in expected.items():
        torch.testing.assert_close(held[0][name], value, rtol=1e-12, atol=1e-12)
        assert all(torch.equal(other[name], held[0][name]) for other in held)


def test_without_sharing_they_differ(gloo: Pool) -> None:
    held = gloo.run(unshared, 2)
    assert not torch.equal(held[0], held[1])


def unshared(world: World) -> Tensor:
    module = net("mean")
    module(world.share(batches()[0]))
    return module.get_buffer("1.running_mean")
