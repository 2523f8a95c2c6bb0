"""`plan` and `run --dry-run` end with the code with which `run` would refuse the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

TASK = "tasks={ft: {kind: finetune, epochs: 1, batch: 33, lr: 0.1, schedule: {kind: constant}}}"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 0),
        (("--set=data.name=imagefolder", "--set=data.folder=pets"), 3),
        (("--set=data.images=null", "--set=data.name=pictures", "--set=data.folder=x"), 3),
        (("--set", TASK, "--processes", "2"), 1),
        (("--set=knn.k=[0]",), 2),
    ],
    ids=["nothing", "no folder", "no pictures", "batch", "recipe"],
)
def test_a_plan_ends_as_the_run_would(
    moco: Any, tiny: Path, words: tuple[str, ...], code: int
) -> None:
    if "pictures" in "".join(words):
        words = (*words, "--set=knn=null", "--set=linear=null")
    for command in (("plan",), ("run", "--dry-run"), *([("run", "--yes")] if code else [])):
        said = moco(*command, tiny, *words)
        assert (command, said.code) == (command, code), said.all
        announced = f"run would refuse this, with exit code {code}" in said.out
        assert announced == (code not in (0, 2) and command[-1] != "--yes")


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a GPU that is absent")
def test_a_plan_for_a_device_that_is_absent(moco: Any, tiny: Path) -> None:
    words = (tiny, "--device", "cuda")
    assert moco("plan", *words).code == moco("run", "--yes", *words).code == 1


@pytest.mark.parametrize("root", ["tiny.yaml", "tiny.yaml/below/runs"])
def test_a_run_root_that_cannot_be_written(moco: Any, tiny: Path, root: str) -> None:
    words = (tiny, "--runs", root)
    assert moco("plan", *words).code == moco("run", "--yes", *words).code == 4
    assert moco("plan", tiny, "--runs", "new/below").code == 0
    assert not Path("new").exists()


def test_a_damaged_stage(moco: Any, tiny: Path) -> None:
    assert moco("run", tiny, "--set", "linear=null").code == 0
    (knn,) = Path("runs").glob("tiny-s0.knn-*")
    (knn / "result.json").write_text("{")
    said = moco("plan", tiny, "--set", "linear=null")
    assert said.code == 4
    assert said.code == moco("run", tiny, "--set", "linear=null").code
