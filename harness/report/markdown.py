"""A report as Markdown, as GitHub renders it."""

from __future__ import annotations

import re

from harness.output import inert
from harness.report.blocks import (
    Block,
    Document,
    Figure,
    Folded,
    Gallery,
    Items,
    Notice,
    Paragraph,
    Picture,
    Section,
)
from harness.report.table import Cell, Row, Table
from harness.report.table_text import heading, text


def render(document: Document) -> str:
    """The report's text; it refers to its figures as files <name>.svg in the same folder."""
    parts = [f"# {escape(document.title)}"]
    for section in document.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    heading = [f"## {escape(section.heading)}"] if section.heading else []
    return heading + [_block(block) for block in section.blocks]


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return escape(block.text)
        case Notice():
            return f"> **{escape(block.label)}.** {escape(block.text)}"
        case Items():
            return "\n".join(f"- {escape(item)}" for item in block.items)
        case Figure():
            return f"![{escape(block.alt)}]({block.name}.svg)\n\n*{escape(block.caption)}*"
        case Gallery():
            return _gallery(block)
        case Folded():
            title = f"<summary>{escape(block.title)}</summary>"
            return f"<details>\n{title}\n\n{_table(block.table)}\n\n</details>"
        case Table():
            return _table(block)


def _gallery(gallery: Gallery) -> str:
    lines = [f"*{escape(gallery.caption)}*", ""] if gallery.caption else []
    lines.append(_line([escape(gallery.corner), *map(_cell, gallery.columns)]))
    lines.append(_line(["---"] * (1 + len(gallery.columns))))
    for name, row in gallery.rows:
        lines.append(_line([escape(name), *(_picture(each) if each else "–" for each in row)]))
    if gallery.legend:
        names = ", ".join(name for name, _ in gallery.legend)
        lines += ["", f"![{escape(f'Colours: {names}')}]({gallery.name}-legend.svg)"]
    return "\n".join(lines)


def _picture(picture: Picture) -> str:
    below = f"<br>{escape(picture.below)}" if picture.below else ""
    return f"![{escape(picture.alt)}]({picture.name}.png){below}"


def _table(table: Table) -> str:
    rules = ["---:" if column.align == "right" else "---" for column in table.columns]
    lines = [_line([_lines(heading(column)) for column in table.columns]), _line(rules)]
    lines += [_row(row) for row in table.rows]
    return "\n".join(lines)


def _row(row: Row) -> str:
    words = [_cell(cell) for cell in row.cells]
    return _line([f"*{said}*" if row.emphasis and n == 0 else said for n, said in enumerate(words)])


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell) -> str:
    said = text(cell)
    words = _lines(said.text)
    return f"**{words}**" if said.tone in ("good", "bad") else words


def _lines(plain: str) -> str:
    return "<br>".join(escape(line) for line in plain.split("\n"))


def escape(plain: str) -> str:
    """Plain text with all Markdown characters escaped, on one line."""
    words = inert(re.sub(r"\s+", " ", plain)).strip()
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    words = re.sub(r"([\\`*|\[\]~$])", r"\\\1", words)
    words = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", words)  # inside words it is plain
    words = re.sub(r"(?<=\s)(#+)$", r"\\\1", words)  # no end of a heading,
    words = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", words)  # no list,
    return re.sub(r"^([#+-](?=\s|$)|=+$|-+$)", r"\\\1", words)  # and no heading or rule
