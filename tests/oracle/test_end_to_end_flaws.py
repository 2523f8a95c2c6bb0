"""The end-to-end oracle against a second, vectorised form, and against flaws planted in that."""

from __future__ import annotations

import copy
import functools
import itertools
import math
from typing import Literal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from .end_to_end import EndToEndOracle
from .test_flaws import BATCH, GROUP, average, batches, encoder, split
from .trajectories import (
    DECAY,
    LR,
    MOMENTUM,
    MU,
    TEMPERATURE,
    Trajectory,
    apart,
    optimiser_of,
    trajectory,
)


def key_encoder() -> nn.Sequential:
    """An encoder that starts elsewhere than the query encoder."""
    module = encoder()
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, dtype=torch.float64, generator=draw)
            parameter.add_(0.1 * noise)
    return module


@functools.cache
def end_to_end_by_oracle(shared: bool, keep: Literal["first_group", "mean"]) -> Trajectory:
    oracle = EndToEndOracle(
        encoder(),
        None if shared else key_encoder(),
        temperature=TEMPERATURE,
        bn_group=GROUP,
        lr=LR,
        sgd_momentum=MU,
        weight_decay=DECAY,
        running_stats=keep,
        shared=shared,
    )
    losses = [oracle.step(*batch) for batch in batches()]
    return trajectory(losses, {"query": oracle.query, "key": oracle.key}, keys=oracle.keys)


def end_to_end_vectorised(shared: bool, keep: str, flaw: str = "") -> Trajectory:
    query = split(encoder(), flaw, keep).train()
    key = query if shared else split(key_encoder(), flaw, keep).train()
    if flaw == "shared where two are meant":
        key = query
    if flaw == "two where one is meant":
        key = copy.deepcopy(query)
    twice = [] if key is query else list(key.parameters())
    if flaw == "key encoder left out of the optimiser":
        twice = []
    optimiser = optimiser_of(list(query.parameters()), twice)
    half = BATCH // 2
    own = torch.arange(BATCH)
    losses = []
    for x1, x2, order in batches():
        if flaw == "views swapped":
            x1, x2 = x2, x1
        if flaw == "no shuffle":
            order = own
        if flaw == "keys encoded first":
            shuffled = key(x2[order])
            q = F.normalize(query(x1), dim=1)
        elif flaw == "one run over both views":
            q, shuffled = query(torch.cat([x1, x2[order]])).split(BATCH)
            q = F.normalize(q, dim=1)
        else:
            q = F.normalize(query(x1), dim=1)
            shuffled = key(x2[order])
        shuffled = F.normalize(shuffled, dim=1)
        k = shuffled[order.argsort()]
        if flaw == "never unshuffled":
            k = shuffled
        elif flaw == "unshuffled by the permutation itself":
            k = shuffled[order]
        elif flaw == "gradient not unshuffled":
            k = k.detach() + shuffled - shuffled.detach()
        elif flaw == "keys without gradient":
            k = k.detach()
        elif flaw == "queries without gradient":
            q = q.detach()
        target = own
        if flaw == "target of the next image":
            target = own.roll(-1)
        elif flaw == "no offset on the second process":
            target = own % half
        logits = q @ k.T / TEMPERATURE
        if flaw == "negatives from the process's own half":
            far = (own[:, None] < half) != (own[None] < half)
            logits = logits.masked_fill(far, -math.inf)
        elif flaw == "gradient to the process's own keys alone":
            near = (own[:, None] < half) == (own[None] < half)
            logits = torch.where(near, logits, q @ k.detach().T / TEMPERATURE)
        elif flaw == "negatives from both views":
            same = (q @ q.T / TEMPERATURE).masked_fill(torch.eye(BATCH, dtype=torch.bool), -1e9)
            logits = torch.cat([logits, same], dim=1)
        loss = F.cross_entropy(logits, target)
        if flaw == "positive left out of the denominator":
            others = logits.masked_fill(torch.eye(BATCH, dtype=torch.bool), -math.inf)
            loss = (others.logsumexp(1) - logits.diagonal()).mean()
        elif flaw == "symmetric":
            loss = (loss + F.cross_entropy(logits.T, target)) / 2
        optimiser.zero_grad()
        (loss * (2 if flaw == "gradient summed over processes" else 1)).backward()
        if flaw == "key's gradient doubled by the gather":
            for parameter in key.parameters():
                assert parameter.grad is not None
                parameter.grad *= 2
        optimiser.step()
        if flaw == "key encoder averaged too":
            average(key, query, MOMENTUM)
        losses.append(loss.item())
    return trajectory(losses, {"query": query, "key": key}, keys=k.detach())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("keep", ["first_group", "mean"])
def test_end_to_end_vectorised_agrees(shared: bool, keep: Literal["first_group", "mean"]) -> None:
    ours = end_to_end_by_oracle(shared, keep)
    difference = apart(ours, end_to_end_vectorised(shared, keep))
    assert max(difference.values()) < 1e-11, difference


@pytest.mark.parametrize(
    ("flaw", "shared"),
    [
        *itertools.product(
            [
                "views swapped",
                "no shuffle",
                "never unshuffled",
                "unshuffled by the permutation itself",
                "gradient not unshuffled",
                "keys without gradient",
                "queries without gradient",
                "target of the next image",
                "no offset on the second process",
                "negatives from the process's own half",
                "gradient to the process's own keys alone",
                "negatives from both views",
                "positive left out of the denominator",
                "symmetric",
                "one group",
                "interleaved groups",
                "gradient summed over processes",
                "key's gradient doubled by the gather",
            ],
            [False, True],
        ),
        ("shared where two are meant", False),
        ("key encoder left out of the optimiser", False),
        ("key encoder averaged too", False),
        ("two where one is meant", True),
    ],
)
def test_an_end_to_end_flaw_shows_in_the_losses(flaw: str, shared: bool) -> None:
    ours = end_to_end_by_oracle(shared, "first_group")
    difference = apart(ours, end_to_end_vectorised(shared, "first_group", flaw))
    assert difference["loss"] > 1e-3, difference


@pytest.mark.parametrize("flaw", ["keys encoded first", "one run over both views"])
def test_an_end_to_end_flaw_hidden_from_the_losses_shows_in_the_statistics(flaw: str) -> None:
    ours = end_to_end_by_oracle(True, "first_group")
    difference = apart(ours, end_to_end_vectorised(True, "first_group", flaw))
    assert difference["loss"] < 1e-11, difference
    assert difference["query statistics"] > 1e-3, difference
