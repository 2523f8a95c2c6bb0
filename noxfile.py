"""The project's chores: `nox` runs lint, types and tests, in one environment they share."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "venv"

SHARED = ".nox/shared"  # torch takes 5 GB: install it once


def _install(session: nox.Session) -> None:
    session.install("-e", ".[dev]")


@nox.session(venv_location=SHARED, reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Ruff: lint and format."""
    _install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(venv_location=SHARED, reuse_venv=True)
def types(session: nox.Session) -> None:
    """mypy, strict, on the harness."""
    _install(session)
    session.run("mypy")


@nox.session(venv_location=SHARED, reuse_venv=True)
def tests(session: nox.Session) -> None:
    """The suite, in parallel, without network and GPU."""
    _install(session)
    session.run("pytest", "-m", "not slow and not alone", *session.posargs)
    session.run("pytest", "-m", "alone and not slow", "-n", "0", *session.posargs)


@nox.session(venv_location=SHARED, reuse_venv=True)
def slow(session: nox.Session) -> None:
    """Tests that take longer than the suite allows."""
    _install(session)
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session(venv_location=SHARED, reuse_venv=True)
def demo(session: nox.Session) -> None:
    """The quickstart, into a folder of its own."""
    _install(session)
    session.run("moco-harness", "run", "recipes/quickstart.yaml", *session.posargs)
