"""The cluster of this pytest process: started at the first test that asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm.cluster import Cluster
from slurm.daemons import missing

REQUIRED = os.environ.get("MOCO_HARNESS_SLURM") == "required"
"""CI's: where there can be no cluster, the tests fail and are not skipped."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here are marked."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Cluster]:
    if reason := missing():
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster of two idle nodes, whose clients are first on PATH; made whole after the test."""
    monkeypatch.setenv("PATH", str(_cluster.bin), prepend=os.pathsep)
    yield _cluster
    _cluster.heal()
