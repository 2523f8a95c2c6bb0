"""What a scale must bear, by its recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.report.preconditions import failed, training_images
from harness.report.read_run import read_run
from harness.report.runs import Run
from report.build import recipe


def said(tmp_path: Path, **changes: Any) -> list[str]:
    return of_run(read_run("it", 0, recipe(**changes), tmp_path))


def of_run(run: Run) -> list[str]:
    return failed({"it": run.recipe}, {"it": training_images([run])}, ["it"])


MOMENTUM = "contrast__momentum"


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({MOMENTUM: 0.0, "optim__epochs": 1}, None),
        ({MOMENTUM: 0.99}, None),  # 310 steps of the 300 needed
        ({MOMENTUM: 0.99, "optim__epochs": 9}, 279),  # of 31 steps: the last batch is dropped
        ({MOMENTUM: 0.99, "optim__steps": 300}, None),
        ({MOMENTUM: 0.99, "optim__steps": 299}, 299),
        ({MOMENTUM: 0.999}, 310),
        ({MOMENTUM: 0.999, "optim__epochs": 0}, None),  # an untrained network
    ],
)
def test_a_slow_key_encoder_needs_steps(
    tmp_path: Path, changes: dict[str, Any], steps: int | None
) -> None:
    found = said(tmp_path, **changes)
    assert len(found) == (steps is not None)
    if steps is not None:
        assert found[0].startswith(f"it makes {steps} steps, and m = ")


BANK = {"kind": "memory_bank", "temperature": 0.1}


@pytest.mark.parametrize(
    ("contrast", "many"),
    [
        ({"kind": "moco", "queue": 200, "momentum": 0.9, "temperature": 0.1}, False),
        ({"kind": "moco", "queue": 201, "momentum": 0.9, "temperature": 0.1}, True),
        ({**BANK, "negatives": 201}, True),
        ({**BANK, "negatives": 201, "exclude_self": True}, False),
        ({"kind": "end_to_end", "temperature": 0.1}, False),
    ],
)
def test_k_is_at_most_a_tenth_of_the_images(
    tmp_path: Path, contrast: dict[str, Any], many: bool
) -> None:
    expected = ["K = 201 exceeds a tenth of the 2000 images (it)"] if many else []
    assert said(tmp_path, contrast=contrast) == expected


def test_images_of_an_unknown_number_are_counted_by_the_run(tmp_path: Path) -> None:
    data = {"name": "imagefolder", "folder": "pets", "size": 32}
    made = recipe(data=data, contrast__queue=4096)
    run = read_run("it", 0, made, tmp_path)
    assert of_run(run) == []
    run.stages["pretrain"].attempt["data"] = {"train": 3700}
    assert of_run(run)[-1] == "K = 4096 exceeds a tenth of the 3700 images (it)"
