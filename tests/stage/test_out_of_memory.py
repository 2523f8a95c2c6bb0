"""What no machine has memory for ends a stage with the recipe's fields, and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.errors import HarnessError
from harness.recipe.load import load
from harness.recipe.schema import Recipe
from harness.stage.out_of_memory import enough_memory

from .tiny import run, write


@pytest.mark.parametrize(
    ("field", "size"),
    [("model.dim", 10**13), ("model.dim", 10**17), ("contrast.queue", 10**14)],
)
def test_the_field_is_named(tmp_path: Path, field: str, size: int) -> None:
    with pytest.raises(HarnessError, match="out of memory") as refused:
        run(write(tmp_path), tmp_path, (f"{field}={size}",), kinds=("pretrain",))
    assert f"{field} ({size})" in str(refused.value)
    assert "enforce fail" not in str(refused.value)
    assert not list(tmp_path.glob("*/attempts/*/traceback.txt"))


def test_of_a_gpu_too_and_nothing_else_is_taken_for_it(tmp_path: Path) -> None:
    recipe = load(write(tmp_path), ())
    assert isinstance(recipe, Recipe)
    said = "CUDA out of memory. Tried to allocate 20.50 GiB. GPU 0 has a total capacity of 15 GiB"
    wanted = r"CUDA out of memory: 20\.50 GiB.*optim\.batch \(16\)"
    with pytest.raises(HarnessError, match=wanted), enough_memory(recipe):
        raise torch.OutOfMemoryError(said)
    with pytest.raises(RuntimeError, match="a defect"), enough_memory(recipe):
        raise RuntimeError("a defect")
