"""Figures of reports: in a process of tests each is drawn once.

To draw takes longer than all else that a tiny run does. What a drawing is made from is compared
whole, so that a test gets what it would draw.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from harness.report import curves_figure, look_figures
from harness.report.curves_figure import Line

DRAWING = (
    (curves_figure, "_draw"),
    (look_figures, "_plane"),
    (look_figures, "_confusion"),
    (look_figures, "_histogram"),
)


def _of_lines(name: str, what: str, lines: Sequence[Line], *more: Any) -> str:
    """All that is drawn of lines: of a cell, its id and its label."""
    said = [(x.cell.id, x.cell.label, x.curves, x.broken, x.printed) for x in lines]
    return repr((name, what, said, more))


def _of_shape(*what: Any) -> str:
    return repr(what)


def _once(draw: Callable[..., Any]) -> Callable[..., Any]:
    drawn: dict[str, Any] = {}
    key_of = _of_lines if draw is curves_figure._draw else _of_shape

    @functools.wraps(draw)
    def remembered(*what: Any) -> Any:
        key = key_of(*what)
        if key not in drawn:
            drawn[key] = draw(*what)
        return drawn[key]

    return remembered


@pytest.fixture(scope="session", autouse=True)
def _each_figure_is_drawn_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, name in DRAWING:
            patch.setattr(module, name, _once(getattr(module, name)))
        yield


@pytest.fixture
def drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test of drawing itself."""
    for module, name in DRAWING:
        monkeypatch.setattr(module, name, getattr(module, name).__wrapped__)
