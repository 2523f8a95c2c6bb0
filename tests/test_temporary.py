"""Temporary folders, and a machine where none can be made."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.temporary import temporary_folder


def test_it_is_removed_with_its_content() -> None:
    with temporary_folder() as folder:
        (folder / "file").touch()
    assert not folder.exists()


@pytest.mark.parametrize("known", [False, True])
def test_none_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """Python finds no usable place, or the one that it found before is gone."""
    gone = str(tmp_path / "gone")
    monkeypatch.setattr(tempfile, "tempdir", gone if known else None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [gone])
    with pytest.raises(StoreError, match="TMPDIR"), temporary_folder():
        pass
