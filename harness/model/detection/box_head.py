"""What each proposal shows, and where exactly: sampling, losses and detections (Fast R-CNN)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from harness.model.detection.boxes import Detections, Size, Target, clipped, decoded, encoded
from harness.model.detection.sampling import matched, sampled
from harness.runtime import keyed
from harness.runtime.precision import widen

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


@dataclass(frozen=True)
class RoISettings:
    """The protocol's numbers.

    Attributes:
        sample: proposals of an image that are learnt from.
        positive: largest share of those that show something.
        overlap: intersection over union from which a proposal shows something.
        score: detections need a higher one.
        nms: overlap of detections of one class from which the lower score is dropped.
        most: detections of an image.
    """

    sample: int = 512
    positive: float = 0.25
    overlap: float = 0.5
    score: float = 0.05
    nms: float = 0.5
    most: int = 100


@dataclass(frozen=True)
class Sampled:
    """The proposals of one image that are learnt from, m of them.

    Attributes:
        boxes: (m, 4).
        labels: int64 (m,); `classes`, the last, is background.
        which: int64 (m,), the target's instance of each; of background anything.
        positive: bool (m,).
    """

    boxes: Tensor
    labels: Tensor
    which: Tensor
    positive: Tensor


class BoxPredictor(nn.Module):
    """A class and, for each class, a box, from the features of a proposal.

    Args:
        channels: of the features.
        classes: without background.
    """

    def __init__(self, channels: int, classes: int, settings: RoISettings) -> None:
        super().__init__()
        self.classes, self.settings = classes, settings
        self.score = nn.Linear(channels, classes + 1)
        self.box = nn.Linear(channels, classes * 4)
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.normal_(self.box.weight, std=0.001)
        nn.init.zeros_(self.score.bias)
        nn.init.zeros_(self.box.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (m, classes + 1) and deltas (m, classes, 4) of features (m, channels)."""
        return widen(self.score(x)), widen(self.box(x)).view(-1, self.classes, 4)

    @torch.no_grad()
    def sample(self, proposals: Tensor, target: Target, key: int) -> Sampled:
        """Draw proposals of one image; the target's own boxes are among them."""
        truth = target.boxes.to(proposals.dtype)
        boxes = torch.cat((proposals, truth))
        overlap = self.settings.overlap
        which, verdict = matched(truth, boxes, overlap, overlap)
        chosen = sampled(
            verdict == 1,
            verdict == 0,
            self.settings.sample,
            self.settings.positive,
            keyed.key(key, "proposals"),
        )
        which, positive = which[chosen], verdict[chosen] == 1
        labels = torch.full_like(which, self.classes)
        labels[positive] = target.labels[which[positive]]
        return Sampled(boxes[chosen], labels, which, positive)

    def losses(
        self, scores: Tensor, deltas: Tensor, drawn: Sequence[Sampled], targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        """Cross-entropy and L1, both divided by the number of proposals."""
        labels = torch.cat([each.labels for each in drawn])
        learnt = torch.cat([each.positive for each in drawn])
        wanted = [
            encoded(target.boxes.to(own.boxes.dtype)[own.which[own.positive]],
                    own.boxes[own.positive], WEIGHTS)
            for own, target in zip(drawn, targets, strict=True)
        ]  # fmt: skip
        own = deltas[learnt, labels[learnt]]
        by_box = F.l1_loss(own, torch.cat(wanted), reduction="sum")
        return {"class": F.cross_entropy(scores, labels), "box": by_box / max(len(labels), 1)}

    def detections(
        self, scores: Tensor, deltas: Tensor, proposals: Sequence[Tensor], sizes: Sequence[Size]
    ) -> list[Detections]:
        """The best classes and boxes of each image; what is not finite is left out."""
        counts = [len(own) for own in proposals]
        probabilities = F.softmax(scores, 1)
        found = []
        for own, shares, places, size in zip(
            torch.split(deltas, counts),
            torch.split(probabilities, counts),
            proposals,
            sizes,
            strict=True,
        ):
            boxes = decoded(own, places[:, None].to(own.dtype), WEIGHTS)
            finite = boxes.isfinite().all(2).all(1) & shares.isfinite().all(1)
            boxes, shares = clipped(boxes[finite], size), shares[finite, :-1]
            good = shares > self.settings.score
            labels = good.nonzero()[:, 1]
            kept_boxes, kept = boxes[good], shares[good]
            best = batched_nms(kept_boxes, kept, labels, self.settings.nms)[: self.settings.most]
            found.append(Detections(kept_boxes[best], labels[best], kept[best]))
        return found


class TwoLayers(nn.Sequential):
    """Two fully connected layers with ReLU, on the grid of a proposal's features.

    Args:
        channels: of the grid.
        side: of the grid.
        width: of both layers.
    """

    def __init__(self, channels: int, side: int, width: int = 1024) -> None:
        first, second = nn.Linear(channels * side * side, width), nn.Linear(width, width)
        super().__init__(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU())
        for layer in (first, second):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)
        self.channels = width
