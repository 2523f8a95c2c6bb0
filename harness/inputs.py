"""The inputs of results: which data and weights lie here, told without opening what has not changed.

RUNS/.inputs/<digest of a path>.json    what was found there, and when; may be deleted at any time

Data are known by their files' names and sizes; a time alone says nothing, but what has the time that
it had is not looked at again. Of an image folder of FEW files each file is looked at, and its content
is read once, if it is LIGHT. Of a larger one only the times of its folders are: a file that comes,
goes or gets another name changes its folder's, while one that is overwritten in place does not, and
is seen when a run next opens the data.
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import json
import os
import re
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import DataError, StoreError
from harness.imagefolder import walk_class
from harness.presence import DOWNLOADED
from harness.store import atomic

if TYPE_CHECKING:
    from harness.recipe.schema import Recipe

FEW = 20_000
"""Files of an image folder, up to which each is looked at every time."""
LIGHT = 64 << 20
"""Bytes of all of them, up to which their contents are compared as well."""
SETTLED_S = 2.0
"""A time that was younger when it was seen may belong to more than one state."""
PATIENCE_S = 20.0
"""Seconds after which a look at a large folder is broken off; the next goes on from there."""

PARTS = ("train", "val")
OF_SETS = re.compile(r"data_batch_\d|test_batch|train|test|(train|test|unlabeled)_[Xy]\.bin")
"""The files of a torchvision data set that hold images or labels."""


class Image(NamedTuple):
    """One image of a class."""

    name: str
    """<folder>/<file>: its last two names."""
    size: int
    path: str
    """Its file; "" in a pack."""
    crc: int
    """CRC-32 of the file; -1: not read."""


class Inputs:
    """Looks at inputs, each once; a `harness.store.stale.Look`."""

    def __init__(self, root: Path | None, runs: Path, patience_s: float = PATIENCE_S) -> None:
        """
        Args:
            root: the data root; None, or where it lacks an input: the place where the stage read it.
            runs: the run root, below which it is noted what was seen.
        """
        self._root, self._notes = root, runs / ".inputs"
        self._until = time.monotonic() + patience_s
        self._seen: dict[tuple[str, ...], dict[str, Any] | None] = {}
        self.unfinished: dict[str, None] = {}
        """Folders that are too large to have been looked at in time: they count as not known."""

    def __call__(self, what: str, said: Mapping[str, Any]) -> dict[str, Any] | None:
        name, path = str(said.get("name", "")), str(said.get("path", ""))
        places = [self._root / name] if self._root is not None and name else []
        places += [Path(path)] if path.startswith("/") else []
        there = os.path.isdir if what == "data" else os.path.isfile
        place = next((place for place in places if there(place)), None)
        if place is None:
            return None
        images = said.get("images")
        few = type(images) is int and images <= FEW
        key = what, str(place), name, str(said.get("of")), str(few)
        if key not in self._seen:
            self._seen[key] = self._now(what, name, place, str(said.get("of")), each=few)
        return self._seen[key]

    def _now(
        self, what: str, name: str, place: Path, of: str, *, each: bool
    ) -> dict[str, Any] | None:
        about = {"name": name, "path": os.path.abspath(place)}
        try:
            note = _Note(self._notes, place)
            if what == "weights":
                found = _weights(place, note)
            elif of == "set":
                found = _downloaded(place)
            elif (place / "pack.json").is_file():
                found = _pack(place, note)
            else:
                found = _folder(place, note, each=each, until=self._until)
            note.write()
        except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
            return None  # it cannot be read, or is none: a run says why
        except TimeoutError_:
            note.write()
            self.unfinished[str(place)] = None
            return None
        return found and {**about, **found}

    def of(self, recipe: Recipe) -> dict[str, Any]:
        """What a result says of its inputs, as they are now: every file is looked at.

        Generated images are the code's: there is nothing to look at.
        """
        self._until = float("inf")
        wanted: dict[str, tuple[str, str]] = {}
        if recipe.data.folder is not None:
            wanted["data"] = recipe.data.folder, ""
        elif recipe.data.name in DOWNLOADED:
            wanted["data"] = DOWNLOADED[recipe.data.name][0], "set"
        if recipe.model.weights is not None:
            wanted["weights"] = recipe.model.weights.file, ""
        assert self._root is not None
        found = {
            what: self._now(what, name, self._root / name, of, each=True)
            for what, (name, of) in wanted.items()
        }
        return {what: said for what, said in found.items() if said is not None}
