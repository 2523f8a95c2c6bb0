"""Copies to a device without waiting."""

from __future__ import annotations

import torch
from torch import Tensor


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`, without waiting for the GPU's queued work."""
    return tensor.to(device, non_blocking=device.type != "cpu")
