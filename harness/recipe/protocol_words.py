"""How a stage's accuracies were measured, in words, by what its task declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.recipe.knn_words import Trained, trained_on
from harness.spec.declarations import Task
from harness.spec.named_code import call
from harness.spec.registry import task


def protocol_words(
    declared: Task, section: Mapping[str, Any] | None, data: Mapping[str, Any], trained: Trained
) -> str:
    """The words; "" if the task has none, or no protocol.

    Args:
        section: the task's protocol, as in stage.json.
        data: the data that it uses.
        trained: the data that the weights were pre-trained on.
    """
    if declared.protocol is None or section is None:
        return ""
    said: str = call(declared.protocol, section, data, trained)
    return said


def of_stage(described: Mapping[str, Any], result: Mapping[str, Any], kind: str) -> str:
    """As `protocol_words`, from a stage's records.

    Args:
        kind: of the task that measured: the stage's own, or that of its monitor.
    """
    recipe, under, declared = described["recipe"], described.get("task"), task(kind)
    section = recipe["tasks"][under] if under else recipe.get(declared.section or "")
    data = (section.get("data") if under else None) or recipe["data"]
    return protocol_words(declared, section, data, trained_on(recipe, result.get("trained_on")))
