"""Thirty steps of each mechanism in float64, by one process and by all, compared to 1e-9.

In float64 rounding stays far below any mistake, so that one and N processes must agree to the
last digits; a gradient lost, counted twice or sent to the wrong rank shows at once.

    python -m harness.certify.trajectory FOLDER DEVICE     each process, as torchrun starts them
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.certify.tiny import CONTRASTS, batch, recipe
from harness.recipe.schema import Recipe
from harness.store import atomic

if TYPE_CHECKING:
    import torch

    from harness.runtime.world import World

STEPS, SIZE = 30, 8
TOLERANCE = 1e-9
"""Largest difference of a tensor over its largest value."""
INCOMPARABLE = 1e30
"""Stands for a difference of what is not finite, or not there; JSON has no infinity."""
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Trajectories:
    """The comparison as a job: what submitit pickles."""

    folder: str
    device: str

    def checkpoint(self) -> Any:
        """The same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def __call__(self) -> None:
        """Write FOLDER/answer.json: by contrast, the largest difference on any process."""
        compare(Path(self.folder), self.device)


def compare(folder: Path, wanted: str) -> None:
    """As one of the processes: run all contrasts, alone and together; the first one writes."""
    import torch

    from harness.runtime.determinism import make_deterministic
    from harness.runtime.environment import resolve
    from harness.runtime.world import World, join
    from harness.stage.execute import pick_device

    placement = resolve(os.environ)
    make_deterministic()
    torch.set_num_threads(1)
    device = torch.device(pick_device(wanted))
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", placement.local_rank % torch.cuda.device_count())
    with join(placement, device, timeout=PATIENCE_S, meeting=PATIENCE_S) as world:
        found = {}
        for contrast in CONTRASTS:
            alone = train(World.alone(device), contrast, placement.size)
            together = train(world, contrast, placement.size)
            worst = torch.tensor([_apart(alone, together)], dtype=torch.float64, device=device)
            found[contrast] = float(world.gather(worst).max())
        if world.rank == 0:
            answer = {
                "differences": found,
                "processes": world.size,
                "device": device.type,
                "backend": torch.distributed.get_backend() if world.size > 1 else "none",
            }
            atomic.write_json(folder / "answer.json", answer)


def train(world: World, contrast: str, processes: int) -> dict[str, torch.Tensor]:
    """All tensors of the mechanism after its steps, and the losses, as `losses`.

    Views are drawn here, in float64, so that only the mechanism is compared.

    Args:
        processes: for which the batch is made, also if `world` is one process.
    """
    import torch
    from torch.nn.parallel import DistributedDataParallel

    from harness.contrast.build import build_mechanism
    from harness.model.groups import (
        average_running_statistics,
        broadcast_running_statistics,
        fit_groups,
    )
    from harness.runtime import keyed
    from harness.runtime.optimiser import sgd

    made = _recipe(contrast, processes)
    size, images = batch(processes), made.data.images or 0
    mechanism = build_mechanism(made, images=images, world=world, data_root=Path())
    mechanism.to(world.device, torch.float64)
    fit_groups(mechanism, batch=size, world=world)
    optimiser = sgd((p for p in mechanism.parameters() if p.requires_grad), made.optim)
    model: torch.nn.Module = mechanism
    if world.size > 1:
        model = DistributedDataParallel(mechanism, broadcast_buffers=False)
    losses = []
    for step in range(STEPS):
        index = keyed.permutation(keyed.key("certify", step), images)[:size]
        draw = torch.Generator().manual_seed(step)
        shape = (2, size, 3, SIZE, SIZE)
        x = torch.randn(shape, generator=draw, dtype=torch.float64).to(world.device)
        optimiser.zero_grad()
        loss, _ = model(world.share(x[0]), world.share(x[1]), world.share(index), step)
        loss.backward()
        optimiser.step()
        mechanism.follow()
        average_running_statistics(mechanism, world)
        losses.append(world.sum(loss.detach()) / world.size)
    broadcast_running_statistics(mechanism, world)
    state = {
        name: value.detach().to(torch.float64)
        for name, value in mechanism.state_dict().items()
        if isinstance(value, torch.Tensor)
        # the key encoder's statistics are never read, and not shared
        and not (made.contrast.kind == "moco" and name.startswith("key.") and "running" in name)
    }
    return {**state, "losses": torch.stack(losses)}


def _apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference, over all tensors, each over its own largest value."""
    if one.keys() != other.keys():
        return INCOMPARABLE
    found = [
        float((value - other[name]).abs().max() / value.abs().max().clamp(min=1e-30))
        for name, value in one.items()
    ]
    return max(found) if all(map(math.isfinite, found)) else INCOMPARABLE


def _recipe(contrast: str, processes: int) -> Recipe:
    said = recipe("trajectory", contrast, processes=processes, steps=STEPS, size=SIZE)
    return Recipe.model_validate_json(atomic.dump(said))


if __name__ == "__main__":
    compare(Path(sys.argv[1]), sys.argv[2])
