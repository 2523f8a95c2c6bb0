"""Packing without a word."""

from __future__ import annotations

from pathlib import Path

from harness.data.pack import Summary, pack
from harness.recipe.schema import Data

TINY = Data(name="imagefolder", folder="tiny", size=16)


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


def packed(source: Path, into: Path, side: int | None = None) -> Summary:
    return pack(source, into, side=side, tell=quiet, workers=2)
