"""The plan as it is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_regressions.file_regression import FileRegressionFixture

import harness

RECIPES = Path(harness.__file__).parent.parent / "recipes"


def test_the_quickstarts_plan(moco: Any, file_regression: FileRegressionFixture) -> None:
    said = moco("plan", RECIPES / "quickstart.yaml", "--device", "cpu")
    assert said.code == 0
    lines = [line.rstrip() for line in said.out.splitlines()]
    file_regression.check("\n".join(lines) + "\n", extension=".txt")
