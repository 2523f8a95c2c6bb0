"""The parameters of a view: every random choice of the augmentation, drawn at once.

`draw` is a pure function of the policy, a key and the samples' indices. So a view does not depend
on its batch, nor on the number of workers, processes or restarts. The distributions are
torchvision's (RandomResizedCrop and ColorJitter's `get_params`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from harness.recipe.schema import Augment
from harness.runtime import keyed
from harness.runtime.device_copy import moved

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""The jitter's operations, numbered as torchvision numbers them."""

ATTEMPTS = 10
"""Number of boxes that are tried before the central crop (torchvision)."""

_ORDERS = tuple(itertools.permutations(range(4)))


@dataclass(frozen=True)
class Parameters:
    """The parameters of n views. Keep them on the CPU: `augment` moves what a device needs."""

    crop: Tensor
    """int64 (n, 4): top, left, height, width, in pixels of the image."""
    jitter: Tensor
    """bool (n,): whether the colour jitter is applied at all."""
    order: Tensor
    """int64 (n, 4): the operation in each of the jitter's four slots, first slot first."""
    brightness: Tensor
    """float32 (n,), as the three below; 1 changes nothing."""
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    """In turns of the colour wheel; 0 changes nothing."""
    gray: Tensor
    """bool (n,)"""
    blur: Tensor
    """bool (n,)"""
    sigma: Tensor
    """float32 (n,): the blur's standard deviation in pixels of the view."""
    flip: Tensor
    """bool (n,)"""

    def __len__(self) -> int:
        return len(self.flip)

    def __getitem__(self, which: slice | Tensor) -> Parameters:
        """The samples that a slice, a mask (n,) or indices select."""
        return Parameters(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    def to(self, device: torch.device | str) -> Parameters:
        """The same parameters on `device`."""
        device = torch.device(device)
        return Parameters(**{f.name: moved(getattr(self, f.name), device) for f in fields(self)})


def joined(parts: Sequence[Parameters]) -> Parameters:
    """The samples of all parts, one part after the other."""
    return Parameters(
        **{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Parameters)}
    )


def draw(policy: Augment, key: int, index: Tensor, sizes: tuple[int, int] | Tensor) -> Parameters:
    """The view that `key` gives to each sample.

    Args:
        key: keyed.key(..., epoch, view): one key for each view of an epoch.
        index: int64 (n,), the samples' numbers in the data set; the result is on its device.
        sizes: (H, W) of all images, or int64 (n, 2).
    """
    u = keyed.uniform(key, index, 2 * ATTEMPTS + 12)  # (n, 32)
    boxes, rest = u[:, : 2 * ATTEMPTS + 2].double(), u[:, 2 * ATTEMPTS + 2 :]
    jitter, order, brightness, contrast, saturation, hue, gray, blur, sigma, flip = rest.unbind(-1)
    orders = torch.tensor(_ORDERS, device=index.device)
    return Parameters(
        crop=_boxes(policy, boxes, sizes),
        jitter=jitter < policy.jitter_p,
        order=orders[(order * len(_ORDERS)).long()],
        brightness=_between(brightness, *_around_one(policy.jitter[BRIGHTNESS])),
        contrast=_between(contrast, *_around_one(policy.jitter[CONTRAST])),
        saturation=_between(saturation, *_around_one(policy.jitter[SATURATION])),
        hue=_between(hue, -policy.jitter[HUE], policy.jitter[HUE]),
        gray=gray < policy.grayscale_p,
        blur=blur < policy.blur_p,
        sigma=_between(sigma, *policy.blur_sigma),
        flip=flip < policy.flip_p,
    )


def _between(u: Tensor, low: float, high: float) -> Tensor:
    return low + u * (high - low)


def _around_one(strength: float) -> tuple[float, float]:
    return max(0.0, 1 - strength), 1 + strength


def _boxes(policy: Augment, u: Tensor, sizes: tuple[int, int] | Tensor) -> Tensor:
    """int64 (n, 4) from uniform u: areas (n, ATTEMPTS), ratios (n, ATTEMPTS), position (n, 2).

    The first box that fits into the image is used. Its position is independent of its shape, so one
    position per sample serves all boxes.
    """
    shares, ratios, position = u[:, :ATTEMPTS], u[:, ATTEMPTS : 2 * ATTEMPTS], u[:, -2:]
    if isinstance(sizes, Tensor):
        height, width = sizes.to(shares.device, torch.float64).unbind(-1)  # each (n,)
    else:
        height, width = (shares.new_full((len(shares),), float(side)) for side in sizes)
    area = (height * width).unsqueeze(-1) * _between(shares, *policy.crop_scale)
    low, high = policy.crop_ratio
    ratio = torch.exp(_between(ratios, math.log(low), math.log(high)))
    w, h = torch.sqrt(area * ratio).round(), torch.sqrt(area / ratio).round()  # (n, ATTEMPTS)
    fits = (w > 0) & (w <= width.unsqueeze(-1)) & (h > 0) & (h <= height.unsqueeze(-1))
    first = fits.byte().argmax(-1, keepdim=True)  # 0 where nothing fits
    box = torch.cat([h.gather(-1, first), w.gather(-1, first)], dim=-1)  # (n, 2)
    room = torch.stack([height, width], dim=-1)
    corner = torch.floor(position * (room - box + 1))
    central = _central(height, width, low, high)
    none = ~fits.any(-1, keepdim=True)
    box = torch.where(none, central, box)
    corner = torch.where(none, torch.floor((room - box) / 2), corner)
    return torch.cat([corner, box], dim=-1).long()


def _central(height: Tensor, width: Tensor, low: float, high: float) -> Tensor:
    """The largest central box of a permitted ratio: height and width, (n, 2)."""
    ratio = width / height
    h = torch.where(ratio < low, (width / low).round(), height)
    w = torch.where(ratio > high, (height * high).round(), width)
    return torch.stack([h, w], dim=-1).clamp(min=1)
