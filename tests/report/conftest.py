"""A run root, and ablations to fill it with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.report.collect import Results, collect
from harness.store.edition import Editions
from report.build import EDITION, Bench

Collected = Callable[[Bench], Results]
Make = Callable[..., Bench]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def make(runs: Path) -> Callable[..., Bench]:
    """make(seeds=..., ...): an ablation without any run yet."""

    def bench(seeds: tuple[int, ...] = (0,), **more: Any) -> Bench:
        return Bench(runs, seeds, **more)

    return bench


@pytest.fixture
def gather() -> Collected:
    """gather(bench): its results, as code of EDITION collects them."""
    code = Editions.same(EDITION)
    return lambda bench: collect(bench.expansion, bench.scale, bench.runs, installed=code)
