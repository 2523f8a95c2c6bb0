"""A report as one self-contained HTML page: no script, font or address outside it."""

from __future__ import annotations

import base64
import functools
import html
import itertools
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template

from harness.output import inert
from harness.report import svg
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
from harness.report.table import Cell, Column, Row, Table
from harness.report.table_text import heading, text

HERE = Path(__file__).parent
"""The folder of the page's template and styles: page.html, page.css and pictures.css."""

FEWEST = 3
"""A page with fewer sections has no contents list."""

MOST = 9
"""In a table with more columns, a difference stands below its number instead of beside it."""


_TOGETHER = re.compile(r"(?<=\d) (?=±)|(?<=±) |(?<=n) (?==)|(?<==) (?=\d)|(?<=to) (?=[+−-]?\d)")
"""Spaces at which a number would be torn apart: a narrow column breaks a line at the others."""


def render(document: Document) -> str:
    """The whole page; every string of the document is escaped."""
    body = _contents(document) + "\n".join(_section(section) for section in document.sections)
    blocks = [block for section in document.sections for block in section.blocks]
    sheets = ["page.css"]
    if any(isinstance(block, Gallery | Folded) for block in blocks):
        sheets.append("pictures.css")
    return _shell().render(
        title=inert(document.title),
        style="".join((HERE / name).read_text(encoding="utf-8") for name in sheets),
        body=body,
    )


@functools.cache
def _shell() -> Template:
    loader = FileSystemLoader(HERE)
    return Environment(loader=loader, autoescape=True, keep_trailing_newline=True).get_template(
        "page.html"
    )


def escape(plain: str) -> str:
    """Plain text with all HTML characters escaped."""
    return html.escape(inert(plain))


def _section(section: Section) -> str:
    title = ""
    if section.heading:
        title = f'<h2 id="{_anchor(section)}">{escape(section.heading)}</h2>\n'
    parts = []
    for drawn, blocks in itertools.groupby(section.blocks, _is_small):
        inner = "\n".join(map(_block, blocks))
        parts.append(f'<div class="figures">\n{inner}\n</div>' if drawn else inner)
    return f"<section>\n{title}" + "\n".join(parts) + "\n</section>"


def _is_small(block: Block) -> bool:
    """Whether it stands beside others of its kind where there is room."""
    return isinstance(block, Figure) or (isinstance(block, Gallery) and block.small)


def _anchor(section: Section) -> str:
    return "part-" + re.sub("[^a-z0-9]+", "-", section.heading.lower()).strip("-")


def _contents(document: Document) -> str:
    """Links to the sections; "" if there are few."""
    named = [section for section in document.sections if section.heading]
    if len(named) < FEWEST:
        return ""
    links = "\n".join(
        f'<li><a href="#{_anchor(each)}">{escape(each.heading)}</a></li>' for each in named
    )
    return f'<nav class="contents" aria-label="Contents">\n<ul>\n{links}\n</ul>\n</nav>\n'


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
        case Gallery():
            return _gallery(block)
        case Folded():
            title = f"<summary>{escape(block.title)}</summary>"
            return f"<details>\n{title}\n{_table(block.table)}\n</details>"
        case Table():
            return _table(block)


def _gallery(gallery: Gallery) -> str:
    columns = (escape(gallery.corner), *map(_cell, gallery.columns))
    head = "".join(f'<th scope="col">{each}</th>' for each in columns)
    rows = []
    for name, row in gallery.rows:
        cells = "".join(f"<td>{_picture(each) if each else '–'}</td>" for each in row)
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    colours = "\n".join(
        f'<li><span class="colour" style="background:{escape(colour)}"></span>{escape(name)}</li>'
        for name, colour in gallery.legend
    )
    body = "\n".join(rows)
    caption = f"<caption>{escape(gallery.caption)}</caption>\n" if gallery.caption else ""
    kind = "gallery album" if gallery.small else "gallery"
    made = (
        f'<div class="scroll">\n<table class="{kind}" style="--columns:{len(gallery.columns)}">\n'
        f"{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )
    return made + (f'\n<ul class="legend">\n{colours}\n</ul>' if gallery.legend else "")


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    below = f"<small>{escape(picture.below)}</small>" if picture.below else ""
    return f'<img src="data:image/png;base64,{data}" alt="{escape(picture.alt)}">{below}'


def _table(table: Table) -> str:
    groups = _groups(table)
    head = "".join(
        f'<th scope="col"{_number(column)}>{_lines(heading(column))}'
        + "".join(f"<small>{escape(_name(table.columns[n]))}</small>" for n in below)
        + "</th>"
        for column, below in ((table.columns[first], below) for first, *below in groups)
    )
    rows = "\n".join(_row(row, table, groups) for row in table.rows)
    numbers = any(column.align == "right" for column in table.columns)
    names = ["cards"] * table.cards + ["numbers"] * numbers + ["wide"] * _is_wide(table)
    kind = f' class="{" ".join(names)}"' if names else ""
    return (
        f'<div class="scroll">\n<table{kind}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def _groups(table: Table) -> list[list[int]]:
    """The table's columns, by the column of the page that shows them."""
    groups: list[list[int]] = []
    for n, column in enumerate(table.columns):
        if _is_wide(table) and column.kind in ("to the paper", "to untrained"):
            groups[-1].append(n)
        else:
            groups.append([n])
    return groups


def _is_wide(table: Table) -> bool:
    return len(table.columns) > MOST


def _name(column: Column) -> str:
    return " ".join(heading(column).split())


def _number(column: Column) -> str:
    return ' class="number"' if column.align == "right" else ""


def _row(row: Row, table: Table, groups: list[list[int]]) -> str:
    attributes = f' id="{escape(row.anchor)}"' if row.anchor else ""
    attributes += ' class="emphasis"' if row.emphasis else ""
    cells = []
    for first, *below in groups:
        column = table.columns[first]
        label = f' data-label="{escape(_name(column))}"' if table.cards else ""
        tag, scope = ("th", ' scope="row"') if first == 0 else ("td", _number(column))
        shown = _cell(row.cells[first])
        for n in below:
            label_below = escape(_name(table.columns[n]))
            shown += f'<small data-label="{label_below}">{_cell(row.cells[n])}</small>'
        if below:
            shown = f"<div>{_TOGETHER.sub('&nbsp;', shown)}</div>"
        cells.append(f"<{tag}{scope}{label}>{shown}</{tag}>")
    return f"<tr{attributes}>{''.join(cells)}</tr>"


def _cell(cell: Cell) -> str:
    said = text(cell)
    words = _lines(said.text)
    if said.tone != "plain":
        words = f'<span class="{said.tone}">{words}</span>'
    return f'<a href="#{escape(said.target)}">{words}</a>' if said.target else words


def _lines(plain: str) -> str:
    return "<br>".join(escape(line) for line in plain.split("\n"))
