"""Lists of recipes that one call of `check` tests: nightly, weekly, monthly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from harness.recipe.section import Name, Section, refuse

FileName = Annotated[str, StringConstraints(min_length=1, max_length=500)]
"""Relative to the list's own file."""


class RecipeList(Section):
    """Recipes whose results are checked together. Their order is the order in which they run."""

    name: Name
    purpose: str = ""
    """When to run it, and what it shows."""
    recipes: Annotated[tuple[FileName, ...], Field(min_length=1)]
    """Recipes and ablation recipes; no lists."""
    baseline: FileName | None = None
    """Baseline to compare results with, unless --against names another; null: only targets."""

    @model_validator(mode="after")
    def _consistent(self) -> RecipeList:
        refuse(self._contradictions())
        return self

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        for n, name in enumerate(self.recipes):
            if name in self.recipes[:n]:
                yield f"recipes.{n}", f"{name} is listed twice: keep one"
