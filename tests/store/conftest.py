"""A stage folder, and ways to fill a disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.store.layout import StageFolder


@pytest.fixture
def folder(tmp_path: Path) -> StageFolder:
    """A stage that was created and never begun."""
    made = StageFolder(tmp_path / "runs" / "tiny-s0.pretrain-0123456789")
    made.create({"id": made.id, "kind": "pretrain", "parent": None, "recipe": {"name": "tiny"}})
    return made


Break = Callable[..., None]


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Break:
    """breaks("fsync", errno.ENOSPC): os.fsync fails from now on."""

    def put(call: str, number: int = errno.ENOSPC) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, call, fail)

    return put
