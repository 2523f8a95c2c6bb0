"""A task's own data set: images with masks or boxes, to train and to test on."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.data.datasets import Channels

Images = TypeVar("Images", bound=Sized)


@dataclass(frozen=True)
class AnnotatedSet(Generic[Images]):
    """An open data set."""

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    """Names; a label is a position in it."""
    mean: Channels
    std: Channels
    """Of R, G and B in [0, 1], as in pre-training."""
    fingerprint: str
    """Twelve hexadecimal digits: of pixels and annotations, or of the files' names and sizes and
    what is annotated."""
    remarks: tuple[str, ...] = ()

    @property
    def described(self) -> dict[str, str | int]:
        """For provenance and results."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "train": len(self.train),
            "test": len(self.test),
            "classes": len(self.classes),
        }
