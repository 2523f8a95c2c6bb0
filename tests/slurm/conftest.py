"""The cluster of this pytest process: started at the first test that asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slurm.campaign import Campaign
from slurm.cluster import Cluster
from slurm.daemons import missing
from slurm.long_run import LONG

from harness.store.layout import StageFolder

REQUIRED = os.environ.get("MOCO_HARNESS_SLURM") == "required"
"""CI's: where there can be no cluster, the tests fail and are not skipped."""

Whole = Callable[[int], StageFolder]


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


@pytest.fixture
def campaign(cluster: Cluster, tmp_path: Path) -> Campaign:
    """A user's folder for the cluster."""
    assert cluster.idle()
    place = tmp_path / "place"
    place.mkdir()
    return Campaign(place)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """whole(2): the long pre-training as two processes make it here, undisturbed."""
    made: dict[int, StageFolder] = {}

    def of(processes: int) -> StageFolder:
        if processes not in made:
            alone = Campaign(tmp_path_factory.mktemp("whole"))
            alone.moco("run", "tiny.yaml", *LONG, "--on", "here", "--processes", processes)
            made[processes] = alone.stage("pretrain")
        return made[processes]

    return of
