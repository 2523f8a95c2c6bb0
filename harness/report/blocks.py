"""The parts a report is made of, before it becomes Markdown or HTML: plain text throughout.

Nothing here is markup. A renderer escapes every string, so that no run's name or message can put
any into a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "good", "bad", "unsure", "quiet", "code"]
"""How a piece of text is to be seen; a renderer may ignore it, the words say it too."""


@dataclass(frozen=True)
class Text:
    """A piece of text; lines are kept."""

    text: str
    tone: Tone = "plain"
    target: str = ""
    """Anchor in the same page that it leads to."""


@dataclass(frozen=True)
class Row:
    """A table's row, and the anchor by which others lead to it."""

    cells: tuple[Text, ...]
    anchor: str = ""
    emphasis: bool = False
    """Set apart from the others, e.g. the control."""


@dataclass(frozen=True)
class Table:
    """A table; columns in `numeric` are set right, `cards` makes rows cards on narrow screens."""

    head: tuple[str, ...]
    """Column headings; lines are kept."""
    rows: tuple[Row, ...]
    numeric: frozenset[int] = frozenset()
    cards: bool = False


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
