from __future__ import annotations

import torch

from harness.runtime.precision import autocast, widen
from harness.runtime.process_setup import make_deterministic

CPU = torch.device("cpu")


def test_encoders_compute_in_the_recipes_precision() -> None:
    layer, x = torch.nn.Linear(4, 2), torch.randn(3, 4)
    with autocast("fp32", CPU):
        assert layer(x).dtype == torch.float32
    with autocast("bf16", CPU):
        assert layer(x).dtype == torch.bfloat16
    assert layer(x).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_widen_never_narrows() -> None:
    for narrow in (torch.float16, torch.bfloat16, torch.float32):
        assert widen(torch.ones(2, dtype=narrow)).dtype == torch.float32
    assert widen(torch.ones(2, dtype=torch.float64)).dtype == torch.float64


def test_widened_values_are_the_same() -> None:
    x = torch.randn(1000).bfloat16()
    assert torch.equal(widen(x).bfloat16(), x)


def test_deterministic_kernels_are_asked_for() -> None:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    try:
        make_deterministic()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
