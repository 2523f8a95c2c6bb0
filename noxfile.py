"""The project's chores: `nox` runs lint, types and all tests, in one environment they share."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.sessions = ["lint", "types", "tests", "libraries", "slurm"]
nox.options.default_venv_backend = "none"
nox.options.error_on_missing_interpreters = False  # `versions` tries those that are there

PROJECT = nox.project.load_toml("pyproject.toml")

SHARED = Path(".nox", "shared").resolve()
"""torch takes 5 GB, so it is installed once for all sessions."""

SUITE = "not slow and not slurm and not faults and not libraries"
"""What the suite runs; each of the others has a session of its own."""

DETECTORS = ("tests/model/detection", "tests/stage/test_detection_voc_c4.py")
"""The slow tests of detectors of ResNet-50, which have a session of their own."""

constraints = os.environ.get("MOCO_HARNESS_CONSTRAINTS")
"""A file of exact versions, which .ci/run names; without it the newest that fit are installed."""


def _run(session: nox.Session, *words: str) -> None:
    """`python -m words` in the shared environment."""
    session.run(str(SHARED / "bin" / "python"), "-m", *words, external=True)


def _install(session: nox.Session, extras: str = "dev") -> None:
    """Make the shared environment, or bring it up to date."""
    if not (SHARED / "bin" / "python").exists():
        session.run(sys.executable, "-m", "venv", str(SHARED), external=True)
    _by_constraints(
        session,
        lambda *more: _run(session, "pip", "install", "--quiet", "-e", f".[{extras}]", *more),
    )


def _by_constraints(session: nox.Session, install: Callable[..., object]) -> None:
    """install("-c", FILE), or install() where the file's versions cannot be had."""
    global constraints
    if constraints:
        try:
            install("-c", constraints)
            return
        except CommandFailed:
            session.warn(f"WARNING: {constraints} cannot be met here; installing without it")
            constraints = None
    install()


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: lint and format."""
    _install(session)
    _run(session, "ruff", "check", ".")
    _run(session, "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy: strict on the harness, plain on the tests."""
    _install(session)
    _run(session, "mypy")
    _run(session, "mypy", "--config-file", "tests/mypy.ini")


@nox.session
def tests(session: nox.Session) -> None:
    """The suite, in parallel, without network and GPU."""
    _install(session)
    _run(session, "pytest", "-m", SUITE, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """The suite again, and how much of each file it runs: `nox -s coverage -- tests/recipe`."""
    _install(session)
    words = ("--cov", "--cov-report=term:skip-covered")
    _run(session, "pytest", *words, "-m", SUITE, *session.posargs)


@nox.session
def libraries(session: nox.Session) -> None:
    """Exports as the libraries that they are for load them, and evaluations as they compute them:
    a minute, and 100 MB."""
    _install(session, "dev,libraries")
    folders = ("tests/data", "tests/evaluate", "tests/export", "tests/stage")
    _run(session, "pytest", *folders, "-m", "libraries", *session.posargs)


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
    others = [word for each in DETECTORS for word in ("--ignore", each)]
    _run(session, "pytest", "-m", "slow", *others, *session.posargs)


@nox.session
def detectors(session: nox.Session) -> None:
    """Are the detectors of ResNet-50 still detectron2's, and does one train and resume as its
    recipe says? One at a time: some take 4 GB."""
    _install(session)
    _run(session, "pytest", *DETECTORS, "-m", "slow", "-n", "1", *session.posargs)


@nox.session(python=nox.project.python_versions(PROJECT), venv_backend="venv")
def versions(session: nox.Session) -> None:
    """The suite on each Python of pyproject.toml that is installed here; each takes 5 GB."""
    session.install("--quiet", "-e", ".[test]")
    session.run("pytest", "-m", SUITE, *session.posargs)


@nox.session(venv_backend="venv")
def wheel(session: nox.Session) -> None:
    """What `pip install` gives a user: the wheel alone runs the quickstart; takes 5 GB."""
    with tempfile.TemporaryDirectory() as made:
        session.run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", made, ".")
        (built,) = Path(made).glob("*.whl")
        _by_constraints(session, lambda *more: session.install("--quiet", str(built), *more))
    with tempfile.TemporaryDirectory() as elsewhere, session.chdir(elsewhere):
        session.run("moco-harness", "run", "quickstart", "--device", "cpu")


@nox.session
def mutants(session: nox.Session) -> None:
    """Plant flaws one at a time in copies of the source, and write which test catches each."""
    _install(session)
    _run(session, "tests.mutants", "reports/mutants.md", *session.posargs)


@nox.session
def gate_power(session: nox.Session) -> None:
    """Make the CPU gate's baseline, and write what the gate lets pass and what it catches."""
    _install(session)
    _run(session, "tests.gate", "reports/gate.md", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Hostile input: `nox -s fuzz -- 20000` tries so many cases, and others each time."""
    _install(session)
    cases = session.posargs[0] if session.posargs else "20000"
    session.env["MOCO_HARNESS_FUZZ"] = cases
    _run(session, "pytest", "tests/hostile", *session.posargs[1:])


@nox.session
def faults(session: nox.Session) -> None:
    """Kills, full disks and the like on real runs: `nox -s faults -- 200` kills; the table."""
    _install(session)
    kills, *rest = session.posargs or ["200"]
    rows = Path(session.create_tmp()) / "rows"
    shutil.rmtree(rows, ignore_errors=True)
    rows.mkdir(parents=True)
    session.env.update(
        FAULTS_KILLS=kills,
        FAULTS_ROWS=str(rows.resolve()),
        FAULTS_PAGE=str(Path("reports", "faults.md").resolve()),
        FAULTS_COMMAND=f"nox -s faults -- {kills}",
    )
    _run(session, "pytest", "tests/faults", "-m", "faults", "-n", "2", *rest)


@nox.session
def gpu(session: nox.Session) -> None:
    """What only a GPU shows, within ten minutes: `nox -s gpu -- OUT --data ROOT`."""
    _install(session)
    _run(session, "tests.gpu", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """The quickstart."""
    _install(session)
    _run(session, "harness.cli", "run", "quickstart", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Speed on this machine, into reports/bench: leave it alone meanwhile."""
    _install(session)
    _run(session, "harness.bench.suite", "reports/bench", *session.posargs)
