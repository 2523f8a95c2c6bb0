"""One pre-training step of MoCo with the symmetric loss of the official CIFAR-10 demo.

From the demo: the loss is the sum, not the mean, of InfoNCE(q1, k2) and InfoNCE(q2, k1); both terms
see the same queue; the key encoder moves once per step; each encoder runs once per view, in the
order q1, k2, q2, k1, each run with its own batch statistics and the running statistics moved by
each; either key batch has a shuffle of its own; then 2N keys are enqueued, those of view 1 before
those of view 2.

The key encoder moves after the optimiser's step, as in MocoOracle (v1 Algorithm 1): the demo's
place, before the forward passes, differs by a first move of nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .moco import MocoOracle, forward_in_groups, info_nce, l2_normalise


class SymmetricMocoOracle(MocoOracle):
    """MocoOracle with both views as queries and as keys.

    After a step, `queries` and `keys` (2N, dim) hold view 1's and then view 2's embeddings, which
    is the order in which the keys entered the queue.
    """

    def step(
        self,
        x_query: Tensor,
        x_key: Tensor,
        permutation: Tensor | None = None,
        permutation_swapped: Tensor | None = None,
    ) -> float:
        """Train on view 1 (`x_query`) and view 2 (`x_key`), (N, 3, H, W) each; the summed loss.

        `permutation` (N,) shuffles view 2 before the key encoder, for the first term;
        `permutation_swapped` (N,) shuffles view 1, for the second.
        """
        x1, x2 = x_query, x_key
        q1 = self._encode_queries(x1)
        k2 = self._encode_keys(x2, permutation)
        q2 = self._encode_queries(x2)
        k1 = self._encode_keys(x1, permutation_swapped)
        loss = self._term(q1, k2) + self._term(q2, k1)
        self.query.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._sgd()
        self._move_key_encoder()
        self.queries, self.keys = torch.cat([q1, q2]).detach(), torch.cat([k1, k2])
        self._enqueue(self.keys)
        return float(loss.detach())

    def _encode_queries(self, images: Tensor) -> Tensor:
        outputs = forward_in_groups(self.query, images, self.bn_group, self.running_stats)
        return torch.stack([l2_normalise(output) for output in outputs])

    def _term(self, queries: Tensor, keys: Tensor) -> Tensor:
        """InfoNCE of paired rows against the queue, the mean over the batch."""
        losses = [
            info_nce(query, key, self.queue, self.temperature)
            for query, key in zip(queries, keys, strict=True)
        ]
        return torch.stack(losses).mean()
