"""The end-to-end mechanism's section of the recipe (v1 Fig. 2a), and its declaration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.recipe.method import MethodSection, shuffles_nothing
from harness.recipe.section import PositiveFloat
from harness.spec.declarations import Method

METHOD = Method(
    kind="end_to_end",
    config="harness.methods.end_to_end.config:EndToEnd",
    build="harness.methods.end_to_end.method:build",
)


class EndToEnd(MethodSection):
    """Both encoders learn by back-propagation; the batch's other keys are the negatives (Fig. 2a).

    K - 1 negatives with a batch of K (v1 Sec. 4.1); the rate is scaled with the batch there.
    """

    kind: Literal["end_to_end"]
    temperature: Annotated[PositiveFloat, Field(title="temperature τ")]
    shuffle: Annotated[bool, Field(title="shuffling BN")] = True
    """Shuffling BN of the key batch (v1 Sec. 3.3 uses it here too), with its gradient."""
    shared: Annotated[bool, Field(title="one encoder for both views")] = False
    """One encoder for both views. The paper says only that the two can be different."""

    keys: ClassVar[Literal["none", "follow", "learn"]] = "learn"

    def k(self, batch: int) -> int:
        return batch - 1

    def on_axis(self, batch: int) -> int:
        return batch

    def contradictions(self, batch: int, group: int) -> Iterator[tuple[str, str]]:
        if self.shuffle and batch % group == 0:
            yield from shuffles_nothing(batch, group)

    def sent(self, keys: float, images: int, others: int) -> dict[str, float]:  # noqa: ARG002
        return {"keys and their gradients": 2 * keys}
