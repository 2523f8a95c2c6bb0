"""An image folder, and where it is packed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from harness.data.datasets import open_data


@pytest.fixture
def fresh() -> Iterator[None]:
    """No data set is known from before, nor afterwards."""
    open_data.cache_clear()
    yield
    open_data.cache_clear()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two classes of photographs' noise, of different sizes, one of them a PNG."""
    draw = torch.Generator().manual_seed(0)
    for part, count in (("train", 7), ("val", 2)):
        for name in ("cat", "dog"):
            inside = tmp_path / "folders" / "tiny" / part / name
            inside.mkdir(parents=True)
            for n in range(count):
                pixels = torch.randint(256, (40 + n, 60, 3), generator=draw, dtype=torch.uint8)
                kind = "png" if n == 1 else "jpg"
                Image.fromarray(pixels.numpy()).save(inside / f"{n}.{kind}")
    return tmp_path / "folders" / "tiny"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "packs" / "tiny"
