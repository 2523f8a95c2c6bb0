from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import pytest

import harness
from harness.store import edition as module
from harness.store.edition import LIBRARIES, SOURCES, edition

TREE = Path(harness.__file__).parent


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the source that `edition` reads."""
    copy = tmp_path / "harness"
    skip = shutil.ignore_patterns("__pycache__")
    for package in (*SOURCES, "cli"):
        shutil.copytree(TREE / package, copy / package, ignore=skip)
    monkeypatch.setattr(harness, "__file__", str(copy / "__init__.py"))
    return copy


def now() -> str:
    return edition.__wrapped__()


@pytest.mark.usefixtures("tree")
def test_twelve_digits_wherever_the_source_lies() -> None:
    assert len(now()) == 12
    assert int(now(), 16) >= 0
    assert now() == edition()


def test_sources_are_packages() -> None:
    assert all((TREE / package / "__init__.py").exists() for package in SOURCES)


@pytest.mark.parametrize("package", SOURCES)
def test_the_source_that_decides_numbers_decides_it(tree: Path, package: str) -> None:
    before = now()
    path = next((tree / package).glob("[a-z]*.py"))
    path.write_bytes(path.read_bytes() + b"\n")
    changed = now()
    path.rename(path.with_name("renamed.py"))
    assert len({before, changed, now()}) == 3


def test_what_decides_no_number_does_not(tree: Path) -> None:
    before = now()
    (tree / "cli" / "app.py").write_text("")
    (tree / "stage" / "notes.txt").write_text("")
    (tree / "stage" / "__pycache__").mkdir()
    (tree / "stage" / "__pycache__" / "x.pyc").write_text("")
    assert now() == before


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_decide_it(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, version = now(), metadata.version
    monkeypatch.setattr(
        module.metadata, "version", lambda name: "0" if name == library else version(name)
    )
    assert now() != before
