"""Thirty steps of each mechanism in float64, on one process and on all, compared to 1e-9.

In float64 rounding errors are far smaller than the effect of any bug, so one and N processes must
agree to the last digits. A gradient that is lost, counted twice or sent to the wrong rank shows at
once.

    python -m harness.certify.trajectory FOLDER DEVICE     each process, as torchrun starts them
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.certify.tiny import CONTRASTS, recipe
from harness.recipe.identity import spec
from harness.recipe.schema import Recipe
from harness.store import atomic

if TYPE_CHECKING:
    import torch

    from harness.runtime.world import World
    from harness.stage.pretrain import Pretraining

STEPS, SIZE = 30, 8
TOLERANCE = 1e-9
"""Largest allowed difference of a tensor, relative to its largest value."""
INCOMPARABLE = 1e30
"""Used as the difference if a value is not finite or missing; JSON has no infinity."""
COLLECTIVE_WAIT_S = 600.0


@dataclass(frozen=True)
class Trajectories:
    """The comparison as a job; see `harness.launch.job_file`."""

    folder: str
    device: str

    def __call__(self) -> None:
        """Write FOLDER/answer.json: for each contrast, the largest difference on any process."""
        compare(Path(self.folder), self.device)


def compare(folder: Path, wanted: str) -> None:
    """Run all contrasts as one of the processes, alone and together; the first process writes."""
    import torch

    from harness.runtime.environment import resolve
    from harness.runtime.process_setup import make_deterministic
    from harness.runtime.world import World, join
    from harness.stage.execute import own_device, pick_device

    placement = resolve(os.environ)
    make_deterministic()
    torch.set_num_threads(1)
    device = own_device(pick_device(wanted), placement)
    with join(
        placement, device, timeout=COLLECTIVE_WAIT_S, rendezvous_timeout=COLLECTIVE_WAIT_S
    ) as world:
        size = world.size
        alone = {  # each process computes some of them for all
            contrast: in_float64(World.alone(device), contrast, size)
            for n, contrast in enumerate(CONTRASTS)
            if n % size == world.rank
        }
        found = {}
        for n, contrast in enumerate(CONTRASTS):
            together = in_float64(world, contrast, size)
            expected = alone.get(contrast) or {k: torch.zeros_like(v) for k, v in together.items()}
            world.same(", ".join(sorted(expected)), f"the tensors of {contrast}")
            world.broadcast_([expected[name] for name in sorted(expected)], n % size)
            worst = torch.tensor(
                [largest_difference(expected, together)], dtype=torch.float64, device=device
            )
            found[contrast] = float(world.gather(worst).max())
        if world.rank == 0:
            answer = {
                "differences": found,
                "processes": world.size,
                "device": device.type,
                "backend": torch.distributed.get_backend() if world.size > 1 else "none",
            }
            atomic.write_json(folder / "answer.json", answer)


def in_float64(world: World, contrast: str, processes: int) -> dict[str, torch.Tensor]:
    """`train` in float64, on batches for `processes` processes, even if `world` has only one."""
    import torch

    said = recipe("trajectory", contrast, processes=processes, steps=STEPS, size=SIZE)
    return train(world, Recipe.model_validate_json(atomic.dump(said)), torch.float64)


def train(world: World, made: Recipe, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All tensors of the mechanism after the recipe's steps, and `losses` (steps,): their means
    over the processes; on the world's device.

    These are the stage's own steps on batches of its own loader; only the floating-point width
    changes. Each process computes all views on the CPU and takes its share: the last bit of their
    float32 values depends on how many are computed at once, and where.
    """
    import torch

    from harness.model.groups import broadcast_running_statistics
    from harness.runtime.optimiser import build_optimiser

    loop = training(world, made)
    loop.loader.share, loop.loader.device = (0, 1), torch.device("cpu")
    loop.mechanism.to(dtype)
    loop.optimiser = build_optimiser(loop.mechanism.merge(), made.optim)
    losses = []
    for batch in loop.loader.batches(0, loop.total):
        views = tuple(world.share(view.to(world.device, dtype)) for view in batch.views)
        own = replace(batch, views=views, index=world.share(batch.index))
        losses.append(loop.train(own))
    broadcast_running_statistics(loop.mechanism, world)
    found = {
        name: value.clone()
        for name, value in loop.mechanism.state_dict().items()
        if isinstance(value, torch.Tensor)
    }
    return {**found, "losses": world.sum(torch.stack(losses)) / world.size}


def training(world: World, made: Recipe) -> Pretraining:
    """The stage's training loop at its start, on generated images, without a folder."""
    from harness.data.datasets import open_data
    from harness.stage.context import Context
    from harness.stage.pretrain import Pretraining
    from harness.stage.reporter import Silent
    from harness.store.layout import StageFolder

    nowhere = Path()
    data = open_data(made.data, nowhere).on(world.device)
    return Pretraining(
        Context(
            recipe=made,
            folder=StageFolder(nowhere),
            attempt=None,  # nothing is written
            parent=None,
            data=data,
            data_root=nowhere,
            world=world,
            reporter=Silent(),
            stopping=lambda: False,
            asked=spec(made, "pretrain"),
        )
    )


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference over all tensors, each relative to its own largest value."""
    if one.keys() != other.keys():
        return INCOMPARABLE
    found = [
        float(
            (value - other[name].to(value.device)).abs().max() / value.abs().max().clamp(min=1e-30)
        )
        for name, value in one.items()
    ]
    return max(found) if all(map(math.isfinite, found)) else INCOMPARABLE


if __name__ == "__main__":
    compare(Path(sys.argv[1]), sys.argv[2])
