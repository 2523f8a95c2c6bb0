"""Average precision (AP) of a ranking, by the two definitions of PASCAL VOC.

Images with equal scores count together: a ranking among them would only be their order in a file.
"""

from __future__ import annotations

import torch
from torch import Tensor

POINTS = 11
"""Recalls 0, 0.1 ... 1 of VOC 2007."""


def _curve(scores: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """For each distinct score, from the highest: the true positives, int64, and the precision,
    float64, where all images of this score or a higher one are taken."""
    order = scores.argsort(descending=True, stable=True)
    ranked = scores[order]
    last = torch.ones(len(ranked), dtype=torch.bool)
    last[:-1] = ranked[1:] != ranked[:-1]
    taken = torch.arange(1, len(ranked) + 1)[last]
    true = shown[order].to(torch.int64).cumsum(0)[last]
    return true, true.double() / taken


def eleven_points(scores: Tensor, shown: Tensor) -> float:
    """AP of VOC 2007: the mean over the recalls 0, 0.1 ... 1 of the highest precision at this
    recall or a higher one (Everingham et al., IJCV 2010, Sec. 4.2).

    The recalls are exact, as the definition has them: the SVMs' AP. Detection's AP takes those of
    detectron2, which differ in floating point, so that its numbers can be compared:
    `harness.evaluate.voc_ap.eleven_points_of_detectron2`.

    Args:
        scores: (n,), higher for images that are more likely to show the class.
        shown: bool (n,), whether they do; for at least one.
    """
    true, precision = _curve(scores, shown)
    total = int(true[-1])
    # in whole numbers: 3 of 10 is a recall of 0.3, which 3 * 0.1 exceeds
    reached = ((POINTS - 1) * true >= n * total for n in range(POINTS))
    return sum(float(precision[each].max()) for each in reached) / POINTS


def area(scores: Tensor, shown: Tensor) -> float:
    """AP of VOC since 2010: the area under the precision, made monotone, over the recall. The code
    of Goyal et al. and mmselfsup measure VOC 2007 by it. Arguments as in `eleven_points`."""
    true, precision = _curve(scores, shown)
    highest = precision.flip(0).cummax(0).values.flip(0)
    steps = true.diff(prepend=torch.zeros(1, dtype=torch.int64))
    return float((steps * highest).sum() / true[-1])
