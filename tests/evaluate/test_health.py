"""The measures of health against their definitions in NumPy, and what they are at the extremes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.evaluate.health import (
    alignment,
    collapse,
    deviation,
    mean_cosine,
    rankme,
    uniformity,
)


def drawn(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + 0.3


def unit(x: Tensor) -> np.ndarray:
    rows = x.double().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "d"), [(50, 8), (8, 50), (20, 20)])
def test_rankme_is_the_entropy_of_the_singular_values(n: int, d: int) -> None:
    x = drawn(n, d)
    singular = np.linalg.svd(x.double().numpy(), compute_uv=False)  # not centred
    p = singular / np.abs(singular).sum() + 1e-7
    assert rankme(x) == pytest.approx(np.exp(-np.sum(p * np.log(p))), rel=1e-9)
    assert rankme(x) == pytest.approx(rankme(x * 1e-25), rel=1e-6)  # its squares underflow


def test_rankme_counts_the_directions() -> None:
    assert rankme(torch.eye(6)) == pytest.approx(6, rel=1e-4)
    assert rankme(torch.ones(40, 6)) == pytest.approx(1, rel=1e-4)
    assert rankme(torch.zeros(40, 6)) == pytest.approx(1, rel=1e-4)
    assert rankme(torch.ones(40, 6) * drawn(40, 1)) == pytest.approx(1, rel=1e-4)
    assert rankme(drawn(40, 2) @ drawn(2, 6, 1)) < 2.001


def test_deviation_is_that_of_simsiam() -> None:
    x = drawn(40, 16)
    assert deviation(x) == pytest.approx(unit(x).std(0, ddof=1).mean(), rel=1e-9)
    spread = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    assert deviation(spread) == pytest.approx(1 / math.sqrt(64), rel=0.01)
    assert deviation(torch.ones(5, 16)) < 1e-12


def test_alignment_and_uniformity_are_those_of_wang_and_isola() -> None:
    one, other = drawn(30, 8), drawn(30, 8, 1)
    x, y = unit(one), unit(other)
    distances = [np.sum((a - b) ** 2) for a, b in zip(x, y, strict=True)]
    assert alignment(one, other) == pytest.approx(np.mean(distances), rel=1e-9)
    pairs = [np.exp(-2 * np.sum((a - b) ** 2)) for a, b in itertools.combinations(x, 2)]
    assert uniformity(one) == pytest.approx(np.log(np.mean(pairs)), rel=1e-9)
    assert alignment(one, one) == 0
    assert alignment(one, -one) == pytest.approx(4)
    assert uniformity(torch.ones(9, 8)) == pytest.approx(0, abs=1e-9)
    assert uniformity(torch.zeros(9, 8)) == 0


def test_mean_cosine_leaves_out_the_positives() -> None:
    x, y = (torch.from_numpy(unit(drawn(12, 8, seed))) for seed in (0, 1))
    every = (x @ y.T).numpy()
    assert mean_cosine(x, y) == pytest.approx(every.mean(), abs=1e-12)
    others = every[~np.eye(12, dtype=bool)]
    assert mean_cosine(x, y, paired=True) == pytest.approx(others.mean(), abs=1e-12)
    assert mean_cosine(x, y[:5]) == pytest.approx(every[:, :5].mean(), abs=1e-12)


def healthy(**other: float) -> dict[str, float]:
    values = {"deviation": 0.05, "uniformity": -1.0, "rankme": 20.0} | other
    return {f"health/{name}": value for name, value in values.items()}


def test_a_collapse_is_named_with_its_value() -> None:
    assert collapse(healthy(), 128) == ""
    assert "0.011" in collapse(healthy(deviation=0.001), 128)
    assert collapse(healthy(deviation=0.005), 128) == ""
    assert collapse(healthy(deviation=0.005), 64) != ""  # of a larger 1 / sqrt(d)
    assert "1.20" in collapse(healthy(rankme=1.2), 128)
    narrow = 0.1 / math.sqrt(128)
    assert collapse(healthy(deviation=narrow), 128) == ""
    assert collapse(healthy(rankme=2.5), 128) == ""
    assert collapse(healthy(deviation=narrow, rankme=2.5), 128) != ""
