"""The project's chores: `nox` runs lint, types and all tests, in one environment they share."""

from __future__ import annotations

import sys
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests", "slurm"]
nox.options.default_venv_backend = "none"

SHARED = Path(".nox", "shared").resolve()
"""torch takes 5 GB, so it is installed once for all sessions."""


def _run(session: nox.Session, *words: str) -> None:
    """`python -m words` in the shared environment."""
    session.run(str(SHARED / "bin" / "python"), "-m", *words, external=True)


def _install(session: nox.Session) -> None:
    """Make the shared environment, or bring it up to date."""
    if not (SHARED / "bin" / "python").exists():
        session.run(sys.executable, "-m", "venv", str(SHARED), external=True)
    _run(session, "pip", "install", "--quiet", "-e", ".[dev]")


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: lint and format."""
    _install(session)
    _run(session, "ruff", "check", ".")
    _run(session, "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict, on the harness."""
    _install(session)
    _run(session, "mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """The suite, in parallel, without network and GPU."""
    _install(session)
    _run(session, "pytest", "-m", "not slow and not slurm", *session.posargs)


@nox.session
def slurm(session: nox.Session) -> None:
    """The tests on SLURM clusters that they start themselves, where there is what that takes: two,
    as a test waits for its cluster more than it computes."""
    _install(session)
    _run(session, "pytest", "tests/slurm", "-n", "2", "-m", "not slow", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """What takes minutes: does the quickstart still show what it promises?"""
    _install(session)
    _run(session, "pytest", "-m", "slow", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """The quickstart."""
    _install(session)
    _run(session, "harness.cli", "run", "recipes/quickstart.yaml", *session.posargs)
