from __future__ import annotations

from typing import Any

import pytest

from harness.store.stale import why_stale

OF_CODE = {"state": "finished", "edition": "aaa"}


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
        (OF_CODE | {"weights": "1"}, OF_CODE | {"weights": "2"}, "of other weights than its "
         "pre-training now has"),
        (OF_CODE, OF_CODE | {"weights": "2"}, "of other weights than its pre-training now has"),
    ],
)  # fmt: skip
def test_why(result: Any, parent: Any, why: str) -> None:
    assert why_stale(result, parent, "aaa") == why
