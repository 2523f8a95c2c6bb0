from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import schedule as oracle

from harness.recipe.optim import Constant, Cosine, Steps
from harness.runtime.schedule import rate, stepped

RATES = st.floats(1e-6, 100)
EPOCHS = st.integers(1, 1000)


@given(RATES, st.data(), EPOCHS, st.sampled_from([0, 1]))
def test_cosine(lr: float, data: st.DataObject, epochs: int, first: Literal[0, 1]) -> None:
    epoch = data.draw(st.integers(0, epochs - 1))
    schedule = Cosine(kind="cosine", first=first)
    assert rate(schedule, lr, epoch, epochs) == oracle.cosine(lr, epoch, epochs, first)


@given(RATES, st.integers(0, 300), st.lists(st.integers(1, 300), max_size=4), st.floats(0.01, 0.9))
def test_steps(lr: float, epoch: int, drops: list[int], factor: float) -> None:
    schedule = Steps(kind="step", drops=tuple(drops), factor=factor)
    expected = oracle.steps(lr, epoch, drops, factor)
    assert rate(schedule, lr, epoch, 301) == pytest.approx(expected, rel=1e-12)
    assert lr * stepped(drops, factor, epoch) == pytest.approx(expected, rel=1e-12)


@given(RATES, st.integers(0, 300))
def test_constant(lr: float, epoch: int) -> None:
    assert rate(Constant(kind="constant"), lr, epoch, 301) == lr == oracle.constant(lr, epoch)


def test_the_papers_rates() -> None:
    """v1: 0.03, divided by 10 at epochs 120 and 160 of 200; v2: half a cosine."""
    v1 = Steps(kind="step", drops=(120, 160))
    rates = [rate(v1, 0.03, epoch, 200) for epoch in (0, 119, 120, 159, 160, 199)]
    assert rates == pytest.approx([0.03, 0.03, 0.003, 0.003, 0.0003, 0.0003])
    v2 = Cosine(kind="cosine")
    assert [rate(v2, 0.03, epoch, 200) for epoch in (0, 100)] == pytest.approx([0.03, 0.015])
    demo = Cosine(kind="cosine", first=1)
    assert rate(demo, 0.06, 199, 200) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("first", [0, 1])
def test_a_cosine_that_begins_later_is_one_of_its_own_epochs(first: Literal[0, 1]) -> None:
    """Before it the rate is what it is at the start."""
    whole = Cosine(kind="cosine", first=first)
    later = Cosine(kind="cosine", first=first, start=200)
    assert [rate(later, 0.03, epoch, 300) for epoch in (0, 199)] == [0.03, 0.03]
    for epoch in range(100):
        assert rate(later, 0.03, 200 + epoch, 300) == rate(whole, 0.03, epoch, 100)
