"""One view of one image, by torchvision's and Pillow's own calls: `augment` must give the same.

This is the pipeline of the papers' code (code: main_moco.py, moco/loader.py) with given random
choices. It is for reading and for tests; image files use its crop.
"""

from __future__ import annotations

from typing import Any

import torchvision.transforms.functional as vision
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn import functional

from harness.data.parameters import BRIGHTNESS, CONTRAST, HUE, SATURATION, Parameters
from harness.recipe.schema import Augment

Picture = Any
"""A PIL image, or float32 (3, H, W) in [0, 1]: torchvision's functions take both."""


def reference(
    image: Tensor, parameters: Parameters, i: int, policy: Augment, size: int, exact: bool = False
) -> Tensor:
    """The view (3, size, size), float32 in [0, 1], of `image` by sample i's parameters.

    Args:
        image: uint8 (3, H, W).
        exact: false: on PIL images, rounded to 8 bits after each step, as in the papers' code;
            true: the same operators of torchvision on float tensors, never rounded.
    """
    picture: Picture = image.float() / 255 if exact else vision.to_pil_image(image)
    top, left, height, width = parameters.crop[i].tolist()
    picture = vision.resized_crop(picture, top, left, height, width, [size, size], antialias=True)
    if policy.grayscale_first:
        picture = _jitter(_grayscale(picture, parameters, i), parameters, i, policy)
    else:
        picture = _grayscale(_jitter(picture, parameters, i, policy), parameters, i)
    if parameters.blur[i]:
        picture = _blur(picture, float(parameters.sigma[i]))
    if parameters.flip[i]:
        picture = vision.hflip(picture)
    view: Tensor = picture if exact else vision.to_tensor(picture)
    return view


def crop_resize_pil(image: Image.Image, box: tuple[int, int, int, int], size: int) -> Tensor:
    """A crop (top, left, height, width) of an RGB image, resized to uint8 (3, size, size)."""
    view: Tensor = vision.pil_to_tensor(vision.resized_crop(image, *box, [size, size]))
    return view


def _grayscale(picture: Picture, parameters: Parameters, i: int) -> Picture:
    return vision.rgb_to_grayscale(picture, 3) if parameters.gray[i] else picture


def _jitter(picture: Picture, parameters: Parameters, i: int, policy: Augment) -> Picture:
    if not parameters.jitter[i]:
        return picture
    adjust = {
        BRIGHTNESS: (vision.adjust_brightness, parameters.brightness),
        CONTRAST: (vision.adjust_contrast, parameters.contrast),
        SATURATION: (vision.adjust_saturation, parameters.saturation),
        HUE: (vision.adjust_hue, parameters.hue),
    }
    for operation in parameters.order[i].tolist():
        if policy.jitter[operation] > 0:  # as ColorJitter, which skips an operation of strength 0
            function, factor = adjust[operation]
            picture = function(picture, float(factor[i]))
    return picture


def _blur(picture: Picture, sigma: float) -> Picture:
    """Pillow's GaussianBlur; for tensors its algorithm, three box blurs along each axis."""
    if isinstance(picture, Image.Image):
        return picture.filter(ImageFilter.GaussianBlur(sigma))
    variance = sigma**2 / 3
    whole = int(((12 * variance + 1) ** 0.5 - 1) / 2)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    part /= 6 * (variance - (whole + 1) ** 2)
    for _ in range(3):
        picture = _box(picture, whole, part)
    for _ in range(3):
        picture = _box(picture.mT, whole, part).mT
    return picture


def _box(x: Tensor, whole: int, part: float) -> Tensor:
    """Mean of 2 * whole + 1 pixels along the last axis and `part` of the next on either side."""
    width, reach = x.shape[-1], whole + 1
    wide = functional.pad(x, (reach, reach), mode="replicate")
    total = part * (wide[..., :width] + wide[..., -width:])
    for start in range(1, 2 * reach):
        total += wide[..., start : start + width]
    return total / (2 * (whole + part) + 1)
