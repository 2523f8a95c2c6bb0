"""Precision over recall of a stage's detector on the test images, which reports draw.

RUNS/<stage id>/precision_recall.json; result.json has its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import atomic

FILE = "precision_recall.json"
KEY = "precision_recall"
"""In result.json."""

RECALLS = 101
"""Recalls of a curve: 0, 0.01, ... 1."""
MARKED = (11, 101)
"""Recalls whose mean precision is the average precision: VOC 2007's, or COCO's."""
FOUND = ("boxes", "masks")

LARGEST = 1 << 16
"""Bytes of the file."""

Curve = tuple[float, ...]
"""At each of RECALLS the best precision at that recall or a higher one, in [0, 1], the mean over
classes."""


@dataclass(frozen=True)
class PrecisionRecall:
    """The curves of a stage."""

    marked: int
    """One of MARKED: at how many recalls the precisions' mean is the average precision."""
    curves: Mapping[str, Mapping[str, Curve]]
    """By what is found, of FOUND, and by the overlap from which it counts, e.g. "0.50"."""


def keep(stage: Path, made: PrecisionRecall) -> dict[str, Any]:
    """Write the curves into the stage's folder; returns what result.json says of them.

    Raises:
        StoreError: the folder cannot be written.
    """
    curves = {what: {at: list(c) for at, c in own.items()} for what, own in made.curves.items()}
    content = atomic.encoded(json.dumps({"marked": made.marked, "curves": curves}))
    atomic.write(stage / FILE, lambda file: file.write(content))
    return {"sha256": hashlib.sha256(content).hexdigest()}


def content(stage: Path, result: Mapping[str, Any]) -> bytes | None:
    """The file that the stage wrote; None if its result names none.

    Raises:
        StoreError: it is missing, too large, or not the one that the stage wrote.
    """
    said = result.get(KEY)
    if said is None:
        return None
    path = stage / FILE
    try:
        with atomic.opened(path) as file:
            found = file.read(LARGEST + 1)
    except OSError as error:
        raise atomic.unread(error, path) from error
    digest = said.get("sha256") if isinstance(said, Mapping) else None
    if len(found) > LARGEST or hashlib.sha256(found).hexdigest() != digest:
        raise StoreError(f"{path}: not the curves that the stage wrote")
    return found


def read(stage: Path, result: Mapping[str, Any]) -> PrecisionRecall | None:
    """The stage's curves, checked; None if its result names none.

    Raises:
        StoreError: as in `content`, or they are no curves.
    """
    found = content(stage, result)
    if found is None:
        return None
    try:
        said = json.loads(found)
        curves = {
            what: {_overlap(at): _curve(each) for at, each in own.items()}
            for what, own in said["curves"].items()
        }
        marked = said["marked"]
        if marked not in MARKED or not set(curves) <= set(FOUND):
            raise ValueError("unknown")
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"{stage / FILE}: no curves of precision over recall") from error
    return PrecisionRecall(marked, curves)


def _overlap(said: str) -> str:
    if not 0 < float(said) < 1 or len(said) != 4:
        raise ValueError("not an overlap")
    return said


def _curve(said: Any) -> Curve:
    if not isinstance(said, list) or len(said) != RECALLS:
        raise ValueError("not a precision for each recall")
    if not all(0 <= each <= 1 for each in said):  # also no NaN
        raise ValueError("not a precision")
    return tuple(map(float, said))
