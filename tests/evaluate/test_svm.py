"""Linear SVMs: scikit-learn's own answers, and C by cross-validated AP."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.svm import LinearSVC
from torch import Tensor

from harness.evaluate.features import NotFinite
from harness.evaluate.logistic import parts
from harness.evaluate.svm import ClassSvm, Svms
from harness.recipe.svm import SvmTask

STREAM = ("svm", "a")


def protocol(**changes: object) -> SvmTask:
    return SvmTask.model_validate({"kind": "svm", **changes})


def two(n: int, seed: int = 0) -> tuple[Any, Tensor]:
    """Features (n, 6), and which of the images show the class; they overlap."""
    draw = torch.Generator().manual_seed(seed)
    shown = torch.rand(n, generator=draw) < 0.25
    shift = shown.double()[:, None] * torch.linspace(0, 1, 6).double()
    return (shift + torch.randn(n, 6, generator=draw).double()).numpy(), shown


def fitted(grid: tuple[float, ...], **changes: object) -> ClassSvm:
    (x, shown), (test, _) = two(200), two(80, 1)
    made = Svms(protocol(**changes), 1)
    return made.fit(x, shown, test, grid=grid, folds=3, stream=STREAM)


def plain(c: float, x: Any, shown: Tensor, test: Any, weight: float = 2.0) -> Any:
    model = LinearSVC(
        C=c, class_weight={1: weight, 0: 1}, dual=True, max_iter=2000, tol=1e-4, random_state=0
    )
    return model.fit(x, shown.int().numpy()).decision_function(test)


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_a_single_c_is_taken_as_it_is(weight: float) -> None:
    found = fitted((0.1,), positive_weight=weight)
    (x, shown), (test, _) = two(200), two(80, 1)
    assert found.scores.numpy() == pytest.approx(plain(0.1, x, shown, test, weight), abs=1e-9)
    assert (found.c, found.validation, found.unconverged) == (0.1, [], 0)


def test_c_is_that_of_the_highest_mean_ap_of_the_folds() -> None:
    grid = (1e-6, 1e-3, 1.0)
    found = fitted(grid)
    (x, shown), (test, _) = two(200), two(80, 1)
    fold_of = parts(shown.long(), 3, STREAM)
    for c, said in zip(grid, found.validation, strict=True):
        aps = []
        for fold in range(3):
            out = (fold_of == fold).numpy()
            scores = plain(c, x[~out], shown[~out], x[out])
            aps.append(average_precision_score(shown[out].numpy(), scores))
        assert said == pytest.approx(100 * np.mean(aps), abs=1e-9)
    assert found.c == grid[found.validation.index(max(found.validation))]
    assert found.scores.numpy() == pytest.approx(plain(found.c, x, shown, test), abs=1e-9)


def test_fits_that_end_too_early_are_counted() -> None:
    assert fitted((10.0,), iterations=1).unconverged == 1
    assert fitted((10.0, 100.0), iterations=1).unconverged == 7


def test_what_is_not_finite_is_refused() -> None:
    x, shown = two(50)
    test = np.full((3, 6), 1e308)
    with pytest.raises(NotFinite):
        Svms(protocol(), 1).fit(x * 1e-3, shown, test, grid=(100.0,), folds=3, stream=STREAM)
