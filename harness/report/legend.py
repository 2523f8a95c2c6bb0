"""A legend of colours as a drawing, for Markdown, which has no colours of its own."""

from __future__ import annotations

import html
from collections.abc import Sequence

from harness.output import inert
from harness.report import svg

WIDE, LINE, SIGN = 720, 24, 7.5
"""Pixels: of the drawing, of a line, and about of a letter."""


def drawn(legend: Sequence[tuple[str, str]]) -> str:
    """An SVG file: a square of each colour beside its name, in as many columns as fit.

    Args:
        legend: (name, colour as "#rrggbb"); names are escaped here.
    """
    longest = max((len(name) for name, _ in legend), default=1)
    columns = max(1, min(len(legend), int(WIDE / (longest * SIGN + 40))))
    each = WIDE / columns
    marks = []
    for n, (name, colour) in enumerate(legend):
        x, y = n % columns * each, n // columns * LINE
        marks.append(
            f' <rect x="{x + 4:g}" y="{y + 5}" width="14" height="14" fill="{html.escape(colour)}" '
            f'stroke="{svg.INK}" stroke-opacity="0.4"/>\n <text x="{x + 26:g}" y="{y + 17}" '
            f'fill="{svg.INK}" font-family="sans-serif" font-size="13">'
            f"{html.escape(inert(name))}</text>"
        )
    tall = -(-len(legend) // columns) * LINE
    body = "\n".join(marks)
    names = ", ".join(name for name, _ in legend)
    return svg.standalone(
        f'<svg viewBox="0 0 {WIDE} {tall}">\n{body}\n</svg>\n', f"Colours: {names}"
    )
