"""Whether two runs are the same run: weights and journals to the last bit."""

from __future__ import annotations

from typing import Any

import torch

from harness.store import journal
from harness.store.layout import StageFolder


def weights(folder: StageFolder) -> dict[str, torch.Tensor]:
    """All tensors of the newest checkpoint, by their places in it."""
    path = sorted(folder.checkpoints.glob("step-*.pt"))[-1]
    found: dict[str, torch.Tensor] = {}

    def collect(value: Any, place: str) -> None:
        if isinstance(value, torch.Tensor):
            found[place] = value
        elif isinstance(value, dict):
            for name, inner in value.items():
                collect(inner, f"{place}.{name}")

    collect(torch.load(path, weights_only=True), "")
    assert len(found) > 20
    return found


def assert_same(one: StageFolder, other: StageFolder) -> None:
    """Bit-identical weights and results, and the same journal but for times."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (one.result or {})["values"] == (other.result or {})["values"]
    timeless = [
        [
            {k: v for k, v in record.items() if k not in ("t", "train/images_per_s")}
            for record in journal.read(folder)
        ]
        for folder in (one, other)
    ]
    assert timeless[0] == timeless[1]
