"""A report as Markdown, as GitHub renders it."""

from __future__ import annotations

import re

from harness.output import inert
from harness.report.blocks import (
    Block,
    Document,
    Figure,
    Items,
    Notice,
    Paragraph,
    Row,
    Section,
    Table,
    Text,
)


def render(document: Document) -> str:
    """The report's text; its figures are the files <name>.svg beside it."""
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
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    rules = ["---:" if n in table.numeric else "---" for n in range(len(table.head))]
    lines = [_line([_lines(head) for head in table.head]), _line(rules)]
    lines += [_row(row) for row in table.rows]
    return "\n".join(lines)


def _row(row: Row) -> str:
    texts = [_text(cell) for cell in row.cells]
    return _line([f"*{text}*" if row.emphasis and n == 0 else text for n, text in enumerate(texts)])


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(text: Text) -> str:
    words = _lines(text.text)
    return f"**{words}**" if text.tone in ("good", "bad") else words


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.split("\n"))


def escape(text: str) -> str:
    """Plain text whose every character stands for itself, on one line."""
    text = inert(re.sub(r"\s+", " ", text)).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*|\[\]~$])", r"\\\1", text)
    text = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)  # inside words it is plain
    text = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text)  # no list,
    return re.sub(r"^([#+-](?=\s|$)|=+$|-+$)", r"\\\1", text)  # and no heading or rule
