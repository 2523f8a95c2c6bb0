"""A second, vectorised form of the step agrees with the oracle, and its planted flaws do not.

This says what a comparison with the oracle is able to expose, and under which settings: some flaws
leave every loss as it was and show in the key encoder's buffers or in the queue alone.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .moco import MocoOracle

BATCH, GROUP, DIM, STEPS = 8, 4, 6, 8
MOMENTUM, TEMPERATURE, LR, MU, DECAY = 0.9, 0.2, 0.1, 0.9, 0.05


class SplitNorm(nn.BatchNorm2d):
    """Contiguous groups as extra channels: one call of torch's batch norm for all of them."""

    interleaved = False
    keep = "first_group"
    group = GROUP

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        n, c, h, w = x.shape
        g = n // self.group
        if self.interleaved:
            wide = x.view(n // g, g * c, h, w)  # the demo's view: group s holds n = s mod g
        else:
            wide = x.view(g, n // g, c, h, w).transpose(0, 1).reshape(n // g, g * c, h, w)
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, var = self.running_mean.repeat(g), self.running_var.repeat(g)
        scale, shift = self.weight.repeat(g), self.bias.repeat(g)
        out = F.batch_norm(wide, mean, var, scale, shift, True, 0.1, self.eps)
        row = {"first_group": 0, "last_group": g - 1}
        for buffer, rows in ((self.running_mean, mean), (self.running_var, var)):
            each = rows.view(g, c)
            buffer.copy_(each.mean(0) if self.keep == "mean" else each[row[self.keep]])
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        if self.interleaved:
            return out.view(n, c, h, w)
        return out.view(n // g, g, c, h, w).transpose(0, 1).reshape(n, c, h, w)


def encoder() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 8, 3, stride=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, DIM),
    ).double()


def split(plain: nn.Sequential, flaw: str, keep: str) -> nn.Sequential:
    model = copy.deepcopy(plain)
    for i, layer in enumerate(plain):
        if isinstance(layer, nn.BatchNorm2d):
            norm = SplitNorm(layer.num_features).double()
            norm.load_state_dict(layer.state_dict())
            norm.interleaved = flaw == "interleaved groups"
            norm.group = BATCH if flaw == "one group" else GROUP
            norm.keep = "last_group" if flaw == "last group's statistics" else keep
            model[i] = norm
    return model


@dataclass
class Trace:
    losses: list[float] = field(default_factory=list)
    query: dict[str, Tensor] = field(default_factory=dict)
    key: dict[str, Tensor] = field(default_factory=dict)
    queue: Tensor = field(default_factory=lambda: torch.empty(0))


def batches() -> list[tuple[Tensor, Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    out = []
    for _ in range(STEPS):
        image = torch.randn(BATCH, 3, 7, 7, dtype=torch.float64, generator=draw)
        noise = torch.randn(2, BATCH, 3, 7, 7, dtype=torch.float64, generator=draw) * 0.3
        order = torch.randperm(BATCH, generator=draw)
        out.append((image + noise[0], image + noise[1], order))
    return out


def start(size: int) -> Tensor:
    draw = torch.Generator().manual_seed(2)
    return F.normalize(torch.randn(size, DIM, dtype=torch.float64, generator=draw), dim=1)


@functools.cache
def by_oracle(size: int, keep: str) -> Trace:
    oracle = MocoOracle(
        encoder(),
        queue=start(size),
        momentum=MOMENTUM,
        temperature=TEMPERATURE,
        bn_group=GROUP,
        lr=LR,
        sgd_momentum=MU,
        weight_decay=DECAY,
        running_stats="mean" if keep == "mean" else "first_group",
    )
    losses = [oracle.step(*batch) for batch in batches()]
    return Trace(losses, oracle.query.state_dict(), oracle.key.state_dict(), oracle.queue)


def vectorised(size: int, keep: str, flaw: str = "") -> Trace:
    query = split(encoder(), flaw, keep).train()
    key = copy.deepcopy(query).train(flaw != "key encoder in eval mode")
    queue, first = start(size), 0
    no_decay = [p for p in query.parameters() if p.ndim == 1]
    decayed = [p for p in query.parameters() if p.ndim > 1]
    if flaw == "no decay on norms and biases":
        groups: list[dict[str, Any]] = [
            {"params": decayed},
            {"params": no_decay, "weight_decay": 0.0},
        ]
    else:
        groups = [{"params": decayed + no_decay}]
    optimiser = torch.optim.SGD(
        groups,
        lr=LR,
        momentum=MU,
        weight_decay=DECAY,
        nesterov=flaw == "nesterov",
        dampening=0.9 if flaw == "dampened buffer" else 0.0,
    )
    m = 1 - MOMENTUM if flaw == "m and 1 - m swapped" else MOMENTUM
    losses = []
    for x_query, x_key, order in batches():
        if flaw == "momentum buffer lost":
            optimiser.state.clear()
        q = query(x_query)
        if flaw != "query not normalised":
            q = F.normalize(q, dim=1)
        with torch.no_grad():
            if flaw == "no shuffle":
                order = torch.arange(BATCH)
            k = F.normalize(key(x_key[order]), dim=1)
            if flaw == "keys enqueued in shuffled order":
                shuffled = k.clone()
            if flaw == "unshuffled by the permutation itself":
                k = k[order]
            elif flaw != "never unshuffled":
                k = k[order.argsort()]
            rows = (first + torch.arange(BATCH)) % size
            if flaw == "pointer stays at 0":
                rows = torch.arange(BATCH)
            elif flaw == "tail dropped instead of wrapped":
                rows = rows[first + torch.arange(BATCH) < size]
            new = shuffled if flaw == "keys enqueued in shuffled order" else k
            new = embed(query, x_query) if flaw == "queries enqueued" else new
            if flaw == "enqueued before use":
                queue[rows] = new[: len(rows)]
        positive = (q * k).sum(1, keepdim=True)
        negative = q @ queue.clone().T
        if flaw != "temperature on the negatives alone":
            positive = positive / TEMPERATURE
        if flaw != "temperature on the positive alone":
            negative = negative / TEMPERATURE
        loss = F.cross_entropy(
            torch.cat([positive, negative], dim=1), torch.zeros(BATCH, dtype=torch.int64)
        )
        if flaw == "positive left out of the denominator":
            loss = (negative.logsumexp(1) - positive.squeeze(1)).mean()
        optimiser.zero_grad()
        (loss * (BATCH if flaw == "gradient summed over the batch" else 1)).backward()
        if flaw == "average taken before the optimiser's step":
            average(key, query, m)
        optimiser.step()
        if flaw != "average taken before the optimiser's step":
            average(key, query, m)
        if flaw == "average over buffers too":
            with torch.no_grad():
                for ours, theirs in zip(key.buffers(), query.buffers(), strict=True):
                    if ours.is_floating_point():
                        ours.mul_(m).add_(theirs, alpha=1 - m)
        if flaw != "enqueued before use":
            queue[rows] = new[: len(rows)]
        first = (first + BATCH) % size
        losses.append(loss.item())
    return Trace(losses, query.state_dict(), key.state_dict(), queue)


@torch.no_grad()
def embed(query: nn.Module, x: Tensor) -> Tensor:
    return F.normalize(copy.deepcopy(query)(x), dim=1)


@torch.no_grad()
def average(key: nn.Module, query: nn.Module, m: float) -> None:
    for ours, theirs in zip(key.parameters(), query.parameters(), strict=True):
        ours.mul_(m).add_(theirs, alpha=1 - m)


def distance(a: Trace, b: Trace) -> dict[str, float]:
    """Largest difference in each part of the trajectory."""

    def states(left: dict[str, Tensor], right: dict[str, Tensor], statistics: bool) -> float:
        names = [n for n in left if ("running" in n or "tracked" in n) == statistics]
        return max(float((left[n] - right[n]).abs().max()) for n in names)

    return {
        "loss": max(abs(x - y) for x, y in zip(a.losses, b.losses, strict=True)),
        "query": states(a.query, b.query, False),
        "key": states(a.key, b.key, False),
        "query statistics": states(a.query, b.query, True),
        "key statistics": states(a.key, b.key, True),
        "queue": float((a.queue - b.queue).abs().max()),
    }


@pytest.mark.parametrize("size", [BATCH, 2 * BATCH, 13, 29])
@pytest.mark.parametrize("keep", ["first_group", "mean"])
def test_the_vectorised_form_agrees(size: int, keep: str) -> None:
    apart = distance(by_oracle(size, keep), vectorised(size, keep))
    assert max(apart.values()) < 1e-11, apart


IN_THE_LOSS = [
    "temperature on the negatives alone",
    "temperature on the positive alone",
    "positive left out of the denominator",
    "query not normalised",
    "m and 1 - m swapped",
    "average taken before the optimiser's step",
    "key encoder in eval mode",
    "one group",
    "interleaved groups",
    "no shuffle",
    "never unshuffled",
    "unshuffled by the permutation itself",
    "enqueued before use",
    "queries enqueued",
    "pointer stays at 0",
    "tail dropped instead of wrapped",
    "keys enqueued in shuffled order",
    "no decay on norms and biases",
    "nesterov",
    "dampened buffer",
    "momentum buffer lost",
    "gradient summed over the batch",
]


@pytest.mark.parametrize("flaw", IN_THE_LOSS)
def test_a_flaw_shows_in_the_losses(flaw: str) -> None:
    size = 13  # no multiple of the batch
    apart = distance(by_oracle(size, "first_group"), vectorised(size, "first_group", flaw))
    assert apart["loss"] > 1e-3, apart


@pytest.mark.parametrize(
    ("flaw", "size", "where"),
    [
        # nothing in training reads the key encoder's running statistics
        ("average over buffers too", 13, "key statistics"),
        ("last group's statistics", 13, "query statistics"),
        # whole batches leave a queue of whole batches, whatever the order of their rows
        ("keys enqueued in shuffled order", 2 * BATCH, "queue"),
    ],
)
def test_a_flaw_hidden_from_the_losses_shows_elsewhere(flaw: str, size: int, where: str) -> None:
    apart = distance(by_oracle(size, "first_group"), vectorised(size, "first_group", flaw))
    assert apart["loss"] < 1e-11, apart
    assert apart[where] > 1e-3, apart
