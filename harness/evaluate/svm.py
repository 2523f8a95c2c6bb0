"""Linear SVM on frozen features by scikit-learn, its penalty chosen inside the training data."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.errors import HarnessError
from harness.evaluate.features import NotFinite
from harness.evaluate.logistic import best, parts
from harness.recipe.svm import Svm


@dataclass(frozen=True)
class ClassSvm:
    """The SVM of one class against the others."""

    c: float
    scores: Tensor
    """float64 (m,): its answers for the m test images; higher: more likely of the class."""
    validation: list[float]
    """The mean AP at each C that was tried, in percent; [] if there was no choice."""
    unconverged: int
    """Number of its fits that did not converge."""


class Svms:
    """Fits SVMs of one class against the others."""

    def __init__(self, protocol: Svm, threads: int) -> None:
        """
        Raises:
            HarnessError: scikit-learn is not installed.
        """
        try:
            from sklearn.svm import LinearSVC
        except ImportError as error:
            raise HarnessError(
                f"linear SVMs need scikit-learn ({error}): pip install 'moco-harness[evaluate]'"
            ) from error
        self._model = LinearSVC(
            class_weight={1: protocol.positive_weight, -1: 1},
            loss="squared_hinge",
            dual=True,
            intercept_scaling=1.0,
            tol=protocol.tolerance,
            max_iter=protocol.iterations,
            random_state=0,  # of the order in which coordinates are optimised
        )
        self._threads = threads
        self._unconverged = 0

    def fit(
        self,
        x: Any,
        shown: Tensor,
        test: Any,
        *,
        grid: Sequence[float],
        folds: int,
        stream: tuple[int | str, ...],
    ) -> ClassSvm:
        """Choose C by cross-validated AP, unless the grid has one value; then fit all images.

        Args:
            x: features, float64 (n, d).
            shown: bool (n,), whether the images show the class; for one at least not for all.
            test: features of the test images, float64 (m, d).
            folds: parts for the cross-validation; at most so many as images that show the class.
            stream: key of the parts.

        Raises:
            NotFinite: an SVM is not finite.
        """
        from threadpoolctl import threadpool_limits

        self._unconverged = 0
        with threadpool_limits(self._threads, "blas"):
            tried = self._validated(x, shown, grid, folds, stream) if len(grid) > 1 else []
            c = grid[best(grid, tried)] if tried else grid[0]
            scores = torch.from_numpy(self._scores(c, x, shown, test))
        return ClassSvm(c, scores, tried, self._unconverged)

    def _validated(
        self,
        x: Any,
        shown: Tensor,
        grid: Sequence[float],
        folds: int,
        stream: tuple[int | str, ...],
    ) -> list[float]:
        """The mean over the folds of the AP on the images of the fold, in percent, at each C."""
        from sklearn.metrics import average_precision_score

        fold_of = parts(shown.to(torch.int64), folds, stream)
        found = []
        for c in grid:
            total = 0.0
            for fold in range(folds):
                out = fold_of == fold
                scores = self._scores(c, x[~out.numpy()], shown[~out], x[out.numpy()])
                total += average_precision_score(shown[out].numpy(), scores)
            found.append(100 * total / folds)
        return found

    def _scores(self, c: float, x: Any, shown: Tensor, test: Any) -> Any:
        import numpy as np
        from sklearn.exceptions import ConvergenceWarning

        model = self._model.set_params(C=c)
        with warnings.catch_warnings(record=True) as said, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            model.fit(x, np.where(shown.numpy(), 1, -1))
            scores = model.decision_function(test)
        if not (np.isfinite(model.coef_).all() and np.isfinite(scores).all()):
            raise NotFinite(f"a linear SVM at C = {c:g} is not finite")
        self._unconverged += any(issubclass(one.category, ConvergenceWarning) for one in said)
        return scores
