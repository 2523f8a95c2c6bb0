"""kNN against the brute-force oracle."""

import pytest
import torch
from oracle.knn import knn

from harness.evaluate import knn as ours
from harness.evaluate.knn import knn_accuracy


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
    settings = {"k": (10,), "temperature": 0.1, "classes": 5}
    whole = knn_accuracy(queries, labels, bank, bank_labels, **settings)
    monkeypatch.setattr(ours, "ELEMENTS", 500)  # five queries at a time
    assert knn_accuracy(queries, labels, bank, bank_labels, **settings) == whole


def test_a_low_temperature_does_not_overflow() -> None:
    bank, bank_labels = clusters(50, 1)
    found = knn_accuracy(bank, bank_labels, bank, bank_labels, k=(10,), temperature=1e-3, classes=5)
    assert found[10] == 100  # each is its own nearest neighbour, which outvotes all others


def test_more_neighbours_than_entries_are_refused() -> None:
    bank, labels = clusters(5, 1)
    with pytest.raises(ValueError, match="k = 6, but the bank has 5 entries"):
        knn_accuracy(bank, labels, bank, labels, k=(6,), temperature=0.1, classes=5)
