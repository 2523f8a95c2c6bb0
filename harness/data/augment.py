"""Views of a whole batch at once, on any device; exactly the operators of the papers' code.

`reference.py` does the same with torchvision's and Pillow's own calls, one image at a time. Here
each operator takes per-sample factors and works in place, on a chunk of samples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.parameters import CONTRAST, HUE, SATURATION, Parameters
from harness.recipe.schema import Augment
from harness.runtime.device_copy import moved

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a gray value (torchvision; ITU-R 601)."""

WHEEL = (0.0, 1 / 3, 2 / 3)
"""Positions of red, green and blue on the colour wheel, in turns."""

CHUNK = 3 * 2**20
"""Numbers per chunk on a CPU (1,024 views of 32 pixels, 20 of 224): 12 MB. Smaller chunks would fit
a cache, but the extra operations to start cost more than that saves."""

BAND = 32
"""Pixels of an axis that a CPU blurs at once: most of a wider kernel would be zeros."""

_NO_HUE, _NO_JITTER = 4, 5


def augment(images: Tensor, parameters: Parameters, policy: Augment, size: int) -> Tensor:
    """Views (n, 3, size, size), float32 in [0, 1] up to rounding, of uint8 images (n, 3, H, W)."""
    return finish(crop_resize(images, parameters.crop, size), parameters, policy)


def crop_resize(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Crops of uint8 images (n, 3, H, W), resized to float32 (n, 3, size, size) in [0, 1].

    Bilinear with antialiasing, as Pillow and torchvision do: a triangle filter, separable, so
    two products with per-sample matrices. boxes: int64 (n, 4) on the CPU, top, left, height,
    width, within the image.
    """
    n, channels, height, width = images.shape
    out = torch.empty(n, channels, size, size, device=images.device)
    for part in _chunks(0, n, images[:1].numel(), images.device):
        corners, sizes = boxes[part, :2], boxes[part, 2:]
        y1, x1, y2, x2 = 0, 0, height, width
        if images.device.type == "cpu":  # only what the chunk's crops need
            (y1, x1), (y2, x2) = corners.amin(0).tolist(), (corners + sizes).amax(0).tolist()
        within = torch.cat([corners - torch.tensor([y1, x1]), sizes], -1).to(torch.float32)
        top, left, tall, wide = moved(within, images.device).unbind(-1)
        rows = _resampling(top, tall, y2 - y1, size).div_(255)  # (c, size, H)
        columns = _resampling(left, wide, x2 - x1, size)  # (c, size, W)
        x = images[part, :, y1:y2, x1:x2].to(torch.float32).flatten(1, 2)  # (c, 3H, W)
        x = torch.bmm(x, columns.mT).view(-1, channels, y2 - y1, size)
        torch.matmul(rows.unsqueeze(1), x, out=out[part]).clamp_(0, 1)
    return out


def _resampling(start: Tensor, length: Tensor, pixels: int, size: int) -> Tensor:
    """(c, size, pixels): the share of each source pixel in each of `size` output pixels.

    start, length: float32 (c,), the crop along this axis. Output i weights the pixels around its
    centre by a triangle of half-width max(1, length / size), cut off at the crop's edges.
    """
    start, scale = start.view(-1, 1, 1), (length / size).view(-1, 1, 1)
    source = torch.arange(pixels, device=start.device) + 0.5 - start  # (c, 1, pixels)
    centre = (torch.arange(size, device=start.device) + 0.5).view(-1, 1) * scale  # (c, size, 1)
    distance = (source - centre).abs_().div_(scale.clamp(min=1))
    inside = (source > 0) & (source < length.view(-1, 1, 1))
    weight = distance.neg_().add_(1).clamp_(min=0).mul_(inside)
    return weight.div_(weight.sum(-1, keepdim=True))


def finish(x: Tensor, parameters: Parameters, policy: Augment) -> Tensor:
    """Colours, blur and flip of crops (n, 3, S, S), float32 in [0, 1]; `x` is not modified.

    The samples are sorted by the jitter slot that changes their hue. So all samples of a chunk do
    the same: hue in one slot, a blend with gray, mean or black in the others.
    """
    group = _groups(parameters, policy)
    order = torch.argsort(group, stable=True)
    counts = torch.bincount(group, minlength=_NO_JITTER + 1).tolist()
    parameters, order = parameters[order], moved(order, x.device)
    colours = _Colours.of(parameters, policy, x.device)
    out = torch.empty_like(x)
    first = 0
    for slot, count in enumerate(counts):
        for part in _chunks(first, first + count, x[:1].numel(), x.device):
            y = x.index_select(0, order[part])
            masks = (mask[part] for mask in (parameters.gray, parameters.blur, parameters.flip))
            gray, blur, flip = (mask.nonzero()[:, 0] for mask in masks)
            if policy.grayscale_first:
                _grayscale(y, gray)
            if slot != _NO_JITTER:
                colours.jitter(y.flatten(2), part, slot)
            if not policy.grayscale_first:
                _grayscale(y, gray)
            _blur(y, blur, parameters.sigma[part])
            _flip(y, flip)
            out.index_copy_(0, order[part], y)
        first += count
    return out


def _groups(p: Parameters, policy: Augment) -> Tensor:
    """int64 (n,): the slot of the hue, or _NO_HUE, or _NO_JITTER."""
    slot = (p.order == HUE).byte().argmax(-1)
    if policy.jitter[HUE] == 0:
        slot = torch.full_like(slot, _NO_HUE)
    elif policy.grayscale_first:  # gray has no hue
        slot = slot.masked_fill(p.gray, _NO_HUE)
    if not any(policy.jitter):
        return torch.full_like(slot, _NO_JITTER)
    return slot.masked_fill(~p.jitter, _NO_JITTER)


def _chunks(first: int, last: int, numbers: int, device: torch.device) -> Iterator[slice]:
    """Slices that cover first to last, of CHUNK numbers each on a CPU (`numbers` a sample)."""
    step = max(1, CHUNK // max(1, numbers)) if device.type == "cpu" else max(1, last - first)
    for start in range(first, last, step):
        yield slice(start, min(start + step, last))


@functools.cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A cached tensor: copying it to a GPU in every call would wait for the GPU's queued work."""
    return torch.tensor(values, device=device)


@dataclass(frozen=True)
class _Colours:
    """The jitter of n samples, in their own orders, as tensors on the images' device.

    Brightness, contrast and saturation are factor * y + (1 - factor) * other, clamped: the other
    is black, the mean gray value or the gray image. All are linear in a pixel's colour, hence
    one 3x3 matrix and, for contrast, a share of the mean gray value.
    """

    matrix: Tensor
    """float32 (n, 3, 3, 3): three blends, first to last, or (n, 0, 3, 3) where all are off."""
    mean: Tensor
    """float32 (n, 3): each blend's share of the mean gray value."""
    hue: Tensor
    """float32 (n,)"""

    @classmethod
    def of(cls, p: Parameters, policy: Augment, device: torch.device) -> _Colours:
        blends = 3 if any(policy.jitter[:HUE]) else 0
        operation = p.order[p.order != HUE].view(-1, 3)[:, :blends]
        factors = torch.stack([p.brightness, p.contrast, p.saturation], dim=-1)
        factor = factors.gather(-1, operation)
        gray = ((1 - factor) * (operation == SATURATION))[..., None, None]
        matrix = factor[..., None, None] * torch.eye(3, device=factor.device)
        matrix += gray * constant(LUMA, factor.device)
        mean = (1 - factor) * (operation == CONTRAST)
        return cls(*(moved(t, device) for t in (matrix, mean, p.hue)))

    def jitter(self, y: Tensor, part: slice, slot: int) -> None:
        """In place on y (c, 3, P), the samples `part`: the blends, and the hue at `slot`."""
        matrix, mean, hue = self.matrix[part], self.mean[part], self.hue[part]
        for turn in range(4):
            if turn == slot:
                _hue(y, hue)
            if turn < matrix.shape[1]:
                _blend(y, matrix[:, turn], mean[:, turn])


def _blend(y: Tensor, matrix: Tensor, mean: Tensor) -> None:
    """In place on y (c, 3, P): matrix (c, 3, 3) times y, plus mean (c,) times its mean gray."""
    bias = mean * (y.mean(-1) @ constant(LUMA, y.device))  # (c,)
    torch.clamp(torch.bmm(matrix, y).add_(bias.view(-1, 1, 1)), 0, 1, out=y)


def _hue(y: Tensor, shift: Tensor) -> None:
    """In place on y (c, 3, P): the hue turned by `shift` (c,), as through HSV and back.

    It uses no comparison, which is slow in eager torch. With chroma = max - min, the hue is
    +-(1 + (green + blue - red - min) / chroma) sixths of a turn, with the sign of green - blue.
    A channel is max - chroma * T(its distance from the hue on the wheel), where T rises from 0
    to 1 between one and two sixths of a turn.
    """
    red, green, blue = y.unbind(1)  # each (c, P)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    hue = (green + blue).sub_(red).sub_(low).div_(chroma.clamp(min=1e-12)).add_(1)
    hue.copysign_(torch.sub(green, blue, out=low))
    offset = shift.unsqueeze(-1) - constant(WHEEL, y.device)
    offset = (offset - offset.round()).unsqueeze(-1)  # (c, 3, 1), a turn at most with hue / 6
    apart = torch.add(offset, hue.unsqueeze(1), alpha=1 / 6)  # (c, 3, P), in turns
    opposite = apart.abs_().sub_(0.5).abs_().clamp_(1 / 6, 1 / 3)  # half a turn less the distance
    high.sub_(chroma, alpha=2)
    torch.addcmul(high.unsqueeze(1), chroma.unsqueeze(1), opposite, value=6, out=y)


def _grayscale(y: Tensor, which: Tensor) -> None:
    """In place on y (c, 3, S, S): the samples `which` become their gray value, in all channels."""
    if len(which):
        which = moved(which, y.device)
        luma = constant(LUMA, y.device).unsqueeze(0)
        gray = luma @ y.index_select(0, which).flatten(2)  # (g, 1, S*S)
        y.index_copy_(0, which, gray.expand(-1, 3, -1).reshape(-1, *y.shape[1:]))


def _blur(y: Tensor, which: Tensor, sigma: Tensor) -> None:
    """In place: the samples `which` blurred by Pillow's GaussianBlur, rows and columns."""
    if len(which):
        size, sigma = y.shape[-1], sigma[which]
        reach = 3 * math.ceil(float(sigma.max()))  # three boxes, each of a radius below sigma
        kernel = _gaussian(moved(sigma, y.device), size)  # (b, S, S)
        which = moved(which, y.device)
        chosen = y.index_select(0, which)
        x = chosen.flatten(1, 2)  # (b, 3S, S)
        rows, blurred = torch.empty_like(x), torch.empty_like(chosen)
        bands = list(_bands(size, reach, y.device))
        for part, near in bands:
            rows[..., part] = torch.bmm(x[..., near], kernel[:, part, near].mT)
        along_rows = rows.view_as(chosen)
        for part, near in bands:
            blurred[:, :, part] = kernel[:, part, near].unsqueeze(1) @ along_rows[:, :, near]
        y.index_copy_(0, which, blurred)


def _bands(size: int, reach: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Pixels of an axis, and the pixels that their blur reads; all at once on a GPU."""
    step = BAND if device.type == "cpu" else size
    for start in range(0, size, step):
        stop = min(start + step, size)
        yield slice(start, stop), slice(max(0, start - reach), min(stop + reach, size))


def _flip(y: Tensor, which: Tensor) -> None:
    """In place: the samples `which` mirrored."""
    if len(which):
        which = moved(which, y.device)
        y.index_copy_(0, which, y.index_select(0, which).flip(-1))


def _gaussian(sigma: Tensor, size: int) -> Tensor:
    """(b, size, size): three box blurs along an axis; the edge pixels repeat without end.

    The box has a fractional radius, chosen so that the three have the variance sigma**2
    (Gwosdek et al., SSVM 2011, eqs. 7, 11 and 14; Pillow's BoxBlur.c).
    """
    variance = sigma.double().square() / 3
    whole = torch.floor((torch.sqrt(12 * variance + 1) - 1) / 2)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    part = part / (6 * (variance - (whole + 1).square()))
    radius = (whole + part).float().view(-1, 1, 1)
    place = torch.arange(size, dtype=torch.float32, device=sigma.device)
    box = (radius + 1 - (place - place.view(-1, 1)).abs()).clamp_(0, 1)  # (b, size, size)
    box[:, :, 0] += (radius[:, 0] - place).clamp_(min=0)  # the part before the first pixel
    box[:, :, -1] += (radius[:, 0] - place.flip(0)).clamp_(min=0)
    box = box / (2 * radius + 1)
    return box @ box @ box
