"""How many kills, by which seed, and where the table goes: asked for by the nox session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import attempts, table

KILLS = int(os.environ.get("FAULTS_KILLS", "0"))
"""Of which the session does most; the ordinary suite does a few."""
SEED = int(os.environ.get("FAULTS_SEED", "20261122"))
QUICK = 3


@pytest.fixture(scope="session")
def seed() -> int:
    return SEED


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> attempts.Reference:
    """The run by one process that nothing is done to."""
    return attempts.undisturbed(tmp_path_factory.mktemp("undisturbed") / "one")


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Iterator[table.Row]:
    """The table's row of the test's fault, kept whatever became of it."""
    made = table.Row(request.node.name)
    yield made
    made.keep()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Make the table, in the process that the workers of xdist report to."""
    rows, page = os.environ.get("FAULTS_ROWS"), os.environ.get("FAULTS_PAGE")
    if rows and page and not hasattr(session.config, "workerinput"):
        command = os.environ.get("FAULTS_COMMAND", table.COMMAND)
        Path(page).write_text(table.page(table.read(Path(rows)), command))
