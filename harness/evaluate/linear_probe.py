"""Linear classifiers on frozen features, one for each rate and decay, trained in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.recipe.schema import Linear
from harness.runtime import keyed
from harness.runtime.schedule import stepped

INITIAL_STD = 0.01
"""The classifier's initial weights are N(0, 0.01), its biases 0 (code: main_lincls.py)."""


class LinearProbe:
    """R softmax classifiers on the same features, trained by SGD with a rate and decay each.

    They share nothing but the features, so each is what it would be alone. All R begin with the
    same weights. State: weight (R, classes, d), bias (R, classes), and SGD's momentum of both.
    """

    def __init__(
        self, protocol: Linear, *, dim: int, classes: int, seed: int, device: torch.device
    ) -> None:
        self.protocol = protocol
        self._lr, self._decay = torch.tensor(pairs(protocol), device=device).T
        rates = len(self._lr)
        start = torch.randn(classes, dim, generator=keyed.generator(seed, "linear")) * INITIAL_STD
        self.weight = start.repeat(rates, 1, 1).to(device).requires_grad_()
        self.bias = torch.zeros(rates, classes, device=device, requires_grad=True)
        self._momenta: list[Tensor | None] = [None, None]

    def logits(self, features: Tensor) -> Tensor:
        """(R, n, classes) of features (n, d)."""
        return torch.einsum("nd,rcd->rnc", features, self.weight) + self.bias.unsqueeze(1)

    def step(self, features: Tensor, labels: Tensor, epoch: int) -> Tensor:
        """One SGD step on features (n, d), labels int64 (n,): its losses (R,), in nats."""
        protocol = self.protocol
        losses = torch.stack([F.cross_entropy(each, labels) for each in self.logits(features)])
        gradients = torch.autograd.grad(losses.sum(), [self.weight, self.bias])
        factor = stepped(protocol.drops, protocol.factor, epoch)
        rates = self._lr * factor
        with torch.no_grad():
            for n, (parameter, gradient) in enumerate(
                zip((self.weight, self.bias), gradients, strict=True)
            ):
                across = (-1, *[1] * (parameter.dim() - 1))
                gradient = gradient + self._decay.view(across) * parameter
                before = self._momenta[n]
                momentum = gradient if before is None else protocol.sgd_momentum * before + gradient
                self._momenta[n] = momentum
                parameter -= rates.view(across) * momentum
        return losses.detach()

    @torch.no_grad()
    def hits(self, features: Tensor, labels: Tensor) -> Tensor:
        """Correctly classified of features (n, d), per rate: int64 (R,)."""
        return (self.logits(features).argmax(2) == labels).sum(1)

    def state(self) -> dict[str, Tensor | None]:
        """For a checkpoint."""
        return {
            "weight": self.weight.detach(),
            "bias": self.bias.detach(),
            "weight_momentum": self._momenta[0],
            "bias_momentum": self._momenta[1],
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`."""
        with torch.no_grad():
            self.weight.copy_(state["weight"])
            self.bias.copy_(state["bias"])
        device = self.weight.device
        self._momenta = [
            None if state[name] is None else state[name].to(device)
            for name in ("weight_momentum", "bias_momentum")
        ]


def pairs(protocol: Linear) -> list[tuple[float, float]]:
    """(rate, decay) of each classifier; the first is the result."""
    return [(lr, decay) for decay in protocol.weight_decay for lr in protocol.lr]


def named(metric: str, protocol: Linear, values: Sequence[float]) -> dict[str, float]:
    """{"metric": the result's value, "metric@lr10": others'; with ",wd0.001" if decays vary}."""
    several = len(protocol.weight_decay) > 1
    found = {}
    for n, ((lr, decay), value) in enumerate(zip(pairs(protocol), values, strict=True)):
        setting = f"@lr{lr:g}" + (f",wd{decay:g}" if several else "")
        found[metric + setting if n else metric] = value
    return found
