"""The blocks that a report is made of, before it becomes Markdown or HTML: plain text throughout.

Nothing here is markup. A renderer escapes every string, so that no run's name or message can put
any into a page.
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
    """A paragraph that must not be overlooked."""

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
    """Numbers that a figure draws, for programs."""

    label: str
    columns: tuple[str, ...]
    points: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A drawing: its file's stem, its SVG (with svg.INK as ink), what it shows, its numbers."""

    name: str
    svg: str
    caption: str
    alt: str
    data: tuple[Series, ...] = ()


Block = Table | Paragraph | Notice | Items | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what follows; without a heading it belongs to the title."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    title: str
    sections: tuple[Section, ...]
