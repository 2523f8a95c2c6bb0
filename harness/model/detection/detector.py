"""The detector: a backbone, what is read from it, proposals, and heads for boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.model.backbones import Miniature, Residual
from harness.model.detection.box_head import BoxPredictor, Sampled, TwoLayers
from harness.model.detection.boxes import Detections, Target
from harness.model.detection.mask_head import MaskHead
from harness.model.detection.necks import C4, DilatedC5, Pyramid
from harness.model.detection.pad_groups import Groups, PadGroupNorm, in_groups, run, stages, stem
from harness.model.detection.roi_align import pooled
from harness.model.detection.rpn import RPN


class Res5Head(nn.Module):
    """The backbone's last stage on each proposal, and a norm after it (MoCo v1, Appendix A).

    The stage belongs to the backbone; only the norm is new. A mask head reads the same features.

    Args:
        channels: of the stage.
        side: cells of RoIAlign, before the stage halves them.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.channels, self.side = channels, side
        self.norm = PadGroupNorm(channels, group=1)


class FlatHead(nn.Module):
    """Two fully connected layers on each proposal; masks have a grid of their own."""

    def __init__(self, channels: int, side: int = 7, mask_side: int = 14) -> None:
        super().__init__()
        self.layers = TwoLayers(channels, side)
        self.channels, self.side, self.mask_side = self.layers.channels, side, mask_side


class Detector(nn.Module):
    """Faster R-CNN, or Mask R-CNN with `mask`.

    Args:
        pad_group: consecutive images that are padded together; each process has whole groups.
    """

    def __init__(
        self,
        backbone: Miniature | Residual,
        neck: C4 | DilatedC5 | Pyramid,
        rpn: RPN,
        head: Res5Head | FlatHead,
        box: BoxPredictor,
        mask: MaskHead | None,
        pad_group: int,
    ) -> None:
        super().__init__()
        self.backbone, self.neck, self.rpn = backbone, neck, rpn
        self.head, self.box, self.mask = head, box, mask
        self.pad_group = pad_group

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Target], keys: Sequence[int]
    ) -> dict[str, Tensor]:
        """The losses, means over pad groups; see the package.

        Args:
            images: normalised float (3, H, W) each, whole pad groups.
            targets: of the images.
            keys: of the images, from which the draws of anchors and proposals follow.

        Raises:
            ValueError: the images are no whole pad groups.
        """
        if len(images) % self.pad_group:
            raise ValueError(f"{len(images)} images are not whole groups of {self.pad_group}")
        groups, sizes = in_groups(images, self.pad_group, self.neck.divisor)
        levels = self._levels(groups)
        parts = [
            slice(start, start + self.pad_group) for start in range(0, len(images), self.pad_group)
        ]
        losses: list[dict[str, Tensor]] = []
        drawn: list[list[Sampled]] = []
        for number, part in enumerate(parts):
            found = self.rpn([level[number] for level in levels])
            losses.append(self.rpn.losses(found, targets[part], keys[part]))
            proposals = self.rpn.proposals(found, sizes[number])
            drawn.append(
                [
                    self.box.sample(own, target, key)
                    for own, target, key in zip(proposals, targets[part], keys[part], strict=True)
                ]
            )
        shapes = self._shapes(levels, [[own.boxes for own in each] for each in drawn])
        for number, part in enumerate(parts):
            scores, deltas = self.box(self._flat(shapes[number]))
            own, wanted = drawn[number], targets[part]
            losses[number] |= self.box.losses(scores, deltas, own, wanted)
            if self.mask is not None:
                features = self._mask_features(levels, number, shapes[number], own)
                losses[number] |= self.mask.losses(features, own, wanted)
        return {name: torch.stack([each[name] for each in losses]).mean() for name in losses[0]}

    @torch.no_grad()
    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """What is in each image; images of one size pass together, others alone, without padding
        to each other.

        Args:
            images: normalised float (3, H, W) each.

        Raises:
            FloatingPointError: a score or a box is not finite, so that detections would be lost.
            ValueError: the detector is in training mode.
        """
        if self.training:
            raise ValueError("a detector in training mode normalises by what it is shown")
        found: list[Detections] = []
        start = 0
        while start < len(images):
            size = images[start].shape
            stop = start + 1
            while stop < len(images) and images[stop].shape == size:
                stop += 1
            found += self._detect(images[start:stop])
            start = stop
        return found

    def _detect(self, images: Sequence[Tensor]) -> list[Detections]:
        groups, sizes = in_groups(images, len(images), self.neck.divisor)
        levels = self._levels(groups)
        found = self.rpn([level[0] for level in levels])
        proposals = self.rpn.proposals(found, sizes[0])
        scores, deltas = self.box(self._flat(self._shapes(levels, [proposals])[0]))
        predicted = (scores, deltas, *(x for level in found for x in level[:2]))
        if not bool(torch.stack([x.isfinite().all() for x in predicted]).all()):
            raise FloatingPointError("the scores or boxes of a test image are not finite")
        detections = self.box.detections(scores, deltas, proposals, sizes[0])
        if self.mask is None:
            return detections
        boxes = [each.boxes for each in detections]
        if isinstance(self.head, FlatHead):
            features = self._pooled(levels, 0, boxes, self.head.mask_side)
        else:
            features = self._shapes(levels, [boxes])[0]
        return self.mask.masks(features, detections)

    def _levels(self, groups: Groups) -> list[Groups]:
        """What the neck makes of the images: its levels, each a list over groups."""
        groups = stem(self.backbone, groups)
        maps = []
        for stage in stages(self.backbone)[: self.neck.depth]:
            groups = run(stage, groups)
            maps.append(groups)
        levels: list[Groups] = self.neck(maps)
        return levels

    def _shapes(self, levels: list[Groups], boxes: list[list[Tensor]]) -> Groups:
        """The grids of features of boxes, of each group (m, channels, side, side)."""
        grids = [self._pooled(levels, n, own, self.head.side) for n, own in enumerate(boxes)]
        if isinstance(self.head, FlatHead):
            return grids
        return self.head.norm.forward_groups(run(stages(self.backbone)[-1], grids))

    def _pooled(self, levels: list[Groups], group: int, boxes: list[Tensor], side: int) -> Tensor:
        """Boxes are not read from FPN's last level, which is for proposals only."""
        strides = self.neck.strides[: -1 if isinstance(self.neck, Pyramid) else None]
        maps = [level[group] for level in levels[: len(strides)]]
        return pooled(maps, strides, boxes, side)

    def _flat(self, grid: Tensor) -> Tensor:
        """The features (m, channels) of the box predictor."""
        if isinstance(self.head, FlatHead):
            out: Tensor = self.head.layers(grid)
            return out
        return grid.mean((2, 3))

    def _mask_features(
        self, levels: list[Groups], group: int, grid: Tensor, drawn: list[Sampled]
    ) -> Tensor:
        """The mask head's features of the positive proposals."""
        if isinstance(self.head, FlatHead):
            boxes = [own.boxes[own.positive] for own in drawn]
            return self._pooled(levels, group, boxes, self.head.mask_side)
        return grid[torch.cat([own.positive for own in drawn])]
