"""The protocol of a metric: the fields of the recipe that decide how it is measured."""

from __future__ import annotations

from typing import Any

import pytest

from harness.recipe.ablation import Ablation
from harness.report.evaluation_protocol import compared, protocol_of, varied

from .build import ABLATION, recipe

FINETUNE = {"kind": "finetune", "epochs": 2, "batch": 16, "lr": 0.025}
FINETUNE["schedule"] = {"kind": "step", "drops": [1]}  # type: ignore[assignment]


def test_of_several_rates_the_first_is_the_protocols() -> None:
    made = recipe(linear={"lr": [1.0, 10.0], "epochs": 10, "drops": []})
    assert protocol_of(made, "linear/top1")["linear.lr"] == "1.0"


def test_a_task_that_trains_has_a_single_rate() -> None:
    both = {"all": FINETUNE, "few": {**FINETUNE, "labels": 0.1}}
    made = recipe(tasks=both)
    assert protocol_of(made, "finetune/top1", "all")["tasks.all.lr"] == "0.025"
    assert protocol_of(made, "finetune/top1", "few")["tasks.few.labels"] == "0.1"


@pytest.mark.parametrize("size", [16, 24])
def test_the_only_task_of_a_kind_is_measured_by_its_section_and_data(size: int) -> None:
    data: dict[str, Any] = {"name": "embedded", "size": size}
    probe = {"kind": "linear", "epochs": 10, "drops": [], "data": data}
    found = protocol_of(recipe(linear=None, tasks={"probe": probe}), "linear/top1")
    assert found["tasks.probe.epochs"] == "10"
    assert found["tasks.probe.data"].endswith(f"size {size}")
    assert "tasks.probe.trials" not in found


def test_without_any_task_of_the_kind_there_is_no_protocol() -> None:
    assert protocol_of(recipe(linear=None), "linear/top1") == {}


def test_rows_need_not_agree_in_what_the_table_itself_sets() -> None:
    row = {"id": "untrained", "label": "random", "set": {"tasks.all.lr": 0.1}, "printed": None}
    table = Ablation.model_validate({**ABLATION, "cells": [*ABLATION["cells"], row]}, strict=False)
    slow, fast, long = (
        protocol_of(recipe(tasks={"all": {**FINETUNE, **changes}}), "finetune/top1")
        for changes in ({}, {"lr": 0.1}, {"epochs": 3})
    )
    assert slow != fast
    assert compared(slow, varied(table)) == compared(fast, varied(table))
    assert compared(slow, varied(table)) != compared(long, varied(table))
    plain = Ablation.model_validate(ABLATION, strict=False)
    assert compared(slow, varied(plain)) != compared(fast, varied(plain))
    assert compared(slow, varied(None)) == slow
