"""kNN against the brute-force oracle."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from oracle.knn import knn

from harness.evaluate import knn as ours
from harness.evaluate.knn import knn_right, top


def knn_accuracy(
    queries: torch.Tensor,
    labels: torch.Tensor,
    bank: torch.Tensor,
    bank_labels: torch.Tensor,
    **settings: Any,
) -> dict[int, float]:
    """Top-1 accuracy in percent for every k."""
    right = knn_right(queries, labels, bank, bank_labels, **settings)
    found = (100 * right.sum(1) / len(queries)).tolist()
    return dict(zip(settings["k"], found, strict=True))


def clusters(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of five overlapping classes, unnormalised."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(5, (n,), generator=draw)
    centres = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    x = centres[labels] + 1.2 * torch.randn(n, 16, generator=draw)
    return x * torch.rand(n, 1, generator=draw).add(0.5), labels


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_it_equals_the_oracle_for_every_k(temperature: float) -> None:
    bank, bank_labels = clusters(300, 1)
    queries, labels = clusters(80, 2)
    found = knn_accuracy(
        queries.double(),
        labels,
        bank.double(),
        bank_labels,
        k=(20, 1, 300),
        temperature=temperature,
        classes=5,
    )
    for k, accuracy in found.items():
        expected = knn(
            bank.double(), bank_labels, queries.double(), labels, k=k, temperature=temperature
        )
        assert accuracy == pytest.approx(expected.accuracy)
    assert list(found) == [20, 1, 300]
    assert 40 < found[20] < 100


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, bank_labels = clusters(100, 1)
    queries, labels = clusters(33, 2)
    settings: dict[str, Any] = {"k": (10,), "temperature": 0.1, "classes": 5}
    whole = knn_accuracy(queries, labels, bank, bank_labels, **settings)
    monkeypatch.setattr(ours, "ELEMENTS", 500)  # five queries at a time
    assert knn_accuracy(queries, labels, bank, bank_labels, **settings) == whole


@pytest.mark.parametrize("m", [1, 31, 32, 640, 641, 655, 2000])
@pytest.mark.parametrize("k", [1, 2, 20])
def test_the_largest_by_blocks_are_the_largest(m: int, k: int) -> None:
    k = min(k, m)
    x = torch.randn(50, m, generator=torch.Generator().manual_seed(m + k))
    x[0, -k:] = 10 + torch.arange(k)  # all in the rest that fills no block, or in the last ones
    x[1, :: max(1, m // 16)] += 10  # all in one block or two
    x[2] = x[2].sort().values
    values, where = top(x, k)
    expected = x.topk(k, dim=1)
    assert torch.equal(values, expected.values)
    assert torch.equal(where, expected.indices)


def test_of_equal_ones_there_are_as_many_as_there_should_be() -> None:
    x = torch.randint(5, (50, 2000), generator=torch.Generator().manual_seed(0)).float()
    values, where = top(x, 30)
    assert torch.equal(values, x.topk(30, dim=1).values)
    assert torch.equal(x.gather(1, where), values)
    assert all(len(set(row)) == 30 for row in where.tolist())


def test_by_blocks_it_equals_the_oracle() -> None:
    bank, bank_labels = clusters(400, 1)
    queries, labels = clusters(60, 2)
    features = queries.double(), labels, bank.double(), bank_labels
    found = knn_accuracy(*features, k=(12, 5), temperature=0.1, classes=5)
    for k, accuracy in found.items():
        expected = knn(*features[2:], *features[:2], k=k, temperature=0.1)
        assert accuracy == pytest.approx(expected.accuracy)


def test_a_low_temperature_does_not_overflow() -> None:
    bank, bank_labels = clusters(50, 1)
    found = knn_accuracy(bank, bank_labels, bank, bank_labels, k=(10,), temperature=1e-3, classes=5)
    assert found[10] == 100  # each is its own nearest neighbour, which outvotes all others


def test_more_neighbours_than_entries_are_refused() -> None:
    bank, labels = clusters(5, 1)
    with pytest.raises(ValueError, match="k = 6, but the bank has 5 entries"):
        knn_accuracy(bank, labels, bank, labels, k=(6,), temperature=0.1, classes=5)


def test_features_of_any_length_are_normalised_where_they_are() -> None:
    (bank, bank_labels), (queries, labels) = clusters(300, 1), clusters(80, 2)
    settings: dict[str, Any] = {"k": (20, 5), "temperature": 0.1, "classes": 5}
    whole = [F.normalize(features, dim=1) for features in (queries, bank)]
    expected = knn_right(whole[0].clone(), labels, whole[1].clone(), bank_labels, **settings)
    assert not torch.equal(bank, whole[1])
    assert torch.equal(knn_right(queries, labels, bank, bank_labels, **settings), expected)
    assert torch.equal(queries, whole[0])
    assert torch.equal(bank, whole[1]), "no second copy is kept of it"


def test_only_some_classes_may_be_answered() -> None:
    bank, bank_labels = clusters(300, 1)
    queries, labels = clusters(80, 2)
    among = (labels == 1) | (labels == 3)
    queries, labels = queries[among], labels[among]
    queries += 2 * torch.randn(queries.shape, generator=torch.Generator().manual_seed(3))
    settings: dict[str, Any] = {"k": (20, 1), "temperature": 0.1, "classes": 5}
    found = knn_right(queries.clone(), labels, bank.clone(), bank_labels, only=(1, 3), **settings)
    similar = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T
    silent = 0
    for row, k in enumerate((20, 1)):
        for query, label in enumerate(labels.tolist()):
            near = similar[query].topk(k).indices
            votes = {1: 0.0, 3: 0.0}
            for i in near.tolist():
                if (voted := int(bank_labels[i])) in votes:
                    votes[voted] += math.exp(float(similar[query, i]) / 0.1)
            silent += not any(votes.values())
            right = votes[label] > votes[4 - label]
            assert bool(found[row, query]) == right
    assert silent  # such a query counts as wrong, though its class could come first
    everything = knn_right(queries, labels, bank, bank_labels, **settings)
    assert found[0].sum() > everything[0].sum()
