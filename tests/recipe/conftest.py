"""A folder to write recipes into, and a recipe to begin with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str, str], Path]

BASE = """\
name: base
data: {name: embedded, size: 32}
augment: {}
model: {backbone: miniature, bn_group: 32}
contrast: {kind: moco, queue: 4096, momentum: 0.99, temperature: 0.1}
optim:
  epochs: 10
  batch: 256
  lr: 0.06
  schedule:
    kind: cosine
    first: 1
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """write(name, text): a file in an empty working directory, as the relative path of a user."""
    monkeypatch.chdir(tmp_path)

    def put(name: str, text: str) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return put


@pytest.fixture
def base(write: Write) -> Path:
    """A minimal valid recipe, base.yaml."""
    return write("base.yaml", BASE)
