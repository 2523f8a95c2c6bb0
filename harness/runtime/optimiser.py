"""MergedOptimiser: base of the pre-training optimisers; a torch optimiser on merged parameters."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from harness.recipe.optim import Optim
from harness.runtime.merged import Merged
from harness.spec.declarations import load
from harness.spec.registry import optimisers


class MergedOptimiser(torch.optim.Optimizer):
    """Base class to put before one of torch's optimisers that works on each number separately:
    class Sgd(MergedOptimiser, torch.optim.SGD).

    The parameters are merged, and so are their gradients. Autograd adds to `parameter.grad`, which
    must stay the same tensor; `zero_grad` sets all to 0. The state dict is that of torch's
    optimiser over the separate parameters.

    Args:
        merged: the parameters, one dtype and device.
        settings: torch's other arguments, for one group of all parameters.

    Attributes:
        gradient: (n,), all gradients, at the positions that the parameters have in `merged.whole`.
    """

    def __init__(self, merged: Merged, **settings: Any) -> None:
        self.merged = merged
        self._whole = nn.Parameter(merged.whole)
        self.gradient = torch.zeros_like(merged.whole)
        self._gradients = merged.views(self.gradient)
        self._whole.grad = self.gradient
        self.zero_grad()
        super().__init__([self._whole], **settings)

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set all gradients to 0, never to None; a gradient that was replaced is put back."""
        del set_to_none
        self.gradient.zero_()
        for parameter, gradient in zip(self.merged.tensors, self._gradients, strict=True):
            if parameter.grad is not gradient:
                parameter.grad = gradient

    def step(self, closure: Any = None) -> Any:
        """One step; AssertionError if a parameter was moved, or a gradient since `zero_grad`."""
        assert self.merged.holds(), "the parameters were moved in memory after the merge"
        for parameter, gradient in zip(self.merged.tensors, self._gradients, strict=True):
            assert parameter.grad is gradient, "a gradient is not in the merged buffer"
        return super().step(closure)

    def state_dict(self) -> dict[str, Any]:
        """The state dict of torch's optimiser over the separate parameters, in their order."""
        found = super().state_dict()
        each: list[dict[str, Any]] = [{} for _ in self.merged.tensors]
        for name, value in found["state"].get(0, {}).items():
            for state, own in zip(each, self._parted(value), strict=True):
                if own is not None:
                    state[name] = own
        places = list(range(len(each)))
        return {
            "state": {place: state for place, state in enumerate(each) if state},
            "param_groups": [{**group, "params": places} for group in found["param_groups"]],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state dict of torch's optimiser over the separate parameters.

        Raises:
            ValueError: it has another number of parameters.
            RuntimeError: a part of it, such as a momentum, has another shape.
        """
        each, tensors = state_dict["state"], self.merged.tensors
        groups = [{**group, "params": [0]} for group in state_dict["param_groups"]]
        counts = [len(group["params"]) for group in state_dict["param_groups"]]
        if counts != [len(tensors)] or len(each) not in (0, len(tensors)):
            raise ValueError(f"a state of {counts} parameters, but the network has {len(tensors)}")
        names = dict.fromkeys(name for one in each.values() for name in one)
        state = {name: self._joined([each[n][name] for n in sorted(each)]) for name in names}
        state = {name: value for name, value in state.items() if value is not None}
        super().load_state_dict({"state": {0: state} if state else {}, "param_groups": groups})

    def _parted(self, value: Any) -> list[Any]:
        """A part of the state, split for each parameter. If there is one for all, such as a count
        of steps, each gets its own copy, as torch changes it in place."""
        if isinstance(value, Tensor) and value.shape == self.merged.whole.shape:
            return list(self.merged.views(value))
        return [copy.deepcopy(value) for _ in self.merged.tensors]

    def _joined(self, values: list[Any]) -> Any:
        """The reverse of `_parted`."""
        pairs = list(zip(self.merged.tensors, values, strict=True))
        if not all(isinstance(value, Tensor) for value in values) or any(
            tensor.dim() and not value.dim() for tensor, value in pairs
        ):
            return copy.deepcopy(values[0])
        whole = torch.zeros_like(self.merged.whole)
        for view, value in zip(self.merged.views(whole), values, strict=True):
            view.copy_(value.reshape(view.shape))
        return whole


def build_optimiser(merged: Merged, optim: Optim) -> MergedOptimiser:
    """The optimiser that the recipe's `optim` names, over the merged parameters."""
    made: MergedOptimiser = load(optimisers()[optim.kind].build)(merged, optim)
    return made


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Use `lr` from the next step on, in every parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = lr
