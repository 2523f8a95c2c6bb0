"""The estimate is what its parts and the bandwidth make of it."""

from __future__ import annotations

import pytest

from harness.bench import scaling, traffic
from harness.bench.scaling import scaled

from .made import recipe, result

RECIPE = recipe()
RESULT = result(RECIPE)


def test_one_gpu_is_what_was_measured() -> None:
    one = scaled(RECIPE, RESULT, 1)
    assert one.seconds == pytest.approx(RESULT.whole["end to end"].median)
    assert (one.batch, one.same, one.moved, one.sent) == (256, True, {}, {})


@pytest.mark.parametrize(("gpus", "batch", "same"), [(2, 256, True), (8, 256, True),
                         (16, 512, False), (64, 2048, False), (3, 96, False)])  # fmt: skip
def test_the_recipes_batch_is_shared_as_long_as_it_has_groups(
    gpus: int, batch: int, same: bool
) -> None:
    found = scaled(RECIPE, RESULT, gpus)
    assert (found.batch, found.same) == (batch, same)


def test_what_shrinks_with_the_images_and_what_does_not() -> None:
    eight = scaled(RECIPE, RESULT, 8)
    assert eight.encoders == pytest.approx(6e-3 + 14e-3 / 8)
    assert eight.fixed == pytest.approx(3e-3)
    assert eight.shared == pytest.approx((30e-3 - 20e-3 - 3e-3) / 8)
    assert eight.sent == traffic.sent(RECIPE, 8, 25_000_000)


def test_less_bandwidth_costs_more_between_nodes_only() -> None:
    fast, slow = (scaled(RECIPE, RESULT, 64, each).moved for each in (50.0, 5.0))
    assert slow["gradients"] > fast["gradients"]
    extra = scaled(RECIPE, RESULT, 64).sent["shuffle"] * (1 / 5e9 - 1 / 50e9)
    assert slow["shuffle"] - fast["shuffle"] == pytest.approx(extra)
    assert scaled(RECIPE, RESULT, 8, 5.0) == scaled(RECIPE, RESULT, 8)


def test_nothing_hides_the_gradients() -> None:
    for bandwidth in (1.0, 50.0):
        found = scaled(RECIPE, RESULT, 64, bandwidth)
        wire = found.sent["gradients"] / (1e9 * bandwidth)
        ring = 8 * 7 * scaling.HOP_NVLINK + 8 * scaling.HOP_NETWORK
        assert found.moved["gradients"] == pytest.approx(wire + 63 * scaling.HOP_NETWORK + ring)


def test_a_batch_that_is_normalised_as_one_is_cut_in_eighths() -> None:
    whole = recipe(group=256, contrast={"kind": "end_to_end", "temperature": 0.2, "shuffle": False})
    assert scaling.share(whole) == 32
    assert scaled(whole, result(whole), 8).batch == 256


def test_the_table_and_the_sentences() -> None:
    rows = scaling.table(RECIPE, RESULT)
    assert [row[0] for row in rows] == ["1", "8", "64", "512"]
    assert [row[1] for row in rows] == ["256", "256", "2,048*", "16,384*"]
    assert {len(row) for row in rows} == {len(scaling.HEADINGS)}
    assert rows[0][-2] == "1.00"
    said = scaling.scaling_text(RECIPE, RESULT, 0.5)
    assert "0.5 GB/s between nodes" in said[0]
    assert "beyond 8 GPUs the batch must grow" in said[1]
    assert "most is lost to small batches in the encoders" in said[2]
    assert "most is lost to gradients" in said[3]
