"""A report as one page that needs nothing else: no script, no font, no address outside it."""

from __future__ import annotations

import html

from harness.output import inert
from harness.report import svg
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
from harness.report.style import CSS


def render(document: Document) -> str:
    """The whole page; every string of the document is escaped."""
    body = "\n".join(_section(section) for section in document.sections)
    title = escape(document.title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Plain text whose every character stands for itself."""
    return html.escape(inert(text))


def _section(section: Section) -> str:
    heading = f"<h2>{escape(section.heading)}</h2>\n" if section.heading else ""
    blocks = section.blocks
    if blocks and all(isinstance(block, Figure) for block in blocks):
        inner = '<div class="figures">\n' + "\n".join(map(_block, blocks)) + "\n</div>"
    else:
        inner = "\n".join(map(_block, blocks))
    return f"<section>\n{heading}{inner}\n</section>"


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return f'<p class="{block.tone}">{escape(block.text)}</p>'
        case Notice():
            label = f"<strong>{escape(block.label)}.</strong>"
            return f'<p class="notice {block.tone}">{label} {escape(block.text)}</p>'
        case Items():
            items = "\n".join(f"<li>{escape(item)}</li>" for item in block.items)
            return f"<ul>\n{items}\n</ul>"
        case Figure():
            drawing = svg.inline(block.svg, block.alt)
            return f"<figure>\n{drawing}<figcaption>{escape(block.caption)}</figcaption>\n</figure>"
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    classes = [' class="number"' if n in table.numeric else "" for n in range(len(table.head))]
    head = "".join(
        f'<th scope="col"{cls}>{_lines(text)}</th>'
        for cls, text in zip(classes, table.head, strict=True)
    )
    rows = "\n".join(_row(row, table, classes) for row in table.rows)
    names = ["cards"] * table.cards + ["numbers"] * bool(table.numeric)
    kind = f' class="{" ".join(names)}"' if names else ""
    return (
        f'<div class="scroll">\n<table{kind}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def _row(row: Row, table: Table, classes: list[str]) -> str:
    attributes = f' id="{escape(row.anchor)}"' if row.anchor else ""
    attributes += ' class="emphasis"' if row.emphasis else ""
    cells = []
    for n, (text, head) in enumerate(zip(row.cells, table.head, strict=True)):
        label = f' data-label="{escape(" ".join(head.split()))}"' if table.cards else ""
        tag, scope = ("th", ' scope="row"') if n == 0 else ("td", classes[n])
        cells.append(f"<{tag}{scope}{label}>{_text(text)}</{tag}>")
    return f"<tr{attributes}>{''.join(cells)}</tr>"


def _text(text: Text) -> str:
    words = _lines(text.text)
    if text.tone != "plain":
        words = f'<span class="{text.tone}">{words}</span>'
    return f'<a href="#{escape(text.target)}">{words}</a>' if text.target else words


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.split("\n"))
