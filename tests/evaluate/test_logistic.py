"""Logistic regression: folds of equal shares, and scikit-learn's own answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from harness.errors import DataError
from harness.evaluate.features import NotFinite
from harness.evaluate.logistic import Regression, best, check_classes, parts, scaled
from harness.recipe.evaluation import LogisticTask


def protocol(**changes: object) -> LogisticTask:
    return LogisticTask.model_validate({"kind": "logistic", **changes})


def clusters(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (n, 6) and labels of three classes that overlap."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=draw)
    centres = torch.eye(3, 6) * 1.5
    return centres[labels] + torch.randn(n, 6, generator=draw), labels


@pytest.mark.parametrize(("n", "folds"), [(97, 5), (100, 10), (40, 2)])
def test_folds_have_equal_shares_of_each_class(n: int, folds: int) -> None:
    labels = torch.arange(n) ** 2 % 7
    found = parts(labels, folds, (0, "logistic"))
    assert set(found.tolist()) == set(range(folds))
    sizes = found.bincount()
    assert sizes.max() - sizes.min() <= 1
    for label in labels.unique():
        shares = found[labels == label].bincount(minlength=folds)
        assert shares.max() - shares.min() <= 1


def test_folds_are_those_of_their_key_alone() -> None:
    labels = torch.arange(60) % 3
    one = parts(labels, 5, (0, "logistic"))
    assert torch.equal(one, parts(labels, 5, (0, "logistic")))
    assert not torch.equal(one, parts(labels, 5, (1, "logistic")))
    assert not torch.equal(one, parts(labels, 5, (0, "logistic", "trial 1")))
    assert not torch.equal(one, torch.arange(60) % 5)


def test_a_fit_is_scikit_learns() -> None:
    (x, y), (test, answers) = clusters(300), clusters(200, 1)
    found = Regression(protocol(), 1).fit(0.1, x.numpy(), y.numpy(), test.numpy(), answers.numpy())
    plain = LogisticRegression(C=0.1, max_iter=1000).fit(x.numpy(), y.numpy())
    assert found.correct == (plain.predict(test.numpy()) == answers.numpy()).sum()
    assert found.iterations == plain.n_iter_[0]
    assert found.converged
    assert 120 < found.correct < 200


@pytest.mark.parametrize("classes", [2, 3])
def test_answers_among_some_classes_only(classes: int) -> None:
    (x, y), (test, answers) = clusters(300), clusters(200, 1)
    seen, asked = y < classes, answers == 1
    given = (x[seen].numpy(), y[seen].numpy(), test[asked].numpy(), answers[asked].numpy())
    every = Regression(protocol(), 1).fit(0.1, *given)
    assert 0 < every.correct < int(asked.sum())
    assert Regression(protocol(), 1).fit(0.1, *given, classes=(1,)).correct == int(asked.sum())
    both = Regression(protocol(), 1).fit(0.1, *given, classes=tuple(range(classes)))
    assert torch.equal(both.right, every.right)


def test_the_next_fit_begins_with_the_one_before() -> None:
    (x, y), (test, answers) = clusters(300), clusters(200, 1)
    given = (x.numpy(), y.numpy(), test.numpy(), answers.numpy())
    regression = Regression(protocol(), 1)
    first, again = regression.fit(0.1, *given), regression.fit(0.1, *given)
    assert again.iterations < first.iterations
    assert again.correct == first.correct


def test_a_fit_that_ends_too_early_says_so() -> None:
    x, y = (each.numpy() for each in clusters(300))
    found = Regression(protocol(iterations=2), 1).fit(1.0, x, y, x, y)
    assert (found.iterations, found.converged) == (2, False)


@pytest.mark.filterwarnings("ignore")
def test_what_is_not_finite_is_refused() -> None:
    x, y = (each.numpy() for each in clusters(300))
    test = np.full_like(x, 3e38)
    with pytest.raises(NotFinite):
        Regression(protocol(), 1).fit(1.0, x, y, test, y)


def test_features_are_left_or_made_of_length_one() -> None:
    features = torch.randn(5, 3) * 7
    assert np.array_equal(scaled(features, "none"), features.numpy())
    lengths = np.linalg.norm(scaled(features, "l2"), axis=1)
    assert lengths == pytest.approx(np.ones(5), abs=1e-6)
    assert float(torch.linalg.vector_norm(features, dim=1).max()) > 2, "they themselves stay"


def test_the_best_is_the_smallest_of_equals() -> None:
    assert best([10.0, 0.1, 1.0], [50.0, 60.0, 55.0]) == 1
    assert best([10.0, 0.1, 1.0], [60.0, 50.0, 60.0]) == 2


@pytest.mark.parametrize("labels", [[0] * 8, [0, 0, 0, 0, 0, 0, 0, 1], [0], [0, 1]])
def test_too_few_images_are_refused(labels: list[int]) -> None:
    known = torch.tensor(labels)
    with pytest.raises(DataError):
        check_classes(known, parts(known, 4, (0, "logistic")), 4)


def test_a_rare_class_is_no_mistake() -> None:
    known = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
    check_classes(known, parts(known, 4, (0, "logistic")), 4)


def test_only_the_classes_that_are_tested_are_answered() -> None:
    x = torch.eye(3).repeat(10, 1)
    y = torch.arange(3).repeat(10)
    between = torch.tensor([[0.1, 1.0, 0.9], [0.1, 0.2, 0.9]])
    given = (1.0, x.numpy(), y.numpy(), between.numpy(), torch.tensor([2, 2]).numpy())
    assert Regression(protocol(), 1).fit(*given).right.tolist() == [False, True]
    assert Regression(protocol(), 1).fit(*given, (0, 2)).right.tolist() == [True, True]
