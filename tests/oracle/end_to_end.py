"""One pre-training step of the end-to-end mechanism (v1 Fig. 2a, Sec. 3.2 and 4.1).

From the paper: both encoders are trained by back-propagation (v1 Fig. 2a; v2 Table 3); the keys are
those of the current batch, so that its other images are the negatives, K - 1 of them for a batch of
K (v1 Fig. 3); loss, temperature and Shuffling BN are MoCo's (v1 Sec. 4.1). No official code exists.

Decided here: the queries come from view 1 and the keys from view 2, and the loss is not made
symmetric; whether the two encoders share their weights is left open by the paper, hence `shared`.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from .moco import RunningStats, forward_in_groups, info_nce, l2_normalise
from .sgd import sgd


class EndToEndOracle:
    """Both encoders and the optimiser's state, advanced one step at a time.

    `query` and `key` are encoders with ordinary batch norm that map (n, 3, H, W) to (n, dim), not
    normalised; they are copied as they are, so whether they start equal is the caller's choice.
    With `shared` there is one encoder, `self.key is self.query`, and no `key` is taken. `lr` may be
    set between steps. After a step, `queries` and `keys` (N, dim) are the embeddings that it
    compared, in batch order.
    """

    def __init__(
        self,
        query: nn.Module,
        key: nn.Module | None,
        *,
        temperature: float,
        bn_group: int,
        lr: float,
        sgd_momentum: float,
        weight_decay: float,
        running_stats: RunningStats = "first_group",
        shared: bool,
    ) -> None:
        if shared != (key is None):
            raise ValueError("two encoders need a key encoder, a shared one takes none")
        self.query = copy.deepcopy(query)
        self.key = self.query if key is None else copy.deepcopy(key)
        self.temperature = temperature
        self.bn_group = bn_group
        self.lr = lr
        self.sgd_momentum = sgd_momentum
        self.weight_decay = weight_decay
        self.running_stats: RunningStats = running_stats
        self.shared = shared
        self.buffers: dict[str, Tensor] = {}  # SGD's, "query.<name>" and "key.<name>"
        self.queries = torch.empty(0)
        self.keys = torch.empty(0)

    def step(self, x1: Tensor, x2: Tensor, permutation: Tensor | None = None) -> float:
        """Train on two views (N, 3, H, W) of the global batch; the loss, its mean over N.

        With `permutation` (N,), Shuffling BN: position j of the batch that the key encoder sees
        holds image permutation[j], and the keys are put back before they are compared. Gradients
        take the same way back.

        A shared encoder runs twice, first on view 1 and then on view 2, each in its own groups: no
        batch statistic mixes the views, and the running statistics are moved by the first run, then
        by the second.
        """
        count = x1.shape[0]
        outputs = forward_in_groups(self.query, x1, self.bn_group, self.running_stats)
        queries = [l2_normalise(output) for output in outputs]
        keys = self._encode_keys(x2, permutation)
        losses = []
        for i in range(count):
            others = [keys[j] for j in range(count) if j != i]  # N - 1 negatives
            negatives = torch.stack(others) if others else keys[i].new_empty(0, len(keys[i]))
            losses.append(info_nce(queries[i], keys[i], negatives, self.temperature))
        loss = torch.stack(losses).mean()
        self.query.zero_grad(set_to_none=True)
        self.key.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [("query." + name, p) for name, p in self.query.named_parameters()]
        if not self.shared:  # else each would move twice
            parameters += [("key." + name, p) for name, p in self.key.named_parameters()]
        sgd(
            parameters,
            self.buffers,
            lr=self.lr,
            momentum=self.sgd_momentum,
            weight_decay=self.weight_decay,
        )
        self.queries, self.keys = torch.stack(queries).detach(), torch.stack(keys).detach()
        return float(loss.detach())

    def _encode_keys(self, images: Tensor, permutation: Tensor | None) -> list[Tensor]:
        """The keys in batch order, with their gradient."""
        count = images.shape[0]
        order = list(range(count)) if permutation is None else [int(i) for i in permutation]
        if sorted(order) != list(range(count)):
            raise ValueError("not a permutation of the batch")
        shuffled = torch.stack([images[image] for image in order])
        outputs = forward_in_groups(self.key, shuffled, self.bn_group, self.running_stats)
        return [l2_normalise(outputs[order.index(image)]) for image in range(count)]
