"""Evaluation of frozen features: weighted kNN and a linear probe, for every run and as further
tasks; logistic regression as a further task."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.recipe.section import Positive, PositiveFloat, Section, refuse
from harness.recipe.task import TaskSection


class Knn(Section):
    """Weighted k-nearest-neighbour accuracy on frozen features (InstDisc, arXiv:1805.01978)."""

    k: Annotated[tuple[Positive, ...], Field(title="k of kNN")] = (200,)
    """Neighbours that vote; the first is the one reported, the others show sensitivity."""
    temperature: Annotated[PositiveFloat, Field(title="temperature of kNN")] = 0.1
    """A neighbour of cosine similarity s votes with exp(s / temperature) (demo: 0.1)."""
    layer: Annotated[Literal["backbone", "output"], Field(title="features of kNN")] = "backbone"
    """backbone: pooled features; output: the head's output (demo)."""
    queries: Annotated[Positive | None, Field(title="test images of kNN")] = None
    """Take a fixed subset of this many test images; null: all of them."""


class Linear(Section):
    """Linear classification on frozen features (v1 Sec. 4.1; code: main_lincls.py)."""

    epochs: Positive = 100
    batch: Positive = 256
    lr: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (30.0,)
    """Learning rates, trained in one pass; the first is the result, the others sensitivity."""
    sgd_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (0.0,)
    """L2 penalties; every rate is tried with every one, the first pair is the result."""
    drops: tuple[Positive, ...] = (60, 80)
    """Epochs, counted from 0, at whose start the rate is multiplied by `factor`."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    views: Literal["random_crop", "center"] = "random_crop"
    """random_crop: crop (0.08 to 1) and flip each time, as the paper; center: features once."""


class Logistic(Section):
    """Multinomial logistic regression on frozen features of centre crops, by L-BFGS
    (scikit-learn). C is chosen on training images, then all of them are fitted."""

    c: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    """Values of C that are tried: C times the sum of cross-entropies plus half the squared weights
    is minimised. A single one is taken as it is."""
    folds: Annotated[int, Field(ge=2)] = 3
    """Parts of the training images, drawn at random with equal shares of each class."""
    held_out: Positive = 3
    """How many of the parts are held out, one after the other, and classified by a fit to the
    others: all of them are cross-validation (3 folds: VISSL); 1 is a hold-out (10 folds:
    DINOv2)."""
    layer: Literal["backbone", "output"] = "backbone"
    """backbone: pooled features; output: the head's output."""
    normalise: Literal["none", "l2"] = "none"
    """none: features as they are (DINOv2); l2: each divided by its length."""
    iterations: Positive = 1000
    """Most iterations of a fit (DINOv2: 1000)."""
    tolerance: PositiveFloat = 1e-4
    """A fit has converged when no gradient of its mean objective exceeds this."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.held_out > self.folds:
            refuse([("held_out", f"{self.held_out} of {self.folds} folds cannot be held out")])
        if len(set(self.c)) < len(self.c):
            refuse([("c", "a value stands there twice")])
        return self


class KnnTask(TaskSection, Knn):
    """Weighted kNN on other data, or by another protocol: the fields of the recipe's `knn`, and
    those of every task."""

    kind: Literal["knn"]


class LinearTask(TaskSection, Linear):
    """A linear probe on other data, or by another protocol: the fields of the recipe's `linear`,
    and those of every task."""

    kind: Literal["linear"]


class LogisticTask(TaskSection, Logistic):
    """Logistic regression on the run's data or on other data."""

    kind: Literal["logistic"]
