"""Evaluation of frozen features: weighted kNN and a linear probe, for every run and as further
tasks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.section import Positive, PositiveFloat, Section
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
    """random_crop: new crop (0.08 to 1) and flip each epoch, as in the paper; center: fixed
    features."""


class KnnTask(TaskSection, Knn):
    """Weighted kNN on other data, or by another protocol: the fields of `knn`, and those of
    every task."""

    kind: Literal["knn"]


class LinearTask(TaskSection, Linear):
    """A linear probe on other data, or by another protocol: the fields of `linear`, and those of
    every task."""

    kind: Literal["linear"]
