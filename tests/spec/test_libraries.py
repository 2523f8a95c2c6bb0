"""Libraries that an extra installs: named where they are missing."""

from __future__ import annotations

from importlib import metadata

import pytest

from harness.spec import libraries
from harness.spec.declarations import Task
from harness.spec.libraries import missing_libraries
from harness.spec.registry import tasks


def test_what_is_missing_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_libraries(tasks()) == []
    real = metadata.version

    def without(name: str) -> str:
        if name in ("scikit-learn", "torch"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", without)
    found = missing_libraries([*tasks(), "logistic"])
    named = [each.removeprefix("libraries missing: ").partition(" ")[0] for each in found]
    assert named == ["few_shot", "logistic", "svm", "svm_low_shot"]
    for said in found:
        assert "scikit-learn" in said
        assert "moco-harness[evaluate]" in said
    assert missing_libraries(["pretrain", "knn", "linear"]) == []


def test_those_of_another_package_are_named_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Task("own", "own.run:run", (), None, (), (), libraries=("torch", "no-such-library"))
    monkeypatch.setattr(libraries, "task", lambda _: own)
    (said,) = missing_libraries(["own"])
    assert said.endswith("pip install no-such-library")
