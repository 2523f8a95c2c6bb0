"""Few-shot classification: logistic regression on frozen features of k images a class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from harness.recipe.draws import DrawnTask
from harness.recipe.section import Positive, PositiveFloat


class FewShotTask(DrawnTask):
    """Logistic regression (scikit-learn, L-BFGS) on frozen features of k training images of each
    class, tested on all test images. The mean accuracy over the draws is reported.

    Source: normalised features and C = 1 as in arXiv:2003.11539 (code: WangYueFt/rfs).
    """

    kind: Literal["few_shot"]
    layer: Literal["backbone", "output"] = "backbone"
    """backbone: pooled features; output: the head's output."""
    normalise: Literal["none", "l2"] = "l2"
    """none: features as they are; l2: each divided by its length."""
    iterations: Positive = 1000
    """Most iterations of a fit."""
    tolerance: PositiveFloat = 1e-4
    """A fit has converged when no gradient of its mean objective exceeds this."""

    def beyond(
        self, images: int, classes: int | None, smallest: int | None
    ) -> Iterator[tuple[str, str]]:
        least = smallest if smallest is not None else images // (classes or 1)
        if max(self.shots) > least:
            yield (
                "shots",
                f"{max(self.shots)} images a class, but a class of the {images:,} images has "
                f"{least:,} at most: use fewer",
            )
