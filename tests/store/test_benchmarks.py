from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store.benchmarks import keep, newest_first, prepare


def test_every_measurement_is_kept(tmp_path: Path) -> None:
    """Also two of the same recipe in the same second."""
    assert len({keep(tmp_path, "r", {"n": n}) for n in range(5)}) == 5
    assert sorted(each["n"] for each in newest_first(tmp_path)) == [0, 1, 2, 3, 4]


def test_where_none_can_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "bench").write_text("mine")
    with pytest.raises(StoreError, match="bench: a file"):
        prepare(tmp_path)
