"""Multinomial logistic regression on frozen features by scikit-learn, its penalty chosen inside
the training data."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import DataError, HarnessError
from harness.evaluate.features import NotFinite
from harness.recipe.few_shot import FewShotTask
from harness.recipe.schema import LogisticTask
from harness.runtime import keyed


def parts(labels: Tensor, folds: int, stream: tuple[int | str, ...]) -> Tensor:
    """The fold of each image, int64 (n,): keyed, and each class in equal shares.

    Each class's images are in a keyed order and dealt to the folds in turn. The next class goes on
    where the last one ended, so that the folds differ by one image at most.

    Args:
        labels: int64 (n,).
    """
    order = keyed.permutation(keyed.key(*stream, "folds"), len(labels))
    dealt = order[labels.cpu()[order].argsort(stable=True)]
    found = torch.empty(len(labels), dtype=torch.int64)
    found[dealt] = torch.arange(len(labels)) % folds
    return found


def check_classes(labels: Tensor, folds: Tensor, held_out: int) -> None:
    """Refuse training images from which no C can be chosen.

    Raises:
        DataError: without one of the folds that are held out, fewer than two classes are left.
    """
    if len(labels) < 2 or int(folds.max()) + 1 < held_out:
        raise DataError(f"{len(labels)} training images are too few for logistic regression")
    for fold in range(held_out):
        others = labels[folds != fold]
        if not len(others) or bool((others == others[0]).all()):
            raise DataError(
                "logistic regression needs two classes or more among the images of every fold; "
                "there are too few images"
            )


def scaled(features: Tensor, normalise: str) -> Any:
    """Features as an array of NumPy, float32 (n, d) on the CPU, which may share their memory;
    "l2": each of length 1."""
    found = F.normalize(features, dim=1) if normalise == "l2" else features
    return found.cpu().contiguous().numpy()


@dataclass(frozen=True)
class Fit:
    """A classifier that was fitted at one C."""

    c: float
    iterations: int
    converged: bool
    right: Tensor
    """bool (m,): which of the m images that it was not fitted to it recognises."""

    @property
    def correct(self) -> int:
        return int(self.right.sum())


class Regression:
    """Fits classifiers, each from zero: what is validated is what is then done with all images. A
    fit that began with the one at a smaller C could end at once, as the tolerance allows it."""

    def __init__(self, protocol: LogisticTask | FewShotTask, threads: int) -> None:
        """
        Raises:
            HarnessError: scikit-learn is not installed.
        """
        try:
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise HarnessError(
                f"logistic regression needs scikit-learn ({error}): "
                "pip install 'moco-harness[evaluate]'"
            ) from error
        self._model = LogisticRegression(max_iter=protocol.iterations, tol=protocol.tolerance)
        self._threads = threads

    def fit(
        self, c: float, x: Any, y: Any, test: Any, answers: Any, classes: Sequence[int] = ()
    ) -> Fit:
        """Fit by L-BFGS to features x (n, d), labels y (n,), and answer for `test` (m, d).

        The objective is C times the sum of cross-entropies plus half the squared weights; the
        biases are free. It ends when no gradient of the mean exceeds the tolerance.

        Args:
            answers: labels (m,) of `test`.
            classes: those that `test` may be recognised as; () for all.

        Raises:
            NotFinite: the classifier is not finite.
        """
        import numpy as np
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        model = self._model
        model.set_params(C=c)
        # Infinite logits are found below.
        with (
            threadpool_limits(self._threads, "blas"),
            warnings.catch_warnings(record=True) as said,
            np.errstate(all="ignore"),
        ):
            warnings.simplefilter("always")
            model.fit(x, y)
            logits = model.decision_function(test)
        if not (np.isfinite(model.coef_).all() and np.isfinite(logits).all()):
            raise NotFinite(f"logistic regression at C = {c:g} is not finite")
        stopped = any(issubclass(one.category, ConvergenceWarning) for one in said)
        iterations = int(model.n_iter_.max())
        if logits.ndim == 1:  # of two classes: the second's
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        known = model.classes_
        if classes:
            allowed = np.isin(known, classes)
            known, logits = known[allowed], logits[:, allowed]
        right = known[logits.argmax(1)] == answers if len(known) else np.zeros(len(answers), bool)
        return Fit(c, iterations, not stopped, torch.from_numpy(np.asarray(right)))


def best(grid: Sequence[float], accuracies: Sequence[float]) -> int:
    """Position of the C with the highest accuracy; the smallest such C, where several are equal."""
    return min(range(len(grid)), key=lambda n: (-accuracies[n], grid[n]))
