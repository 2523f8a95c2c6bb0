"""Declaration of the tracker Weights & Biases."""

from __future__ import annotations

from harness.spec.declarations import Tracker

TRACKER = Tracker(
    kind="wandb",
    title="W&B",
    opener="harness.track.wandb.run:WandbOpener",
    access="harness.track.wandb.mode:access",
    off=("WANDB_MODE", "disabled"),
    libraries=("wandb",),
)
