"""Inputs of a norm over two pad groups of different sizes.

naive_sync_bn.json holds what detectron2's NaiveSyncBatchNorm (commit 02b5c4e) made of them, one
group on each of two gloo processes: output, the gradient that the sum over groups of
(output * factors) gives to the input, each process's gradients of weight and bias, and running
statistics.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from harness.model.detection.pad_groups import PadGroupNorm
from harness.runtime import keyed
from harness.runtime.world import World

SHAPES = ((2, 3, 4, 5), (2, 3, 6, 3))


def numbers(name: str, shape: tuple[int, ...]) -> Tensor:
    return keyed.uniform(keyed.key(name), torch.arange(math.prod(shape)))[:, 0].view(shape)


def group(number: int) -> Tensor:
    """The groups differ in mean and spread, so that their weights matter."""
    return (1 + 2 * number) * numbers(f"group {number}", SHAPES[number]) + number


def factors(number: int) -> Tensor:
    return numbers(f"factors {number}", SHAPES[number])


def fill_norm(norm: nn.BatchNorm2d) -> None:
    with torch.no_grad():
        norm.weight.copy_(0.5 + numbers("weight", (3,)))
        norm.bias.copy_(numbers("bias", (3,)))


def normed(world: World, numbers: list[int]) -> tuple[list[Tensor], list[Tensor], PadGroupNorm]:
    """Outputs and the inputs' gradients of some of the groups."""
    norm = PadGroupNorm(3, group=4)
    fill_norm(norm)
    norm.world = world
    inputs = [group(number).requires_grad_(True) for number in numbers]
    outputs = norm.forward_groups(inputs)
    parts = [(out * factors(n)).sum() for out, n in zip(outputs, numbers, strict=True)]
    torch.stack(parts).sum().backward()
    gradients = [each.grad for each in inputs if each.grad is not None]
    return [each.detach() for each in outputs], gradients, norm


def norm_of_rank(world: World) -> tuple[list[Tensor], list[Tensor]]:
    return normed(world, [world.rank])[:2]
