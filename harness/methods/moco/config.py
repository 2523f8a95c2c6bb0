"""MoCo's section of the recipe (v1 Fig. 2c), and its declaration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.method import TIME_CONSTANTS, MethodSection, shuffles_nothing
from harness.recipe.section import Positive, PositiveFloat
from harness.spec.declarations import Method

METHOD = Method(
    kind="moco",
    config="harness.methods.moco.config:Moco",
    build="harness.methods.moco.method:build",
)


class Moco(MethodSection):
    """A queue of keys from a momentum encoder (v1 Fig. 2c)."""

    kind: Literal["moco"]
    queue: Positive
    """K, the number of negatives in the queue (v1: 65536; its momentum ablation: 4096)."""
    momentum: Annotated[float, Field(ge=0, lt=1, title="momentum m")]
    """m of the key encoder's moving average (v1 Eq. 2; 0.999). 0 copies the query encoder."""
    temperature: Annotated[PositiveFloat, Field(title="temperature τ")]
    """tau of InfoNCE (v1 Eq. 1: 0.07; v2: 0.2; demo: 0.1)."""
    shuffle: Annotated[bool, Field(title="shuffling BN")] = True
    """Shuffling BN: the key batch is permuted before, and put back after, the key encoder."""
    symmetric: Annotated[bool, Field(title="symmetric loss")] = False
    """Each view is query once and key once; the two losses are added (demo)."""

    def k(self, batch: int) -> int:  # noqa: ARG002
        return self.queue

    def old_keys(self) -> int:
        return self.queue

    def steps_needed(self) -> float:
        """Three time constants: the key encoder then holds 95 % of what is new."""
        return round(TIME_CONSTANTS / (1 - self.momentum), 6)  # 3 / (1 - 0.99) is 300

    def contradictions(self, batch: int, group: int) -> Iterator[tuple[str, str]]:
        if self.shuffle and batch % group == 0:
            yield from shuffles_nothing(batch, group)
        if self.queue < batch:
            yield (
                "contrast.queue",
                f"{self.queue} keys are fewer than one batch of {batch}; set it to at least "
                "optim.batch",
            )

    def sent(self, keys: float, images: int, others: int) -> dict[str, float]:  # noqa: ARG002
        return {"keys": (2 if self.symmetric else 1) * keys}
