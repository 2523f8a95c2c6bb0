"""A measurement in pieces: an interrupted stage resumes after the last piece that is on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.errors import DataError
from harness.evaluate.features import NotFinite
from harness.stage.collective_wait import first_alone
from harness.stage.context import Context, Interrupted, fitting
from harness.store.edition import edition

Measure = Callable[[int], Sequence[float]]
"""Returns the values of a piece, given its number."""

SAVE_S = 30.0
"""Seconds after which what was measured is saved."""


def in_pieces(
    context: Context,
    count: int,
    width: int,
    prepare: Callable[[], Measure],
    *,
    own_data: str = "",
) -> Tensor:
    """The values of the pieces 0 to `count` - 1, float64 (count, width), on every process.

    The first process measures; the others wait for each piece, however long it takes. A piece must
    be a function of its number and the parent's weights alone. Pieces of other code or weights are
    measured again.

    Args:
        width: number of values of a piece.
        prepare: called once on every process, unless all pieces are there; returns what measures.
        own_data: fingerprint of data of the task's own; "": it has none.

    Raises:
        NotFinite: from preparing, or from a piece; on all processes.
        Interrupted: asked to stop; what is complete is on disk.
        StoreError, DataError: see Context.load; or data of the task's own changed since.
    """
    found = torch.zeros(count, width, dtype=torch.float64)
    recipe = context.recipe
    code = edition(context.asked.task.kind, recipe.contrast.kind, recipe.optim.kind)
    weights = ((context.parent and context.parent.result) or {}).get("weights")
    made_by = {"edition": code, "weights": weights, "own_data": own_data}
    done = _restored(context, found, made_by)
    context.reporter.begin(context.folder.id, total=count, done=done, steps_per_epoch=count)
    if done == count:
        return found
    measure, saved = prepare(), time.monotonic()
    while done < count:
        try:
            found[done] = _measured(context, done, width, measure)
            done += 1
            context.reporter.advance(done, {})
            context.pause()
        except Interrupted:
            if done:
                _save(context, found[:done], made_by)
                context.wait_for_checkpoint()
            raise
        if done < count and time.monotonic() - saved > SAVE_S:
            _save(context, found[:done], made_by)
            saved = time.monotonic()
    return found


def _measured(context: Context, n: int, width: int, measure: Measure) -> Tensor:
    world = context.world

    def work() -> Sequence[float] | NotFinite:
        if world.rank:
            return ()
        try:
            return measure(n)
        except NotFinite as error:
            return error

    mine = first_alone(work, world, context.stopping)
    if world.any(isinstance(mine, NotFinite)):
        raise mine if isinstance(mine, NotFinite) else NotFinite("a classifier is not finite")
    own = torch.zeros(width, dtype=torch.float64)
    if not world.rank:
        own = torch.tensor(mine, dtype=torch.float64)
    return world.sum(own.to(world.device)).cpu()


def _save(context: Context, found: Tensor, made_by: dict[str, Any]) -> None:
    context.save(len(found), {"pieces": found.clone(), **made_by})


def _restored(context: Context, found: Tensor, made_by: dict[str, Any]) -> int:
    """How many pieces an earlier attempt has measured; they are copied into `found`."""
    restored = context.restore()
    if restored is None:
        return 0
    done, state = restored
    folder = context.folder
    with fitting(folder):
        before: Tensor = state["pieces"]
        found[:done] = before
        if state["own_data"] != made_by["own_data"]:
            raise DataError(
                f"the task's data has fingerprint {made_by['own_data']}, but {folder.id} started "
                f"with {state['own_data']}; restore the old data, or move the folder away "
                f"({folder.path}) to start again"
            )
        if all(state.get(key) == value for key, value in made_by.items()):
            return done
    context.reporter.note(
        f"{folder.id}: its first {done} measurements are of other code or weights; they are made "
        "again"
    )
    return 0
