"""Doubts about pre-training: the queue, the key encoder, the rate and its schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.preflight.warned import Doubt
from harness.recipe.method import TIME_CONSTANTS
from harness.recipe.optim import Cosine, Decay, Optim, Steps
from harness.recipe.schema import Recipe
from harness.report.preconditions import SHARE, training_steps
from harness.spec.registry import DEFAULT_OPTIMISER, METHODS, methods

OWN_IMAGE = 1 / SHARE
"""Largest share of queries that may meet an older key of their own image. Harmless are the 5.0 % of
the memory bank in v1 Fig. 3, 65,536 of 1,281,167; a bank is at this bound where a claim's
precondition has it. Harmful is a queue of 131 % of CIFAR-10, where 76 % meet one: the accuracy
stays at 73 to 76 % (AidenDurrant/MoCo-Pytorch#1)."""

INITIAL = math.exp(-TIME_CONSTANTS)
"""Largest share of its initial weights in the key encoder at the end, 5.0 %: what the steps leave
that a claim's precondition asks for, 3 / (1 - m)."""

TURNOVER = 4
"""Fewest steps that a queue may last: the official CIFAR-10 demo's with the symmetric loss. v1 has
256 steps, and 16 in its ablation of momentum."""

RATE, RATE_BATCH = 0.03, 256
"""SGD's rate and batch in v1 and v2, for all three mechanisms and both heads; the CIFAR-10 demo has
0.06 for 512, which is the same by the linear rule."""

RATE_FACTOR = 2.0
"""How far a rate may be from the linear rule's. HobbitLong/CMC publishes 73.4 % on ImageNet-100 at
twice the rate; at a quarter, end-to-end with batches of 1,024 loses 2 points (v1 Sec. 4.1)."""

COSINE_REACHED = 0.9
"""Share of its epochs that a cosine has to reach: the rate is then at 2.4 % of its start."""


def doubts(recipe: Recipe, images: int | None, *, given_queue: bool = False) -> Iterator[Doubt]:
    """Doubts about the pre-training, if there is one.

    Args:
        images: number of training images; None: not known.
        given_queue: a paper's table sets the queue itself, so that it is as the paper has it.
    """
    optim = recipe.optim
    if not optim.epochs:
        return
    if images is not None:
        yield from _own_image(recipe, images)
    if not given_queue:
        yield from _turnover(recipe)
    steps = optim.steps if images is None else training_steps(recipe, images)
    if steps is not None and recipe.model.weights is None:
        yield from _key_encoder(recipe, steps)
    yield from _rate(recipe)
    if optim.steps is not None:
        yield from _schedule(optim, images)


def own_image_share(recipe: Recipe, images: int) -> float:
    """The share of queries, from the second epoch on, that have an older key of their own image
    among their negatives.

    A queue of K keys still holds an image's key if fewer than K were enqueued since. Between two
    epochs an image's place is random, so with x = K / N this is x^2 / 2 up to x = 1, and
    1 - (2 - x)^2 / 2 up to x = 2. Of K entries drawn from a bank of N, none is the own one with
    probability (1 - 1 / N)^K.
    """
    k = recipe.contrast.old_keys()
    if k is None:
        return 0.0
    if _keys_a_step(recipe) is None:
        return 1 - (1 - 1 / images) ** k
    x = k / images / _keys_an_image(recipe)
    if x <= 1:
        return x * x / 2
    return 1 - (2 - x) ** 2 / 2 if x < 2 else 1.0


def _own_image(recipe: Recipe, images: int) -> Iterator[Doubt]:
    k, share = recipe.contrast.old_keys(), own_image_share(recipe, images)
    steps = training_steps(recipe, images)
    if k is None or share <= OWN_IMAGE or steps <= images // recipe.optim.batch:
        return
    if _keys_a_step(recipe) is None:
        field = "contrast.negatives"
        most = int(math.log(1 - OWN_IMAGE) / math.log(1 - 1 / images)) if images > 1 else 0
    else:
        field = "contrast.queue"
        most = int(math.sqrt(2 * OWN_IMAGE) * images * _keys_an_image(recipe))
    yield Doubt(
        "own-image-negatives",
        f"{field}: with K = {k:,} for {images:,} images, {_percent(share)} of the queries have an "
        "older key of their own image among the negatives, and learn to tell the image from "
        f"itself. K = {most:,} would leave {_percent(OWN_IMAGE)}",
    )


def _turnover(recipe: Recipe) -> Iterator[Doubt]:
    a_step, k = _keys_a_step(recipe), recipe.contrast.old_keys()
    if a_step is None or k is None or k >= TURNOVER * a_step:
        return
    yield Doubt(
        "queue-turnover",
        f"contrast.queue: {k:,} keys are those of {k / a_step:.3g} steps, {a_step:,} each: the "
        "negatives are hardly more than a batch's, and a slow key encoder has nothing to keep "
        f"consistent. K = {TURNOVER * a_step:,} would last {TURNOVER} steps",
    )


def _key_encoder(recipe: Recipe, steps: int) -> Iterator[Doubt]:
    m, needed = getattr(recipe.contrast, "momentum", None), recipe.contrast.steps_needed()
    if m is None or m**steps <= INITIAL:
        return
    wanted = math.floor(1e4 * (1 - TIME_CONSTANTS / steps)) / 1e4 if steps > TIME_CONSTANTS else 0
    yield Doubt(
        "slow-key-encoder",
        f"contrast.momentum: after {steps:,} steps with m = {m:g} the key encoder is still "
        f"{_percent(m**steps)} its initial weights (m^{steps}); it follows within "
        f"{needed:,.0f} steps, {TIME_CONSTANTS} / (1 - m). Train for longer, or take m = "
        f"{wanted:g}",
    )


def _rate(recipe: Recipe) -> Iterator[Doubt]:
    """The papers' rate is known for their own methods with their optimiser."""
    optim = recipe.optim
    own = methods()[recipe.contrast.kind].config.partition(":")[0] in METHODS
    if not own or optim.kind != DEFAULT_OPTIMISER:
        return
    wanted = RATE * optim.batch / RATE_BATCH
    factor = optim.lr / wanted
    least = 0.0 if recipe.model.weights is not None else 1 / RATE_FACTOR  # a low rate keeps them
    if least <= round(factor, 9) <= RATE_FACTOR:
        return
    yield Doubt(
        "rate-for-batch",
        f"optim.lr: {optim.lr:g} for batches of {optim.batch:,} is {factor:.3g} times the papers' "
        f"{RATE:g} for {RATE_BATCH}; by the linear rule it would be {wanted:.3g}",
    )


def _schedule(optim: Optim, images: int | None) -> Iterator[Doubt]:
    """`optim.steps` may end a run long before the schedule's epochs."""
    steps, schedule = optim.steps, optim.schedule
    assert steps is not None
    if isinstance(schedule, Decay) and steps < schedule.every:
        yield Doubt(
            "schedule-cut",
            f"optim.steps: {steps:,} end before the rate is first lowered, after "
            f"{schedule.every:,} (optim.schedule.every)",
        )
    an_epoch = images // optim.batch if images is not None else 0
    if not an_epoch or steps >= optim.epochs * an_epoch:
        return
    reached = steps / an_epoch
    where = f"optim.steps: {steps:,} end the run in epoch {reached:.3g} of {optim.epochs}"
    if isinstance(schedule, Steps):
        missed = [drop for drop in schedule.drops if drop >= reached]
        if missed:
            named = ", ".join(map(str, missed))
            yield Doubt(
                "schedule-cut", f"{where}, before the drops at {named} (optim.schedule.drops)"
            )
    elif isinstance(schedule, Cosine) and reached < COSINE_REACHED * optim.epochs:
        last = math.ceil(reached) - 1  # the rate is set once per epoch
        done = (last + schedule.first - schedule.start) / (optim.epochs - schedule.start)
        left = (1 + math.cos(math.pi * max(0.0, done))) / 2
        yield Doubt(
            "schedule-cut",
            f"{where}, where the cosine still has the rate at {_percent(left)} of its start; "
            f"optim.epochs: {math.ceil(reached)} would bring it down",
        )


def _keys_an_image(recipe: Recipe) -> int:
    """Keys that a step enqueues of an image: two with the symmetric loss."""
    return 2 if getattr(recipe.contrast, "symmetric", False) else 1


def _keys_a_step(recipe: Recipe) -> int | None:
    """Keys that a step enqueues; None: the method has no queue."""
    if getattr(recipe.contrast, "queue", None) is None:
        return None
    return recipe.optim.batch * _keys_an_image(recipe)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
