"""One pre-training step with a memory bank (v1 Fig. 2b and Sec. 4.1; InstDisc Sec. 3).

From v1: the negatives are K rows drawn at random from the bank; the loss of the table is InfoNCE,
with NCE as a variant; there is no Shuffling BN, for the positives come from past batches.
From InstDisc Sec. 3.2: NCE with uniform noise 1/n, and Z estimated once and then constant.
From its code (lemniscate): one view per image; the positive is the image's own row before the
update; draws are uniform with replacement, so that a row may be drawn twice and the image's own row
may be drawn as its negative; a row moves by half towards the forward pass's embedding and is
normalised again; in NCE, m = K, the negatives are summed, and Z is n times the mean of
exp(score / T) over all N x (K+1) scores of the first batch, the positives among them.

Decided here: all images of a step share the K draws (lemniscate: K of each image's own); with
`exclude_self` an image's own row is left out of its sum, while m stays K and the estimate of Z
counts every draw; no small constant stands in NCE's denominators (lemniscate: 1e-7); the bank
moves once per step, after the optimiser's (lemniscate: in the backward pass; the values agree); an
image may not appear twice in a batch, which leaves one order of updates.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from .moco import RunningStats, forward_in_groups, info_nce, l2_normalise
from .sgd import sgd


def nce(
    query: Tensor,
    key: Tensor,
    negatives: Tensor,
    *,
    temperature: float,
    z: float,
    images: int,
    draws: int,
) -> Tensor:
    """NCE of one query (InstDisc Sec. 3.2): -[log h(positive) + sum of log(1 - h(negative))].

    P(i|v) = exp(v.f_i / T) / Z and h = P / (P + m P_n), with P_n = 1 / images and m = draws, which
    exceeds the number of negatives where some of them were left out.
    """
    noise = draws / images  # m P_n
    p = (query @ key / temperature).exp() / z
    total = -(p / (p + noise)).log()
    for negative in negatives:
        p = (query @ negative / temperature).exp() / z
        total = total - (noise / (p + noise)).log()  # 1 - h
    return total


class MemoryBankOracle:
    """The encoder, the bank, Z and the optimiser's state, advanced one step at a time.

    `query` is an encoder with ordinary batch norm that maps (n, 3, H, W) to (n, dim), not
    normalised; it is copied. `bank` (n_images, dim) holds the initial rows, already normalised.
    `bank_momentum` is the old row's share (InstDisc: 0.5). `lr` may be set between steps. `z` is
    None until NCE's first step, and always with InfoNCE. After a step, `queries` (N, dim) are its
    embeddings.
    """

    def __init__(
        self,
        query: nn.Module,
        *,
        bank: Tensor,
        temperature: float,
        bank_momentum: float,
        bn_group: int,
        lr: float,
        sgd_momentum: float,
        weight_decay: float,
        running_stats: RunningStats = "first_group",
        loss: Literal["info_nce", "nce"],
        exclude_self: bool,
    ) -> None:
        self.query = copy.deepcopy(query)
        self.bank = bank.detach().clone()
        self.temperature = temperature
        self.bank_momentum = bank_momentum
        self.bn_group = bn_group
        self.lr = lr
        self.sgd_momentum = sgd_momentum
        self.weight_decay = weight_decay
        self.running_stats: RunningStats = running_stats
        self.loss = loss
        self.exclude_self = exclude_self
        self.z: float | None = None
        self.buffers: dict[str, Tensor] = {}  # SGD's momentum buffers, by the parameter's name
        self.queries = torch.empty(0)

    def step(self, x: Tensor, index: Tensor, draws: Tensor) -> float:
        """Train on one view (N, 3, H, W) of the images `index` (N,); the loss, its mean over N.

        `draws` (K,) are the rows of the bank that serve every image as its negatives. Positives and
        negatives are the rows as they were before this step, and constants: no gradient.
        """
        rows, drawn = [int(i) for i in index], [int(i) for i in draws]
        if len(set(rows)) != len(rows):
            raise ValueError("an image appears twice in the batch")
        outputs = forward_in_groups(self.query, x, self.bn_group, self.running_stats)
        queries = [l2_normalise(output) for output in outputs]
        if self.loss == "nce" and self.z is None:
            self.z = self._estimate_z(queries, rows, drawn)
        losses = []
        for query, row in zip(queries, rows, strict=True):
            kept = [j for j in drawn if not (self.exclude_self and j == row)]
            key, negatives = self.bank[row].clone(), self.bank[kept].clone()
            if self.z is None:
                losses.append(info_nce(query, key, negatives, self.temperature))
            else:
                losses.append(
                    nce(
                        query,
                        key,
                        negatives,
                        temperature=self.temperature,
                        z=self.z,
                        images=len(self.bank),
                        draws=len(drawn),
                    )
                )
        loss = torch.stack(losses).mean()
        self.query.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        sgd(
            self.query.named_parameters(),
            self.buffers,
            lr=self.lr,
            momentum=self.sgd_momentum,
            weight_decay=self.weight_decay,
        )
        self.queries = torch.stack(queries).detach()
        for query, row in zip(self.queries, rows, strict=True):
            moved = self.bank_momentum * self.bank[row] + (1 - self.bank_momentum) * query
            self.bank[row] = l2_normalise(moved)
        return float(loss.detach())

    @torch.no_grad()
    def _estimate_z(self, queries: list[Tensor], rows: list[int], drawn: list[int]) -> float:
        """n times the mean of exp(score / T) over each image's positive and all of its draws."""
        values = [
            float((query @ self.bank[j] / self.temperature).exp())
            for query, row in zip(queries, rows, strict=True)
            for j in [row, *drawn]
        ]
        return len(self.bank) * sum(values) / len(values)
