"""What a finished stage shows of its network: albums of pictures, and numbers that reports draw.

RUNS/<stage id>/look.json holds all but the pictures, which are RUNS/<stage id>/look/<album>-<row>-
<column>.png. Neither is part of a result: a stage without them is complete.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from harness.errors import StoreError
from harness.output import escaped_json
from harness.store import atomic
from harness.store.pictures import LARGEST, LENGTH, why_not_png

FILE, FOLDER = "look.json", "look"
SCHEMA = 1

OF = ("attempt", "weights")
"""What of the stage's result tells that the pictures belong to it."""

BYTES = 1 << 20
"""Most bytes of look.json."""
MOST = 2000
"""Most points of a plane."""
FEW = 40
"""Most rows, columns, classes, series, and shapes of one kind."""
BINS = 200
GREATEST = 1e9
"""Of the numbers: with far greater ones a drawing overflows."""

T = TypeVar("T")


@dataclass(frozen=True)
class Thumbnail:
    """One picture: what it shows for readers who do not see it, and the words below it."""

    png: bytes
    says: str
    below: str = ""


@dataclass(frozen=True)
class Album:
    """Pictures in rows, under headings."""

    name: str
    title: str
    """The heading in a report."""
    about: str
    """What is shown and how it was chosen, in sentences."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Thumbnail, ...]], ...]
    """(heading, a picture for each column)."""


@dataclass(frozen=True)
class Plane:
    """Points in the plane, each of a group."""

    name: str
    title: str
    about: str
    axes: tuple[str, str]
    """What x and y are."""
    groups: tuple[str, ...]
    points: tuple[tuple[float, float, int], ...]
    """(x, y, number of its group)."""


@dataclass(frozen=True)
class Confusion:
    """How often a class was taken for another."""

    name: str
    title: str
    about: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """A row for each true class, a column for each class it was taken for."""


@dataclass(frozen=True)
class Histogram:
    """Shares of values in bins of one width."""

    name: str
    title: str
    about: str
    axis: str
    edges: tuple[float, ...]
    series: tuple[tuple[str, tuple[float, ...]], ...]
    """(name, share of its values in each bin)."""


_Head = tuple[str, str, str]
"""Name, title and words of a shape."""

Shape = Album | Plane | Confusion | Histogram


@dataclass(frozen=True)
class Look:
    """All that a stage shows."""

    shapes: tuple[Shape, ...]

    def of(self, kind: type[T]) -> dict[str, T]:
        """Its shapes of one kind by name."""
        return {each.name: each for each in self.shapes if isinstance(each, kind)}

    def without_images(self) -> Look:
        """Only what shows no image of the data."""
        return replace(self, shapes=tuple(s for s in self.shapes if not isinstance(s, Album)))


def files(look: Look, result: Mapping[str, Any]) -> dict[str, bytes]:
    """Path in the stage's folder -> content.

    Args:
        result: the stage's result.
    """
    albums = look.of(Album).values()
    found = {path: thumbnail.png for album in albums for path, thumbnail in _placed(album)}
    said = {
        "schema": SCHEMA,
        "of": {key: result.get(key) for key in OF},
        **{
            key: [
                {"name": each.name, "title": each.title, "about": each.about, **say(each)}
                for each in shapes
            ]
            for key, (kind, say, _) in _KINDS.items()
            if (shapes := look.of(kind).values())
        },
    }
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return found | {FILE: atomic.encoded(escaped_json(text) + "\n")}


def keep(stage: Path, look: Look, result: Mapping[str, Any]) -> None:
    """Write the files into the stage's folder.

    Raises:
        StoreError: the folder cannot be written.
    """
    found = files(look, result)
    said = found.pop(FILE)
    try:
        (stage / FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise atomic.write_error(error, stage / FOLDER) from error
    for path, content in found.items():  # replaced, as a link would be: never written through
        atomic.write(stage / path, partial(_fill, content))
    atomic.write(stage / FILE, lambda file: file.write(said))


def read(stage: Path, result: Mapping[str, Any]) -> Look | None:
    """What the stage shows, checked; None if it shows nothing, or nothing of this result.

    Raises:
        StoreError: look.json does not describe it, or a picture is missing, too large, not a PNG
            file, or not the one that was written.
    """
    path = stage / FILE
    try:
        with atomic.opened(path) as file:
            text = file.read(BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise atomic.unread(error, path) from error
    if len(text) > BYTES:
        raise StoreError(f"{path}: larger than {BYTES} bytes")
    try:
        said = json.loads(text)
        if said["schema"] != SCHEMA or said["of"] != {key: result.get(key) for key in OF}:
            return None
        shapes = tuple(
            made((_name(each["name"]), _text(each["title"]), _text(each["about"])), each, stage)
            for key, (_, _, made) in _KINDS.items()
            for each in _few(said.get(key, []))
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not a description of pictures ({error})") from error
    return Look(shapes)


def _fill(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def _placed(album: Album) -> Iterator[tuple[str, Thumbnail]]:
    for row, (_, thumbnails) in enumerate(album.rows, 1):
        for column, each in enumerate(thumbnails, 1):
            yield f"{FOLDER}/{album.name}-{row}-{column}.png", each


def _say_album(album: Album) -> dict[str, Any]:
    return {
        "columns": album.columns,
        "rows": [
            {
                "name": name,
                "pictures": [
                    {
                        "sha256": hashlib.sha256(each.png).hexdigest(),
                        "says": each.says,
                        "below": each.below,
                    }
                    for each in row
                ],
            }
            for name, row in album.rows
        ],
    }


def _read_album(head: _Head, said: Mapping[str, Any], stage: Path) -> Album:
    columns, rows = tuple(map(_text, _few(said["columns"]))), []
    for n, row in enumerate(_few(said["rows"]), 1):
        if len(row["pictures"]) != len(columns):
            raise ValueError("a row without a picture for each column")
        pictures = [
            _thumbnail(stage / FOLDER / f"{head[0]}-{n}-{column}.png", each)
            for column, each in enumerate(row["pictures"], 1)
        ]
        rows.append((_text(row["name"]), tuple(pictures)))
    return Album(*head, columns, tuple(rows))


def _thumbnail(path: Path, said: Mapping[str, Any]) -> Thumbnail:
    try:
        with atomic.opened(path) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise atomic.unread(error, path) from error
    if why := why_not_png(content):
        raise StoreError(f"{path}: {why}")
    if hashlib.sha256(content).hexdigest() != said["sha256"]:
        raise StoreError(f"{path}: not the picture that the stage wrote")
    return Thumbnail(content, _text(said["says"]), _text(said["below"]))


def _say_plane(plane: Plane) -> dict[str, Any]:
    return {"axes": plane.axes, "groups": plane.groups, "points": plane.points}


def _read_plane(head: _Head, said: Mapping[str, Any], _: Path) -> Plane:
    x, y = map(_text, _few(said["axes"]))
    groups = tuple(map(_text, _some(said["groups"])))
    points = tuple(
        (_number(across), _number(up), _count(group, len(groups) - 1))
        for across, up, group in _few(said["points"], MOST)
    )
    return Plane(*head, (x, y), groups, points)


def _say_confusion(confusion: Confusion) -> dict[str, Any]:
    return {"classes": confusion.classes, "counts": confusion.counts}


def _read_confusion(head: _Head, said: Mapping[str, Any], _: Path) -> Confusion:
    classes = tuple(map(_text, _some(said["classes"])))
    counts = tuple(tuple(map(_count, _few(row))) for row in _few(said["counts"]))
    if {len(counts), *map(len, counts)} != {len(classes)}:
        raise ValueError("not a square of counts")
    return Confusion(*head, classes, counts)


def _say_histogram(histogram: Histogram) -> dict[str, Any]:
    return {"axis": histogram.axis, "edges": histogram.edges, "series": histogram.series}


def _read_histogram(head: _Head, said: Mapping[str, Any], _: Path) -> Histogram:
    edges = tuple(map(_number, _some(said["edges"], BINS)))
    if any(left >= right for left, right in pairwise(edges)):
        raise ValueError("bins that do not follow each other")
    series = tuple(
        (_text(each), tuple(map(_number, _few(shares, BINS))))
        for each, shares in _some(said["series"])
    )
    if any(len(shares) != len(edges) - 1 for _, shares in series):
        raise ValueError("not a share for each bin")
    return Histogram(*head, _text(said["axis"]), edges, series)


_KINDS: dict[str, tuple[type[Shape], Callable[[Any], dict[str, Any]], Callable[..., Shape]]] = {
    "albums": (Album, _say_album, _read_album),
    "planes": (Plane, _say_plane, _read_plane),
    "confusions": (Confusion, _say_confusion, _read_confusion),
    "histograms": (Histogram, _say_histogram, _read_histogram),
}


def _few(said: object, most: int = FEW) -> list[Any]:
    if not isinstance(said, list) or len(said) > most:
        raise ValueError(f"not a list of at most {most}")
    return said


def _some(said: object, most: int = FEW) -> list[Any]:
    if not (found := _few(said, most)):
        raise ValueError("an empty list")
    return found


def _name(said: object) -> str:
    if not isinstance(said, str) or not re.fullmatch("[a-z]{1,40}", said):
        raise ValueError("not a name")
    return said


def _text(said: object) -> str:
    if not isinstance(said, str):
        raise TypeError("not a text")
    return said[:LENGTH]


def _number(said: object) -> float:
    # compared first: an integer of hundreds of digits is no float
    if not isinstance(said, int | float) or isinstance(said, bool) or not abs(said) <= GREATEST:
        raise ValueError("not a number")
    return float(said)


def _count(said: object, most: int = 10**9) -> int:
    if type(said) is not int or not 0 <= said <= most:
        raise ValueError("not a count")
    return said
