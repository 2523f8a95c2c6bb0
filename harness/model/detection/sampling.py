"""Which anchors and proposals a detector learns from: matched with boxes, then drawn by a key."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

from harness.runtime import keyed

IGNORED = -1


def matched(
    boxes: Tensor, candidates: Tensor, low: float, high: float, *, best_too: bool = False
) -> tuple[Tensor, Tensor]:
    """Match each candidate with the box that it overlaps most.

    Overlaps are computed in float32, as in detectron2: anchors of one size that contain a whole box
    overlap it equally, so that rounding decides which of them are the best.

    Args:
        boxes: (n, 4), what is to be found; n may be 0.
        candidates: (m, 4).
        low: a smaller intersection over union is no match.
        high: from this on it is one; between both the candidate is ignored.
        best_too: the best candidates of every box match, however small the overlap (Faster R-CNN,
            Sec. 3.1.2). Each still belongs to the box that it overlaps most.

    Returns:
        int64 (m,): the box of each candidate, 0 if there is none.
        int64 (m,): 1 if it matches, 0 if it does not, or IGNORED.
    """
    if not len(boxes):
        nothing = torch.zeros(len(candidates), dtype=torch.int64, device=candidates.device)
        return nothing, nothing.clone()
    overlaps = box_iou(boxes.float(), candidates.float())
    most, which = overlaps.max(0)
    verdict = torch.where(most >= high, 1, torch.where(most < low, 0, IGNORED))
    if best_too:
        best = ((overlaps == overlaps.amax(1, keepdim=True)) & (overlaps > 0)).any(0)
        verdict = torch.where(best, 1, verdict)
    return which, verdict


def sampled(positive: Tensor, negative: Tensor, most: int, share: float, key: int) -> Tensor:
    """Draw up to `most` candidates: positive ones up to a share of them, then negative ones.

    Args:
        positive: bool (m,); so is `negative`.
        share: largest share of positive ones in `most`.
        key: of the image and of what is drawn.

    Returns:
        bool (m,): the drawn ones. Whether one is drawn depends on the key, its position and on
        which others are there.
    """
    order = keyed.bits(key, torch.arange(len(positive), device=positive.device))[:, 0]
    firsts = _first(positive, int(most * share), order)
    return firsts | _first(negative, most - int(firsts.sum()), order)


def _first(allowed: Tensor, most: int, order: Tensor) -> Tensor:
    """Those of the allowed ones that come first in the order, up to `most` of them."""
    places = allowed.nonzero()[:, 0]
    if len(places) <= most:
        return allowed
    chosen = torch.zeros_like(allowed)
    chosen[places[order[places].topk(most, largest=False).indices]] = True
    return chosen
