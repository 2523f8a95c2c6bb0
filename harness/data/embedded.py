"""An embedded data set: ten families of grey shapes and patterns, drawn by formulas.

Nothing is downloaded. An image is a pure function of (split, index, size). All that does not define
its class is random: position, scale, rotation, aspect, polarity, contrast, brightness, background,
blur, noise and its family's own parameters. All images are grey: colour would identify the instance
instead of its class, and instance discrimination would learn nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from harness.runtime.keyed import key, uniform

Split = Literal["train", "test"]

VERSION = 1
"""Changes whenever the pixels change."""

SHAPE_DRAWS = 5  # a family's own parameters
_SCENE_DRAWS = 12  # pose, light, background and noise level
_BLOCK_ELEMENTS = 32_768


def _lerp(u: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * u


def _wave(x: Tensor) -> Tensor:
    """A triangle wave of period 1 in [-1, 1], 1 at the integers."""
    return 4 * (x - torch.floor(x) - 0.5).abs() - 1


# Each family maps coordinates (u, v), float32 (n, size, size), in units of the figure's radius and
# its parameters p, float32 (5, n, 1, 1), to a signed field that is positive inside the figure.


def _disc(u: Tensor, v: Tensor, _: Tensor) -> Tensor:
    return 1 - torch.sqrt(u * u + v * v)


def _ring(u: Tensor, v: Tensor, p: Tensor) -> Tensor:
    half = _lerp(p[0], 0.12, 0.22)
    return half - (torch.sqrt(u * u + v * v) - (1.1 - half)).abs()


def _triangle(u: Tensor, v: Tensor, _: Tensor) -> Tensor:
    sector = 2 * math.pi / 3
    angle = torch.atan2(v, u)
    folded = angle - sector * torch.floor(angle / sector + 0.5)
    return 0.7 - torch.sqrt(u * u + v * v) * torch.cos(folded)


def _cross(u: Tensor, v: Tensor, p: Tensor) -> Tensor:
    half = _lerp(p[0], 0.15, 0.28)
    long, short = torch.maximum(u.abs(), v.abs()), torch.minimum(u.abs(), v.abs())
    return torch.minimum(half - short, 1.15 - long)


def _stripes(u: Tensor, _: Tensor, p: Tensor) -> Tensor:
    frequency = _lerp(p[0], 0.8, 1.3)
    return (_wave(u * frequency + p[1]) + _lerp(p[2], -0.2, 0.2)) / (4 * frequency)


def _checks(u: Tensor, v: Tensor, p: Tensor) -> Tensor:
    frequency = _lerp(p[0], 0.55, 0.85)
    return _wave(u * frequency + p[1]) * _wave(v * frequency + p[2]) / (3 * frequency)


def _dots(u: Tensor, v: Tensor, p: Tensor) -> Tensor:
    frequency = _lerp(p[0], 0.7, 1.1)
    x, y = u * frequency + p[1], v * frequency + p[2]
    x, y = x - torch.floor(x) - 0.5, y - torch.floor(y) - 0.5
    return (_lerp(p[3], 0.22, 0.30) - torch.sqrt(x * x + y * y)) / frequency


def _zigzag(u: Tensor, v: Tensor, p: Tensor) -> Tensor:
    frequency = _lerp(p[0], 0.8, 1.2)
    bend = _lerp(p[1], 0.3, 0.45) * _wave(u * _lerp(p[2], 0.6, 0.9) + p[3])
    return _wave((v + bend) * frequency + p[4]) / (5 * frequency)


def _rays(u: Tensor, v: Tensor, p: Tensor) -> Tensor:
    count = 4 + torch.floor(4 * p[0])
    radius = torch.sqrt(u * u + v * v)
    return _wave(torch.atan2(v, u) * count / (2 * math.pi)) * radius * 1.5 / count


def _spiral(u: Tensor, v: Tensor, p: Tensor) -> Tensor:
    arms = 1 + torch.floor(2 * p[0])
    hand = torch.where(p[1] < 0.5, -1.0, 1.0)
    pitch = _lerp(p[2], 0.9, 1.3)
    radius = torch.sqrt(u * u + v * v)
    turn = hand * arms * torch.atan2(v, u) / (2 * math.pi)
    return _wave(radius * pitch + turn) / (4 * pitch)


FAMILIES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "disc": _disc,
    "ring": _ring,
    "triangle": _triangle,
    "cross": _cross,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "zigzag": _zigzag,
    "rays": _rays,
    "spiral": _spiral,
}
"""Class -> its field. harness.data.scenes draws the same figures."""

CLASSES: tuple[str, ...] = tuple(FAMILIES)


def _draw(split: Split, name: str, index: Tensor, size: int) -> Tensor:
    """Images of one class, float32 (len(index), size, size) in [0, 1]."""

    def column(stream: str, draws: int) -> Tensor:
        u = uniform(key("embedded", VERSION, split, stream), index, draws)
        return u.T[:, :, None, None]

    shape, s = column("shape", SHAPE_DRAWS), column("scene", _SCENE_DRAWS)
    axis = (torch.arange(size, dtype=torch.float32) + 0.5) * (2 / size) - 1
    x, y = axis[None, None, :], axis[None, :, None]
    radius, aspect = _lerp(s[0], 0.45, 0.7), 2 ** _lerp(s[1], -0.2, 0.2)
    turn = 2 * math.pi * _lerp(s[2], -0.15, 0.15)
    dx, dy = x - _lerp(s[3], -0.5, 0.5), y - _lerp(s[4], -0.5, 0.5)
    cos, sin = torch.cos(turn) / radius, torch.sin(turn) / radius
    u, v = (dx * cos + dy * sin) * aspect, (dy * cos - dx * sin) / aspect
    field = FAMILIES[name](u, v, shape)
    # The edge is a ramp one to three pixels of a 32-pixel image wide.
    mask = (field * radius / _lerp(s[5], 0.06, 0.18) + 0.5).clamp(0, 1)
    slope = 2 * math.pi * s[6]
    shade = (x * torch.cos(slope) + y * torch.sin(slope)) * _lerp(s[7], 0.0, 0.15)
    contrast = _lerp(s[8], 0.2, 0.75) * torch.where(s[9] < 0.5, -1.0, 1.0)
    level = 0.5 + (s[10] - 0.5) * (1 - contrast.abs())
    noise = uniform(key("embedded", VERSION, split, "noise", size), index, size * size)
    grain = (noise.view(-1, size, size) - 0.5) * _lerp(s[11], 0.0, 0.2)
    return (level + contrast * (mask - 0.5) + shade + grain).clamp(0, 1)


def generate(split: Split, n: int, size: int = 32) -> tuple[Tensor, Tensor]:
    """The first n images of a split: uint8 (n, 3, size, size), and labels: int64 (n,).

    The three channels are equal and the label of image i is i modulo 10. The n images are also the
    first n of any larger call, whatever the number of threads.
    """
    count = len(CLASSES)
    images = torch.empty(-(-n // count) * count, size, size, dtype=torch.uint8)
    # A block's shape depends on the size alone. Up to 181 pixels a side, blocks are too small for
    # torch to divide among threads: a pixel's instructions are the same for every n.
    block = max(1, _BLOCK_ELEMENTS // (size * size))
    for label, name in enumerate(CLASSES):
        slots = images[label::count]
        for start in range(0, len(slots), block):
            index = label + count * torch.arange(start, start + block)
            drawn = (_draw(split, name, index, size) * 255 + 0.5).to(torch.uint8)
            slots[start : start + block] = drawn[: len(slots) - start]
    labels = torch.arange(n) % count
    return images[:n, None].expand(-1, 3, -1, -1).contiguous(), labels
