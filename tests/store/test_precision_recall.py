"""A detector's curves: kept, read back, and refused if they are anything else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.store.precision_recall import (
    FILE,
    KEY,
    LARGEST,
    RECALLS,
    PrecisionRecall,
    content,
    keep,
    read,
)


def falling(first: float) -> tuple[float, ...]:
    return tuple(first * (1 - n / RECALLS) for n in range(RECALLS))


def made() -> PrecisionRecall:
    return PrecisionRecall(11, {"boxes": {"0.50": falling(0.9), "0.75": falling(0.4)}})


@pytest.fixture
def kept(tmp_path: Path) -> dict[str, Any]:
    """The result of a stage in tmp_path that kept `made()`."""
    return {KEY: keep(tmp_path, made())}


def test_what_is_kept_is_read(tmp_path: Path, kept: dict[str, Any]) -> None:
    assert read(tmp_path, kept) == made()
    assert content(tmp_path, kept) == (tmp_path / FILE).read_bytes()
    assert keep(tmp_path, made()) == kept[KEY]
    assert read(tmp_path, {}) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes().replace(b"0.9", b"0.8")),
        lambda path: path.write_bytes(b"{}"),
        lambda path: path.write_bytes(bytes(LARGEST + 1)),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_file_that_is_not_the_stages_is_refused(
    tmp_path: Path, kept: dict[str, Any], spoil: Callable[[Path], object]
) -> None:
    spoil(tmp_path / FILE)
    with pytest.raises(StoreError, match=FILE):
        read(tmp_path, kept)


@pytest.mark.parametrize("said", [None, 7, "<script>", [], {}, {"sha256": 3}])
def test_a_result_without_its_digest_is_refused(tmp_path: Path, said: Any) -> None:
    keep(tmp_path, made())
    if said is None:
        assert read(tmp_path, {KEY: said}) is None
        return
    with pytest.raises(StoreError, match=FILE):
        read(tmp_path, {KEY: said})


@pytest.mark.parametrize(
    "change",
    [
        {"marked": 12},
        {"marked": None},
        {"curves": []},
        {"curves": {"<img>": {"0.50": falling(1.0)}}},
        {"curves": {"boxes": {"<b>": falling(1.0)}}},
        {"curves": {"boxes": {"1.50": falling(1.0)}}},
        {"curves": {"boxes": {"0.50": falling(1.0)[1:]}}},
        {"curves": {"boxes": {"0.50": falling(1.1)}}},
        {"curves": {"boxes": {"0.50": [float("nan")] * RECALLS}}},
        {"curves": {"boxes": {"0.50": ["x"] * RECALLS}}},
        {"curves": {"boxes": {"0.50": [10**400] * RECALLS}}},
        {"curves": {"boxes": [falling(1.0)]}},
    ],
    ids=str,
)
def test_what_is_no_curve_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    said = {"marked": 11, "curves": {"boxes": {"0.50": falling(0.9)}}}
    for whole, right in ((said, True), ({**said, **change}, False)):
        text = json.dumps(whole).encode()
        (tmp_path / FILE).write_bytes(text)
        result = {KEY: {"sha256": hashlib.sha256(text).hexdigest()}}
        if right:
            assert read(tmp_path, result) is not None
        else:
            with pytest.raises(StoreError, match=FILE):
                read(tmp_path, result)
