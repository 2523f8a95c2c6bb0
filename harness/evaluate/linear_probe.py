"""Linear classifiers on frozen features, one for each rate and decay, trained in one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from harness.evaluate.knn import not_among
from harness.recipe.schema import Linear
from harness.runtime import keyed
from harness.runtime.schedule import stepped

INITIAL_STD = 0.01
"""The classifier's initial weights are N(0, 0.01), its biases 0 (code: main_lincls.py)."""


class LinearProbe:
    """R softmax classifiers on the same features, each trained by SGD with its own rate and decay.

    They share only the features, so each is the same as if trained alone. All R start with the same
    weights. State: weight (R, classes, d), bias (R, classes), and SGD's momentum of both.
    """

    def __init__(
        self,
        protocol: Linear,
        *,
        dim: int,
        classes: int,
        stream: tuple[int | str, ...],
        device: torch.device,
    ) -> None:
        """`stream` is the key of the initial weights, e.g. (seed, "linear")."""
        self.protocol = protocol
        self._lr, self._decay = torch.tensor(pairs(protocol), device=device).T
        rates = len(self._lr)
        start = torch.randn(classes, dim, generator=keyed.generator(*stream)) * INITIAL_STD
        self.weight = start.repeat(rates, 1, 1).to(device)
        self.bias = torch.zeros(rates, classes, device=device)
        self._momenta: list[Tensor | None] = [None, None]

    def logits(self, features: Tensor) -> Tensor:
        """(n, R, classes) of features (n, d), in one product."""
        rates, classes, dim = self.weight.shape
        flat = torch.addmm(self.bias.view(-1), features, self.weight.view(-1, dim).T)
        return flat.view(-1, rates, classes)

    @torch.no_grad()
    def step(self, features: Tensor, labels: Tensor, epoch: int) -> Tensor:
        """One SGD step on features (n, d), labels int64 (n,); returns the losses (R,), in nats.

        The gradient of the mean cross-entropy is explicit, (softmax - one-hot) / n, so that all
        rates take as few operations as one.
        """
        protocol, n = self.protocol, len(labels)
        rates, classes, dim = self.weight.shape
        answer = labels.view(-1, 1, 1).expand(-1, rates, 1)
        log_softmax = self.logits(features).log_softmax(2)
        losses = log_softmax.gather(2, answer).mean(0).neg_().view(-1)
        error = log_softmax.exp_().scatter_add_(2, answer, features.new_full((n, rates, 1), -1.0))
        error = error.div_(n).view(n, -1)
        gradients = (
            (error.T @ features).view(rates, classes, dim),
            error.sum(0).view(rates, classes),
        )
        rate = self._lr * stepped(protocol.drops, protocol.factor, epoch)
        for at, (parameter, gradient) in enumerate(
            zip((self.weight, self.bias), gradients, strict=True)
        ):
            across = (-1, *[1] * (parameter.dim() - 1))
            gradient.addcmul_(self._decay.view(across), parameter)
            before = self._momenta[at]
            if before is not None:
                gradient.add_(before, alpha=protocol.sgd_momentum)
            self._momenta[at] = gradient
            parameter.addcmul_(rate.view(across), gradient, value=-1)
        return losses

    @torch.no_grad()
    def right(
        self, features: Tensor, labels: Tensor, only: Sequence[int] = ()
    ) -> tuple[Tensor, list[bool]]:
        """Which of the features (n, d) each classifier recognises, bool (R, n); and whether all its
        logits are finite: the largest of others could be any class.

        `only`: the classes that an image may be recognised as; () for all.
        """
        logits = self.logits(features)
        finite = logits.isfinite().all(2).all(0).tolist()
        if only:
            logits.masked_fill_(not_among(only, logits.shape[2]).to(logits.device), -math.inf)
        return (logits.argmax(2) == labels.view(-1, 1)).T, finite

    def accuracy(self, features: Tensor, labels: Tensor) -> list[float]:
        """Top-1 accuracy on features (n, d), per rate, in percent; NaN if a logit is not finite."""
        right, finite = self.right(features, labels)
        pairs = zip(right.sum(1).tolist(), finite, strict=True)
        return [100 * n / len(labels) if whole else math.nan for n, whole in pairs]

    def state(self) -> dict[str, Tensor | None]:
        """The state for a checkpoint."""
        return {
            "weight": self.weight,
            "bias": self.bias,
            "weight_momentum": self._momenta[0],
            "bias_momentum": self._momenta[1],
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Resume from `state`."""
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
    """{"metric": the result, "metric@lr10": another rate's; with ",wd0.001" if decays vary}."""
    several = len(protocol.weight_decay) > 1
    found = {}
    for n, ((lr, decay), value) in enumerate(zip(pairs(protocol), values, strict=True)):
        setting = f"@lr{lr:g}" + (f",wd{decay:g}" if several else "")
        found[metric + setting if n else metric] = value
    return found
