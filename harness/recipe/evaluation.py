"""Evaluation of frozen features: weighted kNN and a linear probe, for every run and as further
tasks; logistic regression as a further task."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.recipe.section import Positive, PositiveFloat, Section, refuse
from harness.recipe.task import Data, Fitted, TaskSection

SHARE = 10
"""kNN asks at most one of so many images of the bank, if it is fitted to data: of a bank of 300,
200 neighbours are nearly all."""
IMAGENET = (224, 100_000)
"""Image size and number of training images from which a folder gets the papers' linear probe."""
STEPS, EPOCHS = 10_000, (100, 1000)
"""A linear probe that is fitted to other data: steps in all, if these are so many epochs."""
RATES = (1.0, 0.01, 0.03, 0.1, 0.3, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Its learning rates: the first is the result."""


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
    """random_crop: new crop (0.08 to 1) and flip each epoch, as in the paper; center: fixed
    features."""


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
    """Weighted kNN on other data, or by another protocol: the fields of `knn`, and those of
    every task."""

    kind: Literal["knn"]

    @classmethod
    def fitted(cls, data: Data, bank: int | None) -> Fitted:
        usual = Knn()
        k = usual.k[0]
        said = {"k": [k], "temperature": usual.temperature, "layer": usual.layer}
        if bank is None or k <= bank // SHARE:
            return Fitted(said, "votes as in InstDisc, T as in the official CIFAR-10 demo")
        fewer = max(1, bank // SHARE)
        why = f"k is a tenth of the bank's {bank} images; usual are {k} neighbours"
        note = f"kNN on {data.folder or data.name}: {why}."
        return Fitted(said | {"k": [fewer]}, why, note)


class LinearTask(TaskSection, Linear):
    """A linear probe on other data, or by another protocol: the fields of `linear`, and those of
    every task."""

    kind: Literal["linear"]

    @classmethod
    def fitted(cls, data: Data, bank: int | None) -> Fitted:
        where = data.folder or data.name
        size, images = IMAGENET
        if data.folder is not None and data.size == size and (bank is None or bank >= images):
            why = "the paper's (v1 Sec. 4.1): 100 epochs, learning rate 30, random crops"
            note = (
                f"Linear probe on {where}: the paper's learning rate of 30 is for contrastive "
                "features; supervised ones take about 0.1."
            )
            return Fitted({}, why, note)
        usual = Linear()
        batch = usual.batch if bank is None else min(usual.batch, bank)
        least, most = EPOCHS
        steps = None if bank is None else -(-bank // batch)
        epochs = least if steps is None else min(most, max(least, -(-STEPS // steps)))
        said = {
            "epochs": epochs,
            "batch": batch,
            "lr": list(RATES),
            "drops": [round(0.6 * epochs), round(0.8 * epochs)],
            "views": "center",
        }
        why = (
            f"this harness's: {STEPS:,} steps, but {least} to {most:,} epochs; drops after 60 and "
            "80 % of them, as v1 Sec. 4.1; the first rate counts"
        )
        note = (
            f"Linear probe on {where}: no published protocol. Features of centre crops are "
            "computed once; the first learning rate was fixed for all data, the others show how "
            "much depends on it."
        )
        return Fitted(said, why, note)


class LogisticTask(TaskSection, Logistic):
    """Logistic regression on the run's data or on other data."""

    kind: Literal["logistic"]
