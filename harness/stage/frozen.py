"""The pre-trained encoder that an evaluation reads, frozen."""

from __future__ import annotations

import hashlib
from typing import Literal

import torch

from harness.errors import DataError, StoreError
from harness.model.encoder import Encoder, build
from harness.stage.context import Context, fitting
from harness.store.ledger import read_entry


def encoder(context: Context, layer: Literal["backbone", "output"]) -> Encoder:
    """The parent stage's query encoder at its last step, in eval mode, without gradients.

    Args:
        layer: the layer that will be read.

    Raises:
        StoreError: the parent has not finished, its result is not valid, or its last checkpoint is
            missing or damaged.
        DataError: the data changed since pre-training; or the output is to be read, and the
            head is neither trained nor given with the weights.
    """
    assert context.parent is not None
    entry = read_entry(context.parent)
    if entry.state == "damaged":
        raise StoreError(entry.detail)
    result = entry.result
    if result is None or result["state"] != "finished":
        raise StoreError(f"{context.parent.path}: pre-training has not finished; run it first")
    found = context.load(context.parent)
    if found is None or found[0] != result["step"]:
        raise StoreError(
            f"{context.parent.checkpoints}: the checkpoint of the last step, {result['step']}, is "
            "missing or damaged; restore it, or move the run's folder away and pre-train again"
        )
    made = build(context.recipe.model, context.recipe.seed)
    prefix = "query."
    with fitting(context.parent):
        state = found[1]["mechanism"]
        made.load_state_dict(
            {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        )
    model, epochs = context.recipe.model, context.recipe.optim.epochs
    if layer == "output" and model.weights is not None and epochs == 0:
        drawn = build(model, context.recipe.seed).state_dict()
        head = {k: v for k, v in made.state_dict().items() if not k.startswith("backbone.")}
        if any(torch.equal(v, drawn[k]) for k, v in head.items()):
            raise DataError(
                f"knn.layer: {model.weights.named} has no head that fits, so the output would "
                "come from a random head: use knn.layer: backbone"
            )
    made.to(context.device).to(memory_format=torch.channels_last)
    return made.eval().requires_grad_(False)


def fingerprint(frozen: Encoder) -> str:
    """A digest of all tensors, to prove that an evaluation changed none of them."""
    total = hashlib.sha256()
    for name, tensor in frozen.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            total.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
