"""SGD over any number of parameters, in the form of torch.optim.SGD."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def sgd(
    parameters: Iterable[tuple[str, nn.Parameter]],
    buffers: dict[str, Tensor],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """One step over all parameters, batch norm's and biases included (code: one group).

    The penalty joins the gradient, the gradient joins the buffer undamped, and the rate multiplies
    the buffer. `buffers` holds the momentum buffers by the parameter's name.
    """
    for name, parameter in parameters:
        if parameter.grad is None:
            continue
        gradient = parameter.grad + weight_decay * parameter
        if name in buffers:
            gradient = momentum * buffers[name] + gradient
        buffers[name] = gradient.clone()
        parameter.copy_(parameter - lr * gradient)
