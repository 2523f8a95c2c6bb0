"""The base of every method's section of the recipe, and what other modules ask of a method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.recipe.section import Section
from harness.spec.named_code import load_section
from harness.spec.registry import methods

MAIN = "augment"
"""The kind of view that every recipe describes, in its section of that name."""
TIME_CONSTANTS = 3
"""How many time constants, of 1 / (1 - m) steps each, a slow key encoder needs before its features
can be judged."""


class MethodSection(Section):
    """The recipe's `contrast`, of any method: its `kind` names the method.

    A method's own section adds the fields, and overrides what is different from here.
    """

    kind: Annotated[str, Field(title="mechanism")]
    keys: ClassVar[Literal["none", "follow", "learn"]] = "follow"
    """Whether there is a key encoder: none; one that follows the query encoder; one that learns."""

    labels: ClassVar[bool] = False
    """Whether it learns from the training images' labels."""

    def views(self) -> tuple[str, ...]:
        """The kinds of the views of an image in one step, in order. MAIN is drawn as `augment`
        says, at `data.size`; any other kind as the recipe's `views` says."""
        return (MAIN, MAIN)

    def k(self, batch: int) -> int | None:
        """K, the number of negatives of a query in a global batch of `batch` images; None: it has
        no K."""
        del batch
        return None

    def on_axis(self, batch: int) -> int | None:
        """K on the axis of v1's Fig. 3; None: the method is not in the figure."""
        return self.k(batch)

    def old_keys(self) -> int | None:
        """How many older keys are negatives (a query's own may be among them); None: no older
        keys."""
        return None

    def steps_needed(self) -> float:
        """Steps before the features can be judged: a slow key encoder needs them."""
        return 0.0

    def contradictions(self, batch: int, group: int) -> Iterator[tuple[str, str]]:
        """(field, message) of each setting that makes no sense with batches of `batch` images and
        batch-norm groups of `group`."""
        del batch, group
        yield from ()

    def sent(self, keys: float, images: int, others: int) -> dict[str, float]:
        """Bytes that one process sends per step, by purpose, without gradients and shuffle.

        Args:
            keys: bytes of the process's own keys, sent to all others.
            images: images in the process's share of the batch.
            others: number of other processes.
        """
        del keys, images, others
        return {}


def sections() -> tuple[type[MethodSection], ...]:
    """The section of every declared method, sorted by method name."""
    return tuple(section_of(kind) for kind in sorted(methods()))


def section_of(kind: str) -> type[MethodSection]:
    """The section of a declared method.

    Raises:
        HarnessError: the method declares something that is no such section.
    """
    return load_section("method", kind, methods()[kind].config, MethodSection)


SHUFFLE = (
    "contrast.shuffle",
    "one group of {} images: with a single group, shuffling changes no statistics; set "
    "model.bn_group below optim.batch, or contrast.shuffle: false",
)


def shuffles_nothing(batch: int, group: int) -> Iterator[tuple[str, str]]:
    """The contradiction of a shuffle inside a single batch-norm group, where it has no effect."""
    if batch == group:
        yield SHUFFLE[0], SHUFFLE[1].format(group)
