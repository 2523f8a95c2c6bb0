"""The blocks of a report before it becomes Markdown or HTML: plain text throughout.

Nothing here is markup. A renderer escapes every string, so no run's name or message can add markup
to a page.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.table import Table, Text, Tone


@dataclass(frozen=True)
class Paragraph:
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Notice:
    """A paragraph of high importance, such as a warning."""

    label: str
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[str, ...]
    tone: Tone = "plain"


@dataclass(frozen=True)
class Series:
    """Numbers behind a figure, for programs."""

    label: str
    columns: tuple[str, ...]
    points: tuple[tuple[float | None, ...], ...]
    """None: there is no such number, as the deviation of one seed."""


@dataclass(frozen=True)
class Figure:
    """A drawing: file name without suffix, SVG (with svg.INK as ink), caption, and its numbers."""

    name: str
    svg: str
    caption: str
    alt: str
    data: tuple[Series, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A checked PNG file: its name without suffix, its content, and its text alternative."""

    name: str
    png: bytes
    alt: str
    below: str = ""
    """Words that stand below it."""


@dataclass(frozen=True)
class Gallery:
    """Pictures in rows under headings, and a legend of (name, colour as "#rrggbb"), () if there is
    none. None: there is no picture to show."""

    name: str
    columns: tuple[Text, ...]
    rows: tuple[tuple[str, tuple[Picture | None, ...]], ...]
    legend: tuple[tuple[str, str], ...] = ()
    corner: str = "test image"
    """The heading of the rows' names."""
    caption: str = ""
    small: bool = False
    """Whether it stands beside others where there is room."""

    @property
    def pictures(self) -> list[Picture]:
        return [each for _, row in self.rows for each in row if each is not None]


@dataclass(frozen=True)
class Folded:
    """A table that a reader unfolds."""

    title: str
    table: Table


Block = Table | Paragraph | Notice | Items | Figure | Gallery | Folded


@dataclass(frozen=True)
class Section:
    """A heading and its blocks; without a heading they belong to the title."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    title: str
    sections: tuple[Section, ...]
