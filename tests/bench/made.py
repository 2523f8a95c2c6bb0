"""A measurement that nobody made, with round numbers."""

from __future__ import annotations

import json
from typing import Any

from harness.bench.clock import Timing
from harness.bench.result import Result
from harness.recipe.schema import Recipe


def recipe(batch: int = 256, group: int = 32, backbone: str = "resnet50", **other: Any) -> Recipe:
    contrast = {"kind": "moco", "queue": 65536, "momentum": 0.999, "temperature": 0.2}
    return Recipe.model_validate_json(
        json.dumps(
            {
                "name": "made",
                "data": {"name": "embedded", "size": 32},
                "augment": {},
                "model": {"backbone": backbone, "bn_group": group},
                "contrast": contrast,
                "optim": {
                    "epochs": 2,
                    "batch": batch,
                    "lr": 0.1,
                    "schedule": {"kind": "constant"},
                },
                **other,
            }
        )
    )


def timing(seconds: float) -> Timing:
    return Timing(seconds, seconds, seconds, 1)


def result(of: Recipe, device: str = "NVIDIA H200", **other: Any) -> Result:
    """The floor takes 20 ms and 256 images, 6 ms of which no batch saves; the step 30 ms."""
    milliseconds: dict[str, dict[str, float]] = {
        "whole": {"floor": 20, "step": 29, "end to end": 30, "input": 10},
        "parts": {
            **{"augment": 1, "backward": 10, "optimiser": 1, "follow": 2},
            **{"floor of a share": 6 + 14 / 8, "checkpoint": 30, "checkpoint on disk": 300},
        },
        "evaluation": {
            **{"product": 100, "knn": 150, "encode": 0.1, "one rate": 1, "all rates": 1.2}
        },
    }
    timings = {
        group: {name: timing(ms / 1e3) for name, ms in found.items()}
        for group, found in milliseconds.items()
    }
    facts = {
        "edition": "0123456789ab",
        "parameters": 25_000_000,
        "size": 32,
        "data": "embedded",
        "images": {"train": 20_000, "bank": 20_000, "test": 2000},
        "knn": [10_000, 50_000],
        "knn_dim": 128,
        "measured": "2026-01-02T03:04:05Z",
        "steps_per_checkpoint": 78,
        "threads": 2,
        "recipe": of.model_dump(mode="json"),
        "packages": {"torch": "2.13.0", "torchvision": "0.28.0"},
        "machine": {"cpu": "A CPU", "cores": 2},
        "code": {"commit": "c" * 40, "dirty": False},
    }
    return Result(
        recipe=of.name,
        device=device,
        processes=1,
        batch=of.optim.batch,
        precision="fp32",
        peak_bytes=2**30,
        facts=facts | other,
        **timings,  # type: ignore[arg-type]
    )
