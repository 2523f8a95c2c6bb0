"""The record that a launcher writes for each stage that it runs: stage.json."""

from __future__ import annotations

from typing import Any

from harness import source
from harness.plan import PlannedStage
from harness.recipe.identity import described, further, spec
from harness.store.version import STAGE


def describe(stage: PlannedStage, group: str) -> dict[str, Any]:
    """The content of the stage's stage.json: all that a process needs to run it."""
    return {
        "schema": STAGE,
        "id": stage.id,
        "kind": stage.kind,
        "name": stage.recipe.name,
        "seed": stage.recipe.seed,
        "group": group,
        "cell": stage.member.cell,
        **({"varies": list(stage.varies)} if stage.varies else {}),
        **({"metric": stage.metric} if stage.metric else {}),
        "parent": stage.parent,
        **({"control": stage.control} if stage.control else {}),
        "recipe": described(stage.recipe, stage.name),
        **(source.noted(stage.recipe, stage.entry.folder.path.parent) if not stage.parent else {}),
    } | further(spec(stage.recipe, stage.name))
