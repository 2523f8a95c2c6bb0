"""How long stages take that share a machine."""

from __future__ import annotations

import pytest

from harness.makespan import Part, makespan


@pytest.mark.parametrize(("at_once", "seconds"), [(1, 90.0), (2, 50.0), (3, 40.0), (9, 40.0)])
def test_stages_at_once_share_the_work(at_once: int, seconds: float) -> None:
    """Two runs with two children each: a child begins when its parent has ended."""
    parts = [
        Part("a", None, 20),
        Part("a.knn", "a", 10),
        Part("a.linear", "a", 20),
        Part("b", None, 10),
        Part("b.knn", "b", 10),
        Part("b.linear", "b", 20),
    ]
    assert makespan(parts, at_once) == seconds
    alone = [Part("a.knn", "a", 10), Part("b.knn", "b", 10)]
    assert makespan(alone, 2) == 10, "their parents have ended before"
