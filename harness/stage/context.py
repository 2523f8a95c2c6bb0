"""Context: what every stage gets, and what it returns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from harness.data.datasets import DataSet
from harness.data_roots import AnyRoot
from harness.errors import DataError, StoreError
from harness.evaluate.features import NotFinite
from harness.recipe.identity import StageSpec
from harness.recipe.schema import Recipe
from harness.runtime import checkpoint
from harness.runtime.saver import Saver
from harness.runtime.world import World
from harness.stage.reporter import Reporter
from harness.store import journal
from harness.store.attempt import Attempt, marks
from harness.store.journal import Record
from harness.store.layout import StageFolder


class Interrupted(Exception):
    """The stage was asked to stop; its work so far is in its checkpoint."""


class Diverged(Exception):
    """The loss, a weight or a feature stopped being finite, which is a result. `values` are the
    metrics that can still be reported."""

    def __init__(self, step: int, message: str, values: dict[str, float]) -> None:
        super().__init__(message)
        self.step = step
        self.values = values


@dataclass(frozen=True)
class StageOutcome:
    """What a finished stage measured."""

    step: int
    values: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)
    """Other facts for result.json, e.g. images per second."""


@dataclass(frozen=True)
class Context:
    """One attempt at one stage."""

    recipe: Recipe
    folder: StageFolder
    attempt: Attempt | None
    """The first process's; None on the others, which write nothing."""
    parent: StageFolder | None
    data: DataSet
    data_root: AnyRoot
    world: World
    reporter: Reporter
    stopping: Callable[[], bool]
    """Called between steps; true once the user or the cluster wants the stage to stop."""
    asked: StageSpec
    """The stage that the recipe asks for: its task, section and trial."""
    saver: Saver = field(default_factory=Saver)

    @property
    def section(self) -> Any:
        """The task's own section of the recipe, of the type that the task declares."""
        return self.asked.section(self.recipe)

    def stream(self, label: str) -> tuple[int | str, ...]:
        """The key of random numbers of this run's seed and this trial, for runtime.keyed. The
        first trial's key is that of a stage without trials."""
        trial = (f"trial {self.asked.trial}",) if self.asked.trial else ()
        return (self.recipe.seed, label, *trial)

    @property
    def device(self) -> torch.device:
        return self.world.device

    def asked_to_stop(self, *, synchronising: bool) -> bool:
        """Whether any process was asked to stop.

        All must agree on the step, which costs a collective. So several processes check only where
        they synchronise anyway (`synchronising`); a single process checks at every step.

        Raises:
            HarnessError: a checkpoint could not be written.
        """
        self.saver.check()
        return (synchronising or self.world.size == 1) and self.world.any(self.stopping())

    def pause(self) -> None:
        """Raise Interrupted on all processes if one was asked to stop; for use between steps that
        need no checkpoint."""
        if self.asked_to_stop(synchronising=True):
            raise Interrupted

    def record(self, records: list[Record]) -> None:
        """Append to the journal, unless a newer attempt has superseded this one."""
        if self.attempt is not None:
            self.attempt.record(records)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Checkpoint `state` as it is now, after the journal up to this step is on disk.

        Another thread writes it. It counts once it is on disk; `wait_for_checkpoint` waits for
        that. A write error is raised at the next step.
        """
        attempt = self.attempt
        if attempt is None:
            return
        stamped = {
            "stage": self.folder.id,
            "step": step,
            "data": self.data.fingerprint,
            "processes": self.world.size,
            **state,
        }

        so_far = attempt.journal.mark

        def write(copied: dict[str, Any]) -> None:
            attempt.check_fence()
            attempt.mark(step, so_far)
            checkpoint.save(self.folder.checkpoints, step, copied, self.recipe.watch.keep)

        self.saver.save(stamped, write)

    def wait_for_checkpoint(self) -> None:
        """Wait until the newest checkpoint is on disk.

        Raises:
            HarnessError: it could not be written.
        """
        self.saver.wait()

    def restore(self) -> tuple[int, dict[str, Any]] | None:
        """(step, state) of this stage's newest valid checkpoint; None if there is none.

        Another number of processes is the same experiment, but not bit for bit: the user gets a
        note.

        Raises:
            StoreError: the checkpoint is another stage's.
            DataError: the data changed since the checkpoint.
        """
        found = self.load(self.folder)
        if found is not None and self.attempt is not None:
            self.attempt.goes_on_from(found[0])
        if found is not None and found[1].get("processes", self.world.size) != self.world.size:
            self.reporter.note(
                f"{self.folder.id}: processes: {found[1]['processes']} for the first {found[0]} "
                f"steps, {self.world.size} now: the same experiment, but only equal up to rounding"
            )
        return found

    def _newest(self, folder: StageFolder) -> tuple[int, dict[str, Any]] | None:
        """(step, state) of the newest valid checkpoint. To resume this stage, the newest whose
        journal is unchanged: later steps are trained and recorded again."""
        newest = None
        for step, state in checkpoint.whole(folder.checkpoints, self.reporter.note):
            newest = newest or (step, state)
            if folder != self.folder or not journal.altered(folder, marks(folder, step)):
                if step != newest[0]:
                    self.reporter.note(
                        f"{folder.id}: the journal is damaged before step {newest[0]}; resuming "
                        f"from the checkpoint of step {step}, to record those steps again"
                    )
                return step, state
        if newest is not None:
            self.reporter.note(
                f"{folder.id}: the journal is damaged before its oldest checkpoint; resuming from "
                f"step {newest[0]}; its curves will miss the unreadable part"
            )
        return newest

    def load(self, folder: StageFolder) -> tuple[int, dict[str, Any]] | None:
        """As `restore`, for the stage in `folder`. The first process chooses; all read."""
        found = None
        if self.world.rank == 0:
            found = self._newest(folder)
        first = torch.tensor(found[0] + 1 if found else 0, device=self.device)
        chosen = int(self.world.sum(first)) - 1
        if chosen < 0:
            return None
        if found is None:
            found = checkpoint.at(folder.checkpoints, chosen)
        if found is None:
            raise StoreError(
                f"{folder.checkpoints}: this process cannot see the checkpoint of step {chosen}; "
                "the run folder must be on storage that all processes share"
            )
        other_data = folder != self.folder and self.asked.data(self.recipe) != self.recipe.data
        check_state(folder, None if other_data else self.data, *found)
        return found


@contextlib.contextmanager
def finite(step: int) -> Iterator[None]:
    """Wraps the computation of an accuracy from the weights after `step`.

    Raises:
        Diverged: something in it is not finite, which is a result.
    """
    try:
        yield
    except NotFinite as error:
        raise Diverged(step, f"after step {step}, {error}", {}) from None


@contextlib.contextmanager
def fitting(folder: StageFolder) -> Iterator[None]:
    """Wraps code that loads the stage's checkpoint, which must fit the stage.

    Raises:
        StoreError: the checkpoint lacks something, or holds it in another shape.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
        raise StoreError(
            f"{folder.checkpoints}: the newest checkpoint does not fit this stage ({cause}); "
            "move it away and run again"
        ) from error


def check_state(
    folder: StageFolder, data: DataSet | None, step: int, state: dict[str, Any]
) -> None:
    """Check that `state` is the checkpoint of `step` of the stage in `folder`, made from `data`.

    Raises:
        StoreError: it belongs to another stage or step.
        DataError: it was made from other data.
    """
    other = f"of {state.get('stage')}" if state.get("stage") != folder.id else ""
    if state.get("step", step) != step:
        other = f"of step {state['step']}, not {step}"
    if other:
        raise StoreError(
            f"{folder.checkpoints}: the newest checkpoint is {other}; move it away and run again"
        )
    if data is not None and state.get("data") != data.fingerprint:
        raise DataError(
            f"{data.name}: the data has fingerprint {data.fingerprint}, but {folder.id} started "
            f"with {state.get('data')}; restore the old data, or move the run's folder away "
            f"({folder.path}) to start again"
        )
