"""Embedded scenes: one to three figures of the embedded families, with their boxes, instance masks
and semantic map, drawn by formulas.

A scene is a pure function of (split, index, size). As in the embedded images, all is grey, and
whatever does not define a class is random.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.embedded import CLASSES, FAMILIES, SHAPE_DRAWS, Split
from harness.runtime.keyed import integers, key, uniform

VERSION = 1
"""Changes whenever a pixel, a mask or a box changes."""

MOST = 3
"""Figures of a scene, at most."""

BACKGROUND = 0
"""Value of the semantic map where no figure is; a figure of class c has c + 1."""

SIDES = (24, 181)
"""Least and largest side in pixels. In smaller images figures are thinner than a pixel; larger ones
are divided among threads, whose number could change a pixel."""

_REACH = {"disc": 1.0, "ring": 1.1, "triangle": 1.4, "cross": 1.2}
"""Radius of the disc around a shape, in units of the figure's radius. A pattern covers the plane:
here it is cut out by a disc of radius 1."""

_TRIES = 24
_PLACE_DRAWS = 4  # position, radius, aspect
_STYLE_DRAWS = 4  # rotation, edge, contrast and its sign
_LIGHT_DRAWS = 4  # brightness, direction and depth of the shade, noise level


@dataclass(frozen=True)
class Scene:
    """One image and what is in it. n is the number of figures, S the side in pixels."""

    image: Tensor
    """uint8 (3, S, S); the three channels are equal."""
    labels: Tensor
    """int64 (n,), indices of `embedded.CLASSES`."""
    masks: Tensor
    """bool (n, S, S): the pixels whose centres are inside the figure; never empty, never shared."""
    boxes: Tensor
    """float32 (n, 4): x and y of the upper left and of the lower right corner around the mask, in
    pixels, counted from the image's upper left corner."""
    semantic: Tensor
    """uint8 (S, S): BACKGROUND, or the class + 1."""


@dataclass(frozen=True)
class _Figure:
    name: str
    x: float
    y: float
    radius: float
    aspect: float

    @property
    def reach(self) -> float:
        """Radius of a disc that the figure lies in, at any rotation. The image is 2 wide."""
        return self.radius * _REACH.get(self.name, 1.0) * max(self.aspect, 1 / self.aspect)

    def is_inside(self) -> bool:
        return max(abs(self.x), abs(self.y)) + self.reach <= 1

    def overlaps(self, other: _Figure) -> bool:
        return math.hypot(self.x - other.x, self.y - other.y) < self.reach + other.reach


def scene(split: Split, index: int, size: int = 48) -> Scene:
    """The scene of that index, `size` pixels wide and high.

    Raises:
        ValueError: `size` is outside SIDES.
    """
    if not SIDES[0] <= size <= SIDES[1]:
        raise ValueError(f"scenes are {SIDES[0]} to {SIDES[1]} pixels wide, not {size}")
    stream = functools.partial(_uniform, split, index)
    axis = (torch.arange(size, dtype=torch.float32) + 0.5) * (2 / size) - 1
    x, y = axis[None, :], axis[:, None]
    brightness, direction, depth, noise = stream("light", _LIGHT_DRAWS)
    slope = 2 * math.pi * direction
    shade = (x * math.cos(slope) + y * math.sin(slope)) * (0.15 * depth)
    level = 0.3 + 0.4 * brightness
    image = level + shade
    labels, masks = [], []
    for slot, figure in enumerate(_placed(split, index)):
        rotation, edge, strength, sign = stream(f"style {slot}", _STYLE_DRAWS)
        inside, ink = _drawn(figure, rotation, stream(f"shape {slot}", SHAPE_DRAWS), x, y)
        mask = inside >= 0
        ramp = 0.06 + 0.06 * edge
        contrast = (0.2 + 0.45 * strength) * (-1 if sign < 0.5 else 1)
        covers = (inside * figure.radius / ramp + 0.5).clamp(0, 1)
        covers = covers * (ink * figure.radius / ramp + 0.5).clamp(0, 1)
        image = image + contrast * covers
        labels.append(CLASSES.index(figure.name))
        masks.append(mask)
    grain = uniform(
        key("scenes", VERSION, split, "noise", size), torch.tensor([index]), size * size
    )
    image = (image + (grain.view(size, size) - 0.5) * (0.2 * noise)).clamp(0, 1)
    found = torch.stack(masks)
    named = torch.tensor(labels)
    return Scene(
        image=(image * 255 + 0.5).to(torch.uint8)[None].expand(3, -1, -1).contiguous(),
        labels=named,
        masks=found,
        boxes=torch.stack([_box(mask) for mask in found]),
        semantic=(found * (named + 1)[:, None, None]).sum(0).to(torch.uint8),
    )


def _uniform(split: Split, index: int, label: str, draws: int) -> list[float]:
    found = uniform(key("scenes", VERSION, split, label), torch.tensor([index]), draws)
    numbers: list[float] = found[0].tolist()
    return numbers


def _placed(split: Split, index: int) -> list[_Figure]:
    """The figures, without overlap: one that finds no place in _TRIES is left out, but never the
    first. The number and the places do not depend on the size in pixels."""
    at = torch.tensor([index])
    wanted = 1 + int(integers(key("scenes", VERSION, split, "figures"), at, MOST))
    placed: list[_Figure] = []
    for slot in range(wanted):
        drawn = int(integers(key("scenes", VERSION, split, f"class {slot}"), at, len(CLASSES)))
        for attempt in range(_TRIES):
            draws = _uniform(split, index, f"place {slot} {attempt}", _PLACE_DRAWS)
            x, y, radius, aspect = draws
            figure = _Figure(
                CLASSES[drawn], 2 * x - 1, 2 * y - 1, 0.25 + 0.2 * radius, 2 ** (0.4 * aspect - 0.2)
            )
            if figure.is_inside() and not any(figure.overlaps(other) for other in placed):
                placed.append(figure)
                break
        else:
            if not placed:
                placed.append(_Figure(CLASSES[drawn], 0.0, 0.0, 0.3, 1.0))
    return placed


def _drawn(
    figure: _Figure, rotation: float, parameters: list[float], x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Two signed fields, float32 (S, S), in units of the figure's radius: positive inside the
    figure's outline, and positive where it is painted."""
    turn = 2 * math.pi * 0.15 * (2 * rotation - 1)
    dx, dy = x - figure.x, y - figure.y
    cos, sin = math.cos(turn) / figure.radius, math.sin(turn) / figure.radius
    u = (dx * cos + dy * sin) * figure.aspect
    v = (dy * cos - dx * sin) / figure.aspect
    p = torch.tensor(parameters).view(-1, 1, 1, 1)
    ink = FAMILIES[figure.name](u[None], v[None], p)[0]
    if figure.name in _REACH:
        return ink, ink
    return 1 - torch.sqrt(u * u + v * v), ink


def _box(mask: Tensor) -> Tensor:
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    corners = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return torch.stack(corners).to(torch.float32)
