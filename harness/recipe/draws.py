"""The fields of every task that learns from k labelled images a class, in several draws."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from harness.recipe.section import Positive, PositiveFloat, refuse
from harness.recipe.task import TaskSection


class DrawnTask(TaskSection):
    """A classifier of frozen features, fitted to k images of each class. The result is the mean
    over several draws of these images."""

    shots: Annotated[tuple[Positive, ...], Field(min_length=1)] = (5, 1)
    """k, the number of labelled training images of each class; the first is the one reported, the
    others show sensitivity."""
    draws: Annotated[int, Field(ge=2)] = 10
    """Number of draws. They depend on the data alone: seeds and networks share them, and a smaller
    k is a part of a larger one."""
    c: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1.0,)
    """Inverse strength of the L2 penalty. A single one is taken as it is; of several, one is
    chosen by cross-validation inside the images of each draw."""
    folds: Annotated[int, Field(ge=2)] = 3
    """Most parts of a draw's images for the cross-validation; with a smaller k, so many as k."""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        found = []
        for field, listed in (("shots", self.shots), ("c", self.c)):
            if len(set(listed)) < len(listed):
                found.append((field, "a value stands there twice"))
        if len(self.c) > 1 and 1 in self.shots:
            found.append(
                (
                    "c",
                    "no C can be chosen inside 1 image a class: name a single one, or leave 1 out "
                    "of shots",
                )
            )
        if self.trials > 1:
            found.append(("trials", "the draws are the repetitions: remove it, and say draws"))
        refuse(found)
        return self
