"""Convert a matplotlib figure to one SVG element: the same drawing gives the same bytes.

Ink is the placeholder INK, which a page replaces by its own text colour.
"""

from __future__ import annotations

import html
import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.output import inert

INK = "#010203"
"""A colour used for nothing else: `currentColor` in a page, dark in a file."""

COLUMNS = 4
"""Maximum number of columns of a legend."""
SIGNS_AN_INCH = 13
"""Approximate number of a label's characters per inch."""
HANDLE = 7
"""Width of the line before a label, in characters."""

STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.formatter.useoffset": False,
}


# Without a home folder for its font cache, matplotlib warns at each start. The warning is harmless.
logging.getLogger("matplotlib").setLevel(logging.ERROR)


class Drawing:
    """A matplotlib figure that becomes an SVG."""

    def __init__(self, salt: str) -> None:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        self._salt = salt
        self.figure = Figure(figsize=(6.0, 4.2), layout="constrained")
        self._canvas = FigureCanvasSVG(self.figure)
        self.figure.patch.set_alpha(0)
        self.axes: Any = self.figure.add_subplot()
        self.axes.patch.set_alpha(0)
        self.axes.spines[["top", "right"]].set_visible(False)
        self.axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)

    def legend(self, handles: list[Any]) -> None:
        """Place the legend below the axes, in as many columns as fit; labels are not parsed as
        math."""
        longest = max(len(handle.get_label()) for handle in handles)
        room = self.figure.get_figwidth() * SIGNS_AN_INCH
        columns = max(1, min(COLUMNS, int(room / (longest + HANDLE))))
        legend = self.figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, frameon=False
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # a dollar sign in a label is no math

    def svg(self) -> str:
        """The drawing as one element, without addresses and without ids that could clash."""
        out = io.StringIO()
        self._canvas.print_svg(  # type: ignore[no-untyped-call]
            out, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
        return _tidy(out.getvalue(), self._salt)


@contextmanager
def drawing(salt: str) -> Iterator[Drawing]:
    """A drawing in the reports' style.

    `salt` makes its inner ids unique; the same salt gives the same bytes.
    """
    from matplotlib import style

    with style.context(["default", {**STYLE, "svg.hashsalt": salt}]):
        yield Drawing(salt)


def _tidy(svg: str, salt: str) -> str:
    """One <svg> element that can stand in a page: no prologue, no addresses, no clashing ids."""
    svg = inert(svg[svg.index("<svg") :].strip())
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{salt}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{salt}-", svg)
    return (
        re.sub(
            r'<svg [^>]*viewBox="([^"]*)"[^>]*>',
            r'<svg viewBox="\1" stroke-linejoin="round">',
            svg,
            count=1,
        )
        + "\n"
    )


def inline(svg: str, label: str) -> str:
    """The drawing as part of a page, with the page's text colour as ink. `label` is escaped
    here."""
    return _open(svg, f'role="img" aria-label="{html.escape(inert(label))}"').replace(
        INK, "currentColor"
    )


def standalone(svg: str, label: str) -> str:
    """The drawing as a file, dark on white, readable on any background."""
    width, height = re.findall(r"[\d.]+", svg[: svg.index(">")])[2:4]
    opened = _open(
        svg,
        f'xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt" role="img" '
        f'aria-label="{html.escape(inert(label))}"',
    )
    end = opened.index(">") + 1
    paper = '\n <rect width="100%" height="100%" fill="#ffffff"/>'
    return opened[:end] + paper + opened[end:].replace(INK, "#222222")


def _open(svg: str, attributes: str) -> str:
    return svg.replace("<svg ", f"<svg {attributes} ", 1)
