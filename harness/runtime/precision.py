"""The precision of the encoders' arithmetic. Everything after them stays in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

Precision = Literal["fp32", "bf16", "fp16"]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """A context in which convolutions and linear layers run in the given precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(
        device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16
    )


def widen(x: Tensor) -> Tensor:
    """`x` in float32 at least: half precisions are widened, float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
