"""The keys of the warnings that `plan` gives, by which a recipe accepts them."""

from __future__ import annotations

from typing import Literal

WarningKey = Literal[
    "untestable-claim",
    "too-few-seeds",
    "own-image-negatives",
    "queue-turnover",
    "slow-key-encoder",
    "rate-for-batch",
    "schedule-cut",
    "knn-k",
    "knn-temperature",
    "probe-rate",
    "unmeasured-target",
]
"""In the order in which warnings are printed. `harness.preflight` says when each is given."""
