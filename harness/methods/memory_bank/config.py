"""The memory bank's section of the recipe (v1 Fig. 2b), and its declaration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.recipe.method import MAIN, MethodSection
from harness.recipe.section import Positive, PositiveFloat
from harness.spec.declarations import Method

METHOD = Method(
    kind="memory_bank",
    config="harness.methods.memory_bank.config:MemoryBank",
    build="harness.methods.memory_bank.method:build",
)

EXPONENT = 80
"""Largest exponent of e for float32 that leaves room for a sum over the images (InstDisc's Z)."""


class MemoryBank(MethodSection):
    """One stored embedding per image; K of them, drawn anew each step, are negatives (Fig. 2b)."""

    kind: Literal["memory_bank"]
    negatives: Positive
    """K. Drawn uniformly with replacement, one set for all queries of a step."""
    temperature: Annotated[PositiveFloat, Field(title="temperature τ")]
    bank_momentum: Annotated[float, Field(ge=0, lt=1, title="momentum of the bank")] = 0.5
    """Share of the old embedding when an image is seen again (InstDisc's code: 0.5)."""
    exclude_self: Annotated[bool, Field(title="own entry left out of the negatives")] = False
    """Leave a query's own entry out of its negatives (InstDisc's code does not)."""
    loss: Annotated[Literal["info_nce", "nce"], Field(title="loss of the bank")] = "info_nce"
    """info_nce as in v1 Fig. 3; nce as InstDisc, whose numbers v1's footnote 2 reproduces."""

    keys: ClassVar[Literal["none", "follow", "learn"]] = "none"

    def views(self) -> tuple[str, ...]:
        return (MAIN,)

    def contradictions(self, batch: int, group: int) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        if self.loss == "nce" and self.temperature * EXPONENT < 1:
            yield (
                "contrast.temperature",
                f"{self.temperature:g} with contrast.loss nce: exp(1 / temperature) overflows; "
                f"set it to at least {1 / EXPONENT:g}, or use info_nce",
            )

    def k(self, batch: int) -> int:  # noqa: ARG002
        return self.negatives

    def old_keys(self) -> int | None:
        return None if self.exclude_self else self.negatives

    def sent(self, keys: float, images: int, others: int) -> dict[str, float]:
        return {"bank entries": keys + images * 8 * others}
