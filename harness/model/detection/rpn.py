"""The region proposal network: where in an image something may be (Faster R-CNN, Sec. 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from harness.model.detection.anchors import RATIOS, anchors
from harness.model.detection.boxes import Size, Target, clipped, decoded, encoded, not_empty
from harness.model.detection.sampling import matched, sampled
from harness.runtime import keyed
from harness.runtime.precision import widen

WEIGHTS = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class RPNSettings:
    """The protocol's numbers; pairs are those of training and of testing.

    Attributes:
        sizes: of anchors at each level, in pixels.
        strides: of each level, in pixels.
        before: proposals of a level that non-maximum suppression sees, by score.
        after: proposals of an image that are kept.
        sample: anchors of an image that are learnt from.
    """

    sizes: tuple[tuple[float, ...], ...]
    strides: tuple[int, ...]
    before: tuple[int, int]
    after: tuple[int, int]
    sample: int = 256
    positive: float = 0.5
    low: float = 0.3
    high: float = 0.7
    nms: float = 0.7


class RPN(nn.Module):
    """Proposals from feature maps; all levels share its weights.

    Args:
        channels: of every level.
    """

    def __init__(self, channels: int, settings: RPNSettings) -> None:
        super().__init__()
        self.settings = settings
        count = len(settings.sizes[0]) * len(RATIOS)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, count, 1)
        self.deltas = nn.Conv2d(channels, count * 4, 1)
        for layer in (self.conv, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, levels: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each level (n, channels, h, w): scores (n, m), deltas (n, m, 4), anchors (m, 4)."""
        found = []
        settings = self.settings
        for x, sizes, stride in zip(levels, settings.sizes, settings.strides, strict=True):
            inner = F.relu(self.conv(x))
            scores = widen(self.objectness(inner)).permute(0, 2, 3, 1).flatten(1)
            deltas = widen(self.deltas(inner)).permute(0, 2, 3, 1).reshape(len(x), -1, 4)
            height, width = x.shape[2:]
            found.append((scores, deltas, anchors(sizes, stride, height, width, deltas)))
        return found

    def losses(
        self,
        levels: list[tuple[Tensor, Tensor, Tensor]],
        targets: Sequence[Target],
        keys: Sequence[int],
    ) -> dict[str, Tensor]:
        """Cross-entropy of the sampled anchors and L1 of the positive ones' deltas.

        Both are sums divided by the number of anchors that are sampled if there are enough.

        Args:
            levels: as `forward` gives them.
        """
        scores = torch.cat([level[0] for level in levels], 1)
        deltas = torch.cat([level[1] for level in levels], 1)
        places = torch.cat([level[2] for level in levels])
        settings = self.settings
        by_class, by_box = [], []
        for n, (target, key) in enumerate(zip(targets, keys, strict=True)):
            boxes = target.boxes.to(places.dtype)
            which, verdict = matched(boxes, places, settings.low, settings.high, best_too=True)
            chosen = sampled(
                verdict == 1,
                verdict == 0,
                settings.sample,
                settings.positive,
                keyed.key(key, "anchors"),
            )
            truth = (verdict[chosen] == 1).to(scores.dtype)
            by_class.append(
                F.binary_cross_entropy_with_logits(scores[n, chosen], truth, reduction="sum")
            )
            learnt = chosen & (verdict == 1)
            if not len(boxes):
                by_box.append(deltas[n, learnt].sum())
                continue
            wanted = encoded(boxes[which[learnt]], places[learnt], WEIGHTS)
            by_box.append(F.l1_loss(deltas[n, learnt], wanted, reduction="sum"))
        total = settings.sample * len(targets)
        # What is not finite proposes nothing, and might be sampled never: then the loss tells it.
        sound = scores.isfinite().all() & deltas.isfinite().all()
        by_class.append(torch.where(sound, 0.0, torch.nan).to(scores.dtype))
        return {
            "rpn_objectness": torch.stack(by_class).sum() / total,
            "rpn_box": torch.stack(by_box).sum() / total,
        }

    @torch.no_grad()
    def proposals(
        self, levels: list[tuple[Tensor, Tensor, Tensor]], sizes: Sequence[Size]
    ) -> list[Tensor]:
        """The boxes (n, 4) of each image that look most like something, by descending score.

        Those that are not finite are left out.

        Args:
            levels: as `forward` gives them.
            sizes: of the images, without padding.
        """
        before = self.settings.before[not self.training]
        after = self.settings.after[not self.training]
        scores, boxes, numbers = [], [], []
        for number, (logits, deltas, places) in enumerate(levels):
            best, order = logits.topk(min(before, logits.shape[1]), dim=1)
            picked = deltas.gather(1, order[..., None].expand(-1, -1, 4))
            boxes.append(decoded(picked, places[order], WEIGHTS))
            scores.append(best)
            numbers.append(torch.full_like(best[0], number, dtype=torch.int64))
        every_box, every_score = torch.cat(boxes, 1), torch.cat(scores, 1)
        level = torch.cat(numbers)
        kept = []
        for own, score, size in zip(every_box, every_score, sizes, strict=True):
            finite = own.isfinite().all(1) & score.isfinite()
            own = clipped(own, size)
            there = finite & not_empty(own)
            own = own[there]
            best = batched_nms(own, score[there], level[there], self.settings.nms)
            kept.append(own[best[:after]])
        return kept
