"""Weighted k-nearest-neighbour classification (InstDisc, arXiv:1805.01978, Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.evaluate.features import NotFinite

ELEMENTS = 1 << 24
"""Similarities held at a time; bounds the memory for any number of features."""

BLOCK = 16
"""Similarities per block; `top` first takes only the maximum of each block."""

SHORTEST = 1e-12
"""Length below which F.normalize does not scale a feature to length 1."""


def check_distinct(bank: Tensor, labels: Tensor) -> None:
    """Refuse a bank whose features are all equal bit for bit, or too short to be normalised. Which
    of them are neighbours would depend on their order alone.

    Args:
        bank, labels: as in `knn_right`, before it.

    Raises:
        NotFinite: they are, and their labels differ.
    """
    for part in (bank[:64], bank):  # the first rows nearly always suffice
        equal = bool((part == part[:1]).all())
        short = float(torch.linalg.vector_norm(part, dim=1).max()) < SHORTEST
        if not (equal or short):
            return
    if bool((labels != labels[0]).any()):
        what = "zero" if short else "the same"
        raise NotFinite(
            f"the features of all {len(bank)} images were {what}, so no nearest neighbour exists"
        )


@torch.no_grad()
def knn_right(
    queries: Tensor,
    query_labels: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    *,
    k: Sequence[int],
    temperature: float,
    classes: int,
    only: Sequence[int] = (),
) -> Tensor:
    """Which queries are correctly classified for every k, bool (len(k), n), from one pass.

    Args:
        queries, bank: features (n, d) and (m, d), float32; normalised here, in place, as a bank
            may fill much of a GPU.
        query_labels, bank_labels: int64 (n,) and (m,).
        k: numbers of neighbours, each at most m.
        temperature: a neighbour of cosine similarity s votes with exp(s / temperature).
        only: the classes that a query may be recognised as; () for all. Neighbours of other classes
            do not vote, and a query without a vote counts as wrong.

    Raises:
        ValueError: a k exceeds the bank.
    """
    if max(k) > len(bank):
        raise ValueError(f"k = {max(k)}, but the bank has {len(bank)} entries")
    for features in (queries, bank):
        F.normalize(features, dim=1, out=features)
    bank_labels = bank_labels.to(bank.device)
    query_labels = query_labels.to(bank.device)
    right = torch.empty(len(k), len(queries), dtype=torch.bool, device=bank.device)
    others = not_among(only, classes).to(bank.device)
    done = 0
    chunk = max(1, ELEMENTS // len(bank))
    memory = queries.new_empty(min(chunk, len(queries)), len(bank))  # new pages would cost time
    for rows, labels in zip(
        torch.split(queries, chunk), torch.split(query_labels, chunk), strict=True
    ):
        product = torch.mm(rows, bank.T, out=memory[: len(rows)])
        similarity, nearest = top(product, max(k))
        # Relative to the nearest neighbour: the order of votes is the same, and nothing overflows.
        weight = (similarity - similarity[:, :1]).div_(temperature).exp_()
        voted = bank_labels[nearest]
        for n, kk in enumerate(k):
            votes = weight.new_zeros(len(rows), classes)
            votes.scatter_add_(1, voted[:, :kk], weight[:, :kk])
            if only:
                votes.masked_fill_(others, 0)
            found = votes.argmax(1) == labels
            right[n, done : done + len(rows)] = found & (votes.amax(1) > 0) if only else found
        done += len(rows)
    return right


def not_among(only: Sequence[int], classes: int) -> Tensor:
    """bool (classes,): true for the classes that are not among `only`; () is all."""
    others = torch.full((classes,), bool(only))
    others[list(only)] = False
    return others


def top(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of x (n, m), largest first, and their columns: both (n, k).

    Exact, and cheaper than `topk`, which reads each number several times. Column j belongs to block
    j mod (m // BLOCK). The k largest are in at most k blocks, so all of them are in the k blocks
    with the largest maxima. Among equal values at the end any may be taken, as in topk.
    """
    n, m = x.shape
    blocks = m // BLOCK
    if 2 * k * BLOCK > m:  # the blocks would be most of the row
        values, where = x.topk(k, dim=1)
        return values, where
    whole = x[:, : blocks * BLOCK].view(n, BLOCK, blocks)
    best = whole.amax(1).topk(k, dim=1, sorted=False).indices  # (n, k)
    members = whole.gather(2, best.unsqueeze(1).expand(-1, BLOCK, -1)).flatten(1)  # (n, BLOCK k)
    last = x[:, blocks * BLOCK :]  # fewer than BLOCK, in no block
    values, place = torch.cat([members, last], dim=1).topk(k, dim=1)
    within = best.gather(1, place % k) + place.div(k, rounding_mode="floor") * blocks
    beyond = place + (blocks - k) * BLOCK
    return values, torch.where(place < BLOCK * k, within, beyond)
