"""The base of every optimiser's section of the recipe, and the learning-rate schedules."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import Discriminator, Field, Tag

from harness.recipe.section import Positive, Section, Since
from harness.spec.named_code import load_section
from harness.spec.registry import DEFAULT_OPTIMISER, optimisers


class Constant(Section):
    """The rate stays."""

    kind: Literal["constant"]


class Steps(Section):
    """The rate is multiplied by `factor` at the start of each epoch in `drops`."""

    kind: Literal["step"]
    drops: tuple[Positive, ...]
    """Epochs, counted from 0 (v1: 120 and 160 of 200)."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1


class Cosine(Section):
    """Half a cosine period over the run, set once per epoch (v2)."""

    kind: Literal["cosine"]
    first: Annotated[int, Field(ge=0, le=1)] = 0
    """The first epoch's number: 0 never reaches a rate of zero (code), 1 ends at zero (demo)."""
    start: Annotated[int, Field(ge=0), Since("0.2")] = 0
    """The epoch, counted from 0, in which the half period starts, for a run that continues
    another; before it the rate is constant."""


class Decay(Section):
    """The rate is multiplied by `factor` every so many steps (v1 on Instagram-1B)."""

    kind: Literal["decay"]
    every: Positive
    """Steps between two multiplications (v1: 62,500, 64 million images)."""
    factor: Annotated[float, Field(gt=0, lt=1)]


Schedule = Annotated[Constant | Steps | Cosine | Decay, Field(discriminator="kind")]


class Optim(Section):
    """The recipe's `optim`, of any optimiser: its `kind` names it. An optimiser's own section adds
    the fields."""

    kind: Annotated[str, Field(title="optimiser")]
    epochs: Annotated[int, Field(ge=0, title="epochs")]
    """Passes over the data; 0 leaves the network untrained, as a control. If the run continues
    another one, the total of both."""
    steps: Annotated[Positive | None, Field(title="steps at most")] = None
    """Stop after this many steps, wherever in an epoch (v1 on Instagram-1B: 1.25 million)."""
    batch: Annotated[int, Field(ge=2, title="batch")]
    """Images per step, over all processes; the epoch's last, smaller batch is dropped."""
    lr: Annotated[float, Field(ge=0, title="learning rate")]
    """Learning rate at the start (v1: 0.03 at batch 256)."""
    schedule: Schedule


def any_optim() -> Any:
    """The type of the recipe's `optim`: the section of any declared optimiser; without `kind`,
    SGD's.

    Raises:
        HarnessError: an optimiser declares something that is no such section.
    """
    found: list[Any] = []
    for kind, each in sorted(optimisers().items()):
        section = load_section("optimiser", kind, each.config, Optim)
        found.append(Annotated[section, Tag(kind)])
    if len(found) == 1:
        return found[0]
    return Annotated[Union[tuple(found)], Discriminator(_kind)]  # noqa: UP007


def _kind(said: Any) -> str:
    kind = said.get("kind") if isinstance(said, dict) else getattr(said, "kind", None)
    return kind if isinstance(kind, str) else DEFAULT_OPTIMISER
