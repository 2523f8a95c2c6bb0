"""Which images a run, or one of its tasks, is about."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.section import Positive, Section


class Data(Section):
    """Which images; they are looked for under the site's data root."""

    name: Literal["embedded", "cifar10", "cifar100", "stl10", "imagefolder"]
    """embedded: drawn by the harness itself; imagefolder: <folder>/{train,val}/<class>/<image>."""
    folder: str | None = None
    """imagefolder only: its folder, relative to the data root (e.g. imagenet)."""
    images: Positive | None = None
    """Train on a fixed random subset of this many images (the same for every seed); null: all."""
    size: Annotated[int, Field(ge=8, le=1024)]
    """Side of the square that the encoder sees, in pixels (v1: 224)."""
