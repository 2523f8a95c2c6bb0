"""SGD over groups of parameters, each with its own rate and weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.runtime.merged import Merged
from harness.runtime.optimiser import MergedOptimiser, set_rate


@dataclass(frozen=True)
class Group:
    """Parameters of one dtype and device, with the factor of their rate and their L2 penalty."""

    parameters: Sequence[Tensor]
    rate: float
    weight_decay: float


class _Sgd(MergedOptimiser, torch.optim.SGD):
    """One group. Not fused, as in harness.runtime.sgd."""


class GroupedSgd:
    """torch.optim.SGD with parameter groups; each group is merged into one tensor.

    Attributes:
        gradients: for each group, all its gradients as one tensor (n,).
    """

    def __init__(self, groups: Sequence[Group], *, momentum: float, nesterov: bool) -> None:
        self._rates = [group.rate for group in groups]
        self._each = [
            _Sgd(
                Merged(group.parameters),
                lr=0.0,
                momentum=momentum,
                nesterov=nesterov,
                weight_decay=group.weight_decay,
                foreach=False,
            )
            for group in groups
        ]
        self.gradients = [each.gradient for each in self._each]

    def zero_grad(self) -> None:
        """Set all gradients to 0."""
        for each in self._each:
            each.zero_grad()

    def step(self, lr: float) -> None:
        """One step; each group's rate is `lr` times its factor."""
        for each, factor in zip(self._each, self._rates, strict=True):
            set_rate(each, lr * factor)
            each.step()

    def weights(self) -> list[Tensor]:
        """For each group, all its parameters as one tensor (n,)."""
        return [each.merged.whole for each in self._each]

    def state(self) -> list[dict[str, Any]]:
        """The momentum of each parameter, by group, for a checkpoint."""
        return [each.state_dict()["state"] for each in self._each]

    def load(self, state: Sequence[dict[str, Any]]) -> None:
        """Resume from `state`.

        Raises:
            ValueError, RuntimeError: it is of other groups.
        """
        for each, own in zip(self._each, state, strict=True):
            each.load_state_dict({**each.state_dict(), "state": own})
