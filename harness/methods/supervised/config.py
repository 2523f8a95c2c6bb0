"""The supervised method's section of the recipe, and its declaration."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.recipe.method import MAIN, MethodSection
from harness.spec.declarations import Method

METHOD = Method(
    kind="supervised",
    config="harness.methods.supervised.config:Supervised",
    build="harness.methods.supervised.method:build",
)


class Supervised(MethodSection):
    """Classification with the training images' labels, from one view of each: the baseline of v1's
    transfer tables, from the same backbone, data, schedule and code.

    The head's outputs are the logits, so `model.dim` is the number of classes (v1's supervised
    ResNet-50: `head: fc`).
    """

    kind: Literal["supervised"]
    smoothing: Annotated[float, Field(ge=0, lt=1, title="label smoothing")] = 0.0
    """Share of each label that is spread over all classes."""

    keys: ClassVar[Literal["none", "follow", "learn"]] = "none"
    labels: ClassVar[bool] = True

    def views(self) -> tuple[str, ...]:
        return (MAIN,)
