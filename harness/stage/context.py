"""What every stage is handed, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from harness.data.datasets import DataSet
from harness.errors import DataError, StoreError
from harness.recipe.schema import Recipe
from harness.runtime import checkpoint
from harness.stage.reporter import Reporter
from harness.store.attempt import Attempt
from harness.store.layout import StageFolder


class Interrupted(Exception):
    """The stage was asked to stop; what it did is in its checkpoint."""


class Diverged(Exception):
    """The loss stopped being finite: a result. `values` are those that can still be told."""

    def __init__(self, step: int, message: str, values: dict[str, float]) -> None:
        super().__init__(message)
        self.step = step
        self.values = values


@dataclass(frozen=True)
class Outcome:
    """What a finished stage found."""

    step: int
    values: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)
    """Whatever else belongs into result.json, e.g. images per second."""


@dataclass(frozen=True)
class Context:
    """One attempt at one stage."""

    recipe: Recipe
    folder: StageFolder
    attempt: Attempt
    parent: StageFolder | None
    data: DataSet
    device: torch.device
    reporter: Reporter
    stopping: Callable[[], bool]
    """Asked between steps; true once the user or the cluster wants the stage to stop."""

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Checkpoint `state`, after the journal that leads up to it is on disk."""
        self.attempt.check_fence()
        self.attempt.journal.sync()
        stamped = {"stage": self.folder.id, "data": self.data.fingerprint, **state}
        checkpoint.save(self.folder.checkpoints, step, stamped, self.recipe.watch.keep)

    def restore(self) -> tuple[int, dict[str, Any]] | None:
        """(step, state) of the newest whole checkpoint of this stage, None at the beginning.

        Raises:
            StoreError: the checkpoint is another stage's.
            DataError: the data changed since the checkpoint.
        """
        return load(self.folder, self.data, self.reporter)


def load(
    folder: StageFolder, data: DataSet, reporter: Reporter
) -> tuple[int, dict[str, Any]] | None:
    """(step, state) of the stage's newest whole checkpoint; errors as Context.restore."""
    found = checkpoint.newest(folder.checkpoints, reporter.note)
    if found is None:
        return None
    step, state = found
    if state.get("stage") != folder.id:
        raise StoreError(
            f"{folder.checkpoints}: the newest checkpoint is of {state.get('stage')}; "
            "move it away and run again"
        )
    if state.get("data") != data.fingerprint:
        raise DataError(
            f"{data.name}: the data has fingerprint {data.fingerprint}, but {folder.id} began "
            f"with {state.get('data')}; bring the old data back, or move the run's folder away "
            f"({folder.path}) to begin anew"
        )
    return step, state
