"""The memory bank on one page (v1 Fig. 2b; InstDisc, arXiv:1805.01978).

From the original code (zhirongw/lemniscate.pytorch): the positive is the entry before its update;
draws are uniform with replacement and may include the query's own entry; the bank's momentum is
0.5; NCE's constant Z comes from the first batch. Different here: one set of draws serves all
queries of a step, where the original draws one per query. At K = 65536 a step gathers 1 GB less.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods.mechanism import Mechanism
from harness.methods.memory_bank.config import MemoryBank
from harness.model.encoder import Encoder
from harness.recipe.schema import Recipe
from harness.runtime import keyed
from harness.runtime.device_copy import moved
from harness.runtime.precision import Precision
from harness.runtime.world import World


class BankContrast(Mechanism):
    """One encoder, one view; positives and negatives are stored embeddings, (images, C).

    State: `bank`, float32, unit rows, random at first; `z`, NCE's constant, 0 until the first step.
    Shuffling BN is not needed: positives come from other mini-batches (v1 Sec. 3.3).
    """

    bank: Tensor
    z: Tensor

    def __init__(
        self,
        encoder: Encoder,
        contrast: MemoryBank,
        *,
        images: int,
        dim: int,
        seed: int,
        precision: Precision,
        world: World,
    ) -> None:
        super().__init__(encoder, seed=seed, precision=precision, world=world)
        self.register_buffer("bank", keyed.unit_rows(images, dim, seed, "bank"))
        self.register_buffer("z", torch.zeros(()))
        self.settings = contrast
        self._fresh: tuple[Tensor, Tensor] | None = None

    def forward(self, views: Sequence[Tensor], index: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The loss of the one view against the bank; see Mechanism.forward."""
        (x,) = views  # (n, 3, S, S)
        q = self.embed(self.query, x)  # (n, C)
        index = moved(index, q.device)
        drawn = moved(self.draws(step), q.device)  # (K,)
        pos = (q * self.bank[index]).sum(1) / self.settings.temperature  # (n,)
        neg = q @ self.bank[drawn].T / self.settings.temperature  # (n, K)
        if self.settings.loss == "nce" and step == 0:
            self._estimate_z(pos, neg)
        if self.settings.exclude_self:
            neg = neg.masked_fill(index.unsqueeze(1) == drawn, -torch.inf)
        self._fresh = (self.world.gather(q.detach()), self.world.gather(index))
        correct = (pos > neg.amax(1)).sum()
        if self.settings.loss == "nce":
            return self._nce(pos, neg), correct
        return (torch.logaddexp(pos, neg.logsumexp(1)) - pos).mean(), correct

    def draws(self, step: int) -> Tensor:
        """The step's K bank indices, int64 (K,): uniform, with replacement, on the CPU."""
        counter = torch.arange(self.settings.negatives)
        return keyed.integers(keyed.key(self.seed, "draws", step), counter, len(self.bank))

    def _nce(self, pos: Tensor, neg: Tensor) -> Tensor:
        """Noise-contrastive estimation (InstDisc Eq. 4 to 8), mean over the queries.

        P(i|v) = exp(v.f_i / tau) / Z against K draws from the uniform noise 1/n: a query's loss is
        -log h(positive) - sum log(1 - h(negative)), h = P / (P + K/n).
        """
        # h is the sigmoid of these log-odds: exp(score) n / (Z K)
        shift = torch.log(len(self.bank) / (self.z * neg.shape[1]))
        return (-F.logsigmoid(pos + shift) - F.logsigmoid(-(neg + shift)).sum(1)).mean()

    @torch.no_grad()
    def _estimate_z(self, pos: Tensor, neg: Tensor) -> None:
        """Z: images times the first batch's mean exp(score), over all processes; then constant."""
        mean = torch.cat([pos.unsqueeze(1), neg], dim=1).exp().mean()
        self.z.copy_(len(self.bank) * self.world.sum(mean) / self.world.size)

    def dictionary(self) -> Tensor:
        """The whole bank, from which each step's negatives are drawn."""
        return self.bank

    @torch.no_grad()
    def after_step(self) -> None:
        """bank[i] <- normalise(t bank[i] + (1 - t) query), for the images of the global batch."""
        assert self._fresh is not None, "after_step() without a forward pass"
        fresh, index = self._fresh
        self.bank[index] = F.normalize(
            torch.lerp(fresh.to(self.bank.dtype), self.bank[index], self.settings.bank_momentum),
            dim=1,
        )
        self._fresh = None


def build(recipe: Recipe, encoder: Encoder, *, labels: Tensor, world: World) -> BankContrast:
    """The mechanism that the recipe describes, on an encoder with its initial weights."""
    assert isinstance(recipe.contrast, MemoryBank)
    return BankContrast(
        encoder,
        recipe.contrast,
        images=len(labels),
        dim=recipe.model.dim,
        seed=recipe.seed,
        precision=recipe.precision,
        world=world,
    )
