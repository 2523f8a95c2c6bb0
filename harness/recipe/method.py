"""What every method's section of the recipe has, and what others need to know of a method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.recipe.section import Section
from harness.spec.declarations import load
from harness.spec.registry import methods

MAIN = "augment"
"""The kind of view that every recipe describes, in its section of that name."""
TIME_CONSTANTS = 3
"""Of a slow key encoder, 1 / (1 - m) steps each, before what it learned can be judged."""


class MethodSection(Section):
    """The recipe's `contrast`, of any method: its `kind` names the method.

    A method's own section adds the fields, and overrides what is different from here.
    """

    kind: Annotated[str, Field(title="mechanism")]
    keys: ClassVar[Literal["none", "follow", "learn"]] = "follow"
    """Whether there is a key encoder: none; one that follows the query encoder; one that learns."""

    def views(self) -> tuple[str, ...]:
        """The kinds of the views of an image that a step sees, one after the other: MAIN is drawn
        as `augment` says and as large as `data.size`, any other as the recipe's `views` says."""
        return (MAIN, MAIN)

    def k(self, batch: int) -> int | None:
        """K, the negatives of a query in a global batch of so many images; None: it has none."""
        del batch
        return None

    def on_axis(self, batch: int) -> int | None:
        """K as v1's Fig. 3 draws it; None: it has no place there."""
        return self.k(batch)

    def old_keys(self) -> int | None:
        """How many old keys, a query's own among them perhaps, are its negatives; None: none."""
        return None

    def steps_needed(self) -> float:
        """Steps before what it learned can be judged, as a slow key encoder needs them."""
        return 0.0

    def contradictions(self, batch: int, group: int) -> Iterator[tuple[str, str]]:
        """(field, message) of each setting that cannot be meant, in batches of `batch` images and
        batch-norm groups of `group`."""
        del batch, group
        yield from ()

    def sent(self, keys: float, images: int, others: int) -> dict[str, float]:
        """Bytes that a process sends in a step, by what they are, gradients and shuffle apart.

        Args:
            keys: bytes of its share's keys, to all others.
            images: images in its share.
            others: how many other processes there are.
        """
        del keys, images, others
        return {}


def sections() -> tuple[type[MethodSection], ...]:
    """The section of every declared method, in the order of their names."""
    return tuple(section_of(kind) for kind in sorted(methods()))


def section_of(kind: str) -> type[MethodSection]:
    """The section of a declared method.

    Raises:
        TypeError: what it declares is none.
    """
    found: object = load(methods()[kind].config)
    if not (isinstance(found, type) and issubclass(found, MethodSection)):
        raise TypeError(f"the method {kind} declares {found}, which is no MethodSection")
    return found


SHUFFLE = (
    "contrast.shuffle",
    "one group of {} images: a shuffle leaves its statistics as they are and does nothing; choose "
    "a model.bn_group below optim.batch, or set contrast.shuffle: false",
)


def shuffles_nothing(batch: int, group: int) -> Iterator[tuple[str, str]]:
    """The contradiction of a shuffle among the images of a single batch-norm group."""
    if batch == group:
        yield SHUFFLE[0], SHUFFLE[1].format(group)
