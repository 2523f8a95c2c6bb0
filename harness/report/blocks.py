"""The blocks of a report before it becomes Markdown or HTML: plain text throughout.

Nothing here is markup. A renderer escapes every string, so no run's name or message can add markup
to a page.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.table import Table, Tone


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
    points: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A drawing: file name without suffix, SVG (with svg.INK as ink), caption, and its numbers."""

    name: str
    svg: str
    caption: str
    alt: str
    data: tuple[Series, ...] = ()


Block = Table | Paragraph | Notice | Items | Figure


@dataclass(frozen=True)
class Section:
    """A heading and its blocks; without a heading they belong to the title."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    title: str
    sections: tuple[Section, ...]
