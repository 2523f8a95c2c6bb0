"""The initial state of a pre-training: random or given weights, or another run's last state."""

from __future__ import annotations

from typing import Any

from harness.errors import StoreError
from harness.model.encoder import Encoder, build
from harness.model.networks import chosen, flat
from harness.model.released import UsedWeights, load_released, take
from harness.runtime import checkpoint
from harness.source import of_stage, why_unfit
from harness.stage.context import Context, check_state

MECHANISM = "mechanism"


def encoder(context: Context) -> tuple[Encoder, UsedWeights | None]:
    """The recipe's encoder with its initial weights, and what was taken of given weights.

    Raises:
        DataError: given weights are missing, differ from those that the recipe names, or do not
            fit.
        StoreError: the run that should provide them cannot be used.
    """
    recipe = context.recipe
    made = build(recipe.model, recipe.seed)
    weights = recipe.model.weights
    if weights is None:
        return made, None
    needed = recipe.optim.epochs > 0 or recipe.reads_output
    if weights.file is not None:
        source = recipe.about.source
        taken = load_released(made, weights, context.data_root, head=needed, source=source)
        if taken.others:
            context.reporter.note(f"{context.folder.id}: {taken}")
    else:
        _, state, where = _ended(context)
        network = chosen(flat({MECHANISM: state.get(MECHANISM)}), None)
        head = take(made, network, weights, needed=needed, where=where)
        taken = UsedWeights(weights.named, network.prefix, network.others, head)
    return made, taken


def continued(context: Context) -> tuple[int, dict[str, Any]] | None:
    """(step, state) at the end of the run that the recipe continues; None if it continues none.

    Every process reads it by itself.

    Raises:
        StoreError: that run cannot be used.
        DataError: the data changed since it finished.
    """
    if context.recipe.continue_from is None:
        return None
    step, state, where = _ended(context)
    source = of_stage(context.recipe, context.folder)
    assert source is not None
    check_state(source, context.data, step, state)
    context.reporter.note(
        f"{context.folder.id}: continues from step {step} of {where}, with its own schedule: not "
        "the same as one longer run"
    )
    return step, state


def _ended(context: Context) -> tuple[int, dict[str, Any], str]:
    """(last step, state, folder) of the run that the recipe names as its source."""
    source = of_stage(context.recipe, context.folder)
    assert source is not None
    if why := why_unfit(context.recipe, source):
        raise StoreError(why)
    result = source.result
    assert result is not None
    step = int(result["step"])
    path = source.checkpoints / f"step-{step:08d}-{result['weights']}.pt"
    state = checkpoint.read(path)
    if state is None:
        raise StoreError(f"{path}: missing or damaged; restore it, or train that run again")
    check_state(source, None, step, state)
    return step, state, str(source.path)
