from __future__ import annotations

import pytest

from harness.errors import RecipeError
from harness.recipe.tree import Node, Place, merge, overlay, placed

BASE, CHILD = Place("base.yaml", 1), Place("child.yaml", 2)


@pytest.mark.parametrize(
    ("base", "child", "merged"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}, id="child wins"),
        pytest.param({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}, id="deep"),
        pytest.param({"a": [1, 2]}, {"a": [3]}, {"a": [3]}, id="lists replace"),
        pytest.param({"a": {"x": 1}}, {"a": None}, {"a": None}, id="null replaces a section"),
        pytest.param({"a": None}, {"a": {"x": 1}}, {"a": {"x": 1}}, id="a section replaces null"),
        pytest.param(
            {"kind": "step", "drops": [1]}, {"kind": "cosine"}, {"kind": "cosine"}, id="other kind"
        ),
        pytest.param(
            {"kind": "step", "drops": [1]},
            {"kind": "step", "factor": 0.5},
            {"kind": "step", "drops": [1], "factor": 0.5},
            id="same kind",
        ),
        pytest.param(
            {"kind": "step", "drops": [1]},
            {"drops": [2]},
            {"kind": "step", "drops": [2]},
            id="kind from the base",
        ),
    ],
)
def test_merge(base: object, child: object, merged: object) -> None:
    assert merge(placed(base, BASE), placed(child, CHILD)).plain() == merged


def test_merge_keeps_places() -> None:
    merged = merge(placed({"a": {"x": 1, "y": 2}}, BASE), placed({"a": {"y": 3, "z": 4}}, CHILD))
    assert merged.places() == {
        (): BASE,
        ("a",): BASE,
        ("a", "x"): BASE,
        ("a", "y"): CHILD,
        ("a", "z"): CHILD,
    }


def test_nearest_ancestor() -> None:
    tree = Node({"a": Node([Node(1, CHILD)], BASE)}, BASE)
    assert tree.nearest(("a", 0, "deeper")).value == 1
    assert tree.nearest(("a", 7)) is tree.get("a")
    assert tree.nearest(("missing",)) is tree
    assert tree.get("a", 7) is None


def overlaid(*settings: tuple[str, object]) -> object:
    return overlay([(path, placed(value, CHILD)) for path, value in settings], BASE).plain()


def test_overlay() -> None:
    assert overlaid() == {}
    assert overlaid(("a.b", 1), ("a.c", [2])) == {"a": {"b": 1, "c": [2]}}
    assert overlaid(("a.b", 1), ("a.b", 2)) == {"a": {"b": 2}}, "the later one wins"
    assert overlaid(("s.drops", [1]), ("s.kind", "step")) == {"s": {"drops": [1], "kind": "step"}}


@pytest.mark.parametrize(
    "path", ["", ".", "a.", ".a", "a..b", "a. b", "a\udcff", ".".join("a" * 40)]
)
def test_overlay_refuses_a_path_that_is_none(path: str) -> None:
    with pytest.raises(RecipeError, match=r"^child\.yaml:2: '.*' "):
        overlaid((path, 1))
