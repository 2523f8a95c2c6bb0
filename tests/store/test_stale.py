from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.store.layout import StageFolder
from harness.store.ledger import Entry
from harness.store.stale import why_other, why_stale
from harness.store.version import STAGE

OF_CODE = {"state": "finished", "edition": "aaa"}
WANTED = {"kind": "knn", "recipe": {"seed": 0, "knn": {"k": [200, 20], "layer": "backbone"}}}
SAID = {"schema": STAGE, "id": "a-s0.knn-0", "name": "a", **WANTED}
OTHER_WEIGHTS = "of weights that differ from those of its pre-training (%s then, 2 now)"
OTHER_DATA = (
    "of data that differs from its pre-training's, by their records (%s and f, 9 + 3 images)"
)


def entry(result: Any, described: Any = SAID) -> Entry:
    return Entry(StageFolder(Path("runs/a-s0.knn-0")), "finished", "", result, described)


def data(**changes: Any) -> dict[str, Any]:
    return OF_CODE | {"data": {"fingerprint": "f", "train": 9, "test": 3, "name": "x"} | changes}


@pytest.mark.parametrize(
    ("result", "parent", "why"),
    [
        (None, OF_CODE, ""),
        (OF_CODE, None, ""),
        (OF_CODE, OF_CODE, ""),
        (OF_CODE, {"edition": "bbb"}, ""),
        (OF_CODE | {"weights": "1"}, OF_CODE | {"weights": "1"}, ""),
        (OF_CODE | {"weights": "1"}, None, ""),
        ({"edition": "bbb"}, None, "of edition bbb"),
        ({"edition": "bbb+aaa"}, None, "of edition bbb+aaa"),
        ({}, None, "of edition unknown"),
        (OF_CODE | {"weights": "1"}, OF_CODE | {"weights": "2"}, OTHER_WEIGHTS % "1"),
        (OF_CODE, OF_CODE | {"weights": "2"}, OTHER_WEIGHTS % "unknown"),
        (data(), data(), ""),
        (data(), data(name="y"), ""),
        (data(test=1000), data(), OTHER_DATA % "f, 9 + 1000 images"),
        (data(train=8), data(), OTHER_DATA % "f, 8 + 3 images"),
        (data(fingerprint="g"), data(), OTHER_DATA % "g, 9 + 3 images"),
        (OF_CODE, data(), OTHER_DATA % "unknown"),
    ],
)
def test_why(result: Any, parent: Any, why: str) -> None:
    above = None if parent is None else entry(parent)
    assert why_stale(entry(result), above, "aaa", WANTED) == why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "b"}, ""),
        ({"schema": 0}, "of schema version 0"),
        ({"schema": None}, "of schema version None"),
        ({"id": "b-s0.knn-1"}, "a copy of b-s0.knn-1"),
        ({"kind": "linear"}, 'its record has kind "linear"'),
        ({"recipe": None},
         "its record has no seed, no knn.k, no knn.layer and 1 more"),
        ({"recipe": {"seed": 0, "knn": {"k": [20], "layer": "backbone"}}},
         "its record has knn.k [20]"),
        ({"recipe": {**WANTED["recipe"], "linear": {"epochs": 3}}}, ""),  # type: ignore[dict-item]
        ({"recipe": {"seed": 1, "knn": {"k": 1, "x": {}}}},
         "its record has seed 1, knn.k 1, no knn.layer and 1 more"),
    ],
)  # fmt: skip
def test_a_record_that_says_another_thing(changes: dict[str, Any], why: str) -> None:
    one = entry(OF_CODE, {**SAID, **changes})
    assert why_stale(one, None, "aaa", WANTED) == why
    assert why_other(one, WANTED) == why


def test_any_edition_and_any_record_will_do_where_none_is_named() -> None:
    other = {**SAID, "kind": "linear"}
    assert why_stale(entry({"edition": "bbb"}, other), None, None, None) == ""
    assert why_stale(entry(data(test=1), other), entry(data()), None, None)


def test_a_task_with_data_of_its_own_differs_from_its_parent() -> None:
    for own, why in ({"name": "embedded"}, ""), (None, OTHER_DATA % "f, 9 + 1 images"):
        said = {**SAID, "task": "far", "recipe": {"tasks": {"far": {"data": own}}}}
        assert why_stale(entry(data(test=1), said), entry(data()), "aaa", None) == why


def test_a_result_without_a_record_is_nobodys() -> None:
    assert why_stale(entry(OF_CODE, None), None, "aaa", WANTED) == "without a stage.json"
