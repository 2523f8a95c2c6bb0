"""Drawings of what a finished stage shows: points in the plane, a confusion matrix, a histogram."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from harness.report.blocks import Figure, Series
from harness.report.colours import MARKERS, PALETTE
from harness.report.svg import INK, drawing
from harness.store.look import Confusion, Histogram, Plane, Shape

DARKEST = 0.75
"""Opacity of a matrix entry of 100 %: numbers in the page's ink stay readable on it."""
WRITTEN = 12
"""Up to so many classes, each entry of a matrix has its number."""
NAMED = 3
"""Confusions that a text alternative names."""


def figure(name: str, shape: Shape, caption: str) -> Figure:
    """The shape as a figure.

    Raises:
        TypeError: it is an album, whose pictures are not drawn.
    """
    match shape:
        case Plane():
            return _plane(name, shape, caption)
        case Confusion():
            return _confusion(name, shape, caption)
        case Histogram():
            return _histogram(name, shape, caption)
    raise TypeError(f"{shape.name}: an album is not drawn")


def _plane(name: str, plane: Plane, caption: str) -> Figure:
    with drawing(name) as drawn:
        axes, handles = drawn.axes, []
        for n, group in enumerate(plane.groups):
            own = [(x, y) for x, y, number in plane.points if number == n]
            x, y = zip(*own, strict=True) if own else ((), ())
            handles += axes.plot(
                x, y, label=_label(group), color=PALETTE[n % len(PALETTE)], linestyle="none",
                marker=MARKERS[n % len(MARKERS)], markersize=4.5, alpha=0.8, markeredgewidth=0,
            )  # fmt: skip
        axes.set_xlabel(plane.axes[0])
        axes.set_ylabel(plane.axes[1], labelpad=8)
        drawn.legend(handles)
        made = drawn.svg()
    centres = []
    for n, group in enumerate(plane.groups):
        own = [(x, y) for x, y, number in plane.points if number == n]
        if own:
            middle = (sum(each) / len(own) for each in zip(*own, strict=True))
            centres.append(f"{group} ({', '.join(f'{value:.2f}' for value in middle)})")
    alt = f"{_sentence(caption)} Centres of the classes: {'; '.join(centres)}."
    series = [
        Series(group, ("x", "y"), tuple((x, y) for x, y, number in plane.points if number == n))
        for n, group in enumerate(plane.groups)
    ]
    return Figure(name, made, caption, alt, tuple(series))


def _confusion(name: str, confusion: Confusion, caption: str) -> Figure:
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion.counts]
    classes, size = [_label(each) for each in confusion.classes], len(confusion.classes)
    with drawing(name) as drawn:
        axes: Any = drawn.axes
        axes.grid(visible=False)
        for row in range(size):
            for column in range(size):
                share = shares[row][column]
                if share:
                    axes.add_patch(
                        _square(column, row, PALETTE[0], DARKEST * share if share > 0.005 else 0)
                    )
                if size <= WRITTEN and round(100 * share):
                    axes.text(
                        column + 0.5, row + 0.5, f"{100 * share:.0f}", ha="center", va="center",
                        fontsize=8, color=INK, parse_math=False,
                    )  # fmt: skip
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        places = [n + 0.5 for n in range(size)]
        small = {"fontsize": 8, "parse_math": False}
        axes.set_xticks(places, classes, rotation=45, ha="right", rotation_mode="anchor", **small)
        axes.set_yticks(places, classes, **small)
        axes.tick_params(length=0)
        axes.set_xlabel("taken for")
        axes.set_ylabel("true class", labelpad=8)
        made = drawn.svg()
    caption += " Numbers are percent of the true class." if size <= WRITTEN else ""
    wrong = sorted(
        (-confusion.counts[row][column], row, column)
        for row in range(size)
        for column in range(size)
        if row != column and confusion.counts[row][column]
    )
    most = "; ".join(
        f"{confusion.classes[row]} for {confusion.classes[column]} {-count} times"
        for count, row, column in wrong[:NAMED]
    )
    alt = f"{caption} Most often taken: {most}." if most else f"{caption} No class is confused."
    series = [
        Series(each, confusion.classes, (tuple(map(float, row)),))
        for each, row in zip(confusion.classes, confusion.counts, strict=True)
    ]
    return Figure(name, made, caption, alt, tuple(series))


def _square(x: float, y: float, colour: str, opacity: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 1, 1, facecolor=colour, alpha=opacity, linewidth=0)


def _histogram(name: str, histogram: Histogram, caption: str) -> Figure:
    edges = histogram.edges
    middles = [(left + right) / 2 for left, right in pairwise(edges)]
    means = []
    with drawing(name) as drawn:
        axes, handles = drawn.axes, []
        for n, (label, shares) in enumerate(histogram.series):
            colour = PALETTE[n % len(PALETTE)]
            look = {"color": colour, "linewidth": 1.5, "linestyle": ("-", "--", ":")[n % 3]}
            percent = [100 * share for share in shares]
            handles.append(axes.stairs(percent, edges, label=_label(label), **look))
            axes.stairs(percent, edges, fill=True, color=colour, alpha=0.18)
            mean = sum(x * share for x, share in zip(middles, shares, strict=True))
            means.append(f"{label} {mean:.2f}")
        axes.set_xlabel(histogram.axis)
        axes.set_ylabel("share, %", labelpad=8)
        drawn.legend(handles)
        made = drawn.svg()
    alt = f"{_sentence(caption)} Means: {'; '.join(means)}."
    series = [
        Series(label, ("middle", "share"), tuple(zip(middles, shares, strict=True)))
        for label, shares in histogram.series
    ]
    return Figure(name, made, caption, alt, tuple(series))


def _sentence(caption: str) -> str:
    return caption if caption.endswith(".") else f"{caption}."


def _label(text: str) -> str:
    """matplotlib leaves labels with a leading underscore out of a legend."""
    return f" {text}" if text.startswith("_") else text
