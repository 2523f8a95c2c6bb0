"""SGD as the official code sets it up: all parameters in one group, decayed alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.recipe.schema import Optim
from harness.runtime.merged import Merged

MOMENTUM = "momentum_buffer"


class Sgd(torch.optim.SGD):
    """SGD without Nesterov; weight decay also on batch norm and biases (main_moco.py).

    The parameters are merged, and so are their gradients: autograd adds to `parameter.grad`, which
    must stay what it is; `zero_grad` sets all to 0. States are those of torch.optim.SGD over the
    parameters one by one.

    Not fused: on a CPU torch 2.14's form goes on from a momentum that nobody wrote if a GradScaler
    skips the first step.

    Args:
        merged: the parameters, one dtype and device.

    Attributes:
        gradient: (n,), all gradients, which lie in it as the parameters do in `merged.whole`.
    """

    def __init__(self, merged: Merged, optim: Optim) -> None:
        self.merged = merged
        self._whole = nn.Parameter(merged.whole)
        self.gradient = torch.zeros_like(merged.whole)
        self._gradients = merged.views(self.gradient)
        self._whole.grad = self.gradient
        self.zero_grad()
        super().__init__(
            [self._whole],
            lr=optim.lr,
            momentum=optim.sgd_momentum,
            weight_decay=optim.weight_decay,
            foreach=False,
        )

    def zero_grad(self, set_to_none: bool = False) -> None:
        """All gradients are 0 afterwards, never None; one that was replaced is put back."""
        del set_to_none
        self.gradient.zero_()
        for parameter, gradient in zip(self.merged.tensors, self._gradients, strict=True):
            if parameter.grad is not gradient:
                parameter.grad = gradient

    def step(self, closure: Any = None) -> Any:
        """One step; AssertionError if a parameter was moved, or a gradient since `zero_grad`."""
        assert self.merged.holds(), "the parameters have moved since they were merged"
        for parameter, gradient in zip(self.merged.tensors, self._gradients, strict=True):
            assert parameter.grad is gradient, "a gradient lies outside the merged ones"
        return super().step(closure)

    def state_dict(self) -> dict[str, Any]:
        """As of torch.optim.SGD over the parameters one by one, in their order."""
        found = super().state_dict()
        momentum: Tensor | None = found["state"].get(0, {}).get(MOMENTUM)
        views = [] if momentum is None else self.merged.views(momentum)
        places = list(range(len(self.merged.tensors)))
        return {
            "state": {place: {MOMENTUM: view} for place, view in enumerate(views)},
            "param_groups": [{**group, "params": places} for group in found["param_groups"]],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state of torch.optim.SGD over the parameters one by one.

        Raises:
            ValueError: it is of another number of parameters.
            RuntimeError: a momentum is of another shape.
        """
        each, tensors = state_dict["state"], self.merged.tensors
        groups = [{**group, "params": [0]} for group in state_dict["param_groups"]]
        counts = [len(group["params"]) for group in state_dict["param_groups"]]
        if counts != [len(tensors)] or len(each) not in (0, len(tensors)):
            raise ValueError(f"momentum of {counts} parameters; there are {len(tensors)}")
        state: dict[int, dict[str, Tensor | None]] = {}
        if any(one.get(MOMENTUM) is not None for one in each.values()):
            whole = torch.zeros_like(self.merged.whole)
            for place, view in enumerate(self.merged.views(whole)):
                view.copy_(each[place][MOMENTUM].reshape(view.shape))
            state = {0: {MOMENTUM: whole}}
        super().load_state_dict({"state": state, "param_groups": groups})


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Use `lr` from the next step on, in every parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = lr
