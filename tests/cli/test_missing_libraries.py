"""A task whose libraries are not installed: named by `validate` and `plan`, refused by `run`."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

EXTRA = "moco-harness[evaluate]"


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "scikit-learn":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)


@pytest.fixture
def recipe(tiny: Path) -> Path:
    tiny.write_text(tiny.read_text() + "\ntasks: {grid: {kind: logistic}}\n")
    return tiny


@pytest.mark.usefixtures("without")
def test_they_are_named_before_anything_runs(moco: Any, recipe: Path, place: Path) -> None:
    said = moco("recipes", "validate", recipe)
    assert (said.code, said.out.count(EXTRA)) == (0, 1)
    said = moco("plan", recipe)
    assert (said.code, said.out.count(EXTRA)) == (1, 1)
    said = moco("run", recipe)
    assert said.code == 1
    assert EXTRA in said.err
    assert not list((place / "runs").glob("tiny*"))


def test_nothing_is_said_where_they_are_installed(moco: Any, recipe: Path) -> None:
    for words in (("recipes", "validate"), ("plan",)):
        said = moco(*words, recipe)
        assert said.code == 0
        assert EXTRA not in said.out


@pytest.mark.usefixtures("without")
def test_a_recipe_without_such_a_task_needs_none(moco: Any, tiny: Path) -> None:
    for words in (("recipes", "validate"), ("plan",)):
        assert EXTRA not in moco(*words, tiny).out
