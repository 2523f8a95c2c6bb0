"""The gate's page: what it can see, what passes, what is caught."""

from __future__ import annotations

from typing import Any

import pytest

from gate.report import Asked, render
from harness.check.baseline import Baseline, CellRecord, Monitored, Sample
from harness.check.trace import Rounding, Trace
from harness.report.statistics import summarise

KNN = (50.0, 51.0, 52.0, 53.0)
LOSS = (2.0, 2.1, 2.2, 2.3)


def sample(metric: Any, values: tuple[float, ...]) -> Sample:
    found = summarise(values)
    assert found.sd is not None
    return Sample(metric=metric, stage="abc", values=values, mean=found.mean, sd=found.sd)


@pytest.fixture
def baseline() -> Baseline:
    trace = Trace(
        seed=4000,
        run="e",
        device="cpu",
        made_with="a CPU, 1 thread",
        losses=(0.1, 3.3),
        tolerance=(1e-5, 3e-4),
        rounding=Rounding(seeds=(4, 5), reference="A=1", others=("A=2",), largest=(0.0, 1e-4)),
    )
    cell = CellRecord(
        recipe="gate",
        cell="gate",
        seeds=(0, 1, 2, 3),
        runs=("a", "b", "c", "d"),
        data="f1a9",
        metrics=(sample("knn/top1", KNN), sample("train/loss", LOSS)),
        curve=Monitored(epochs=(1.0, 2.0), values=tuple((x - 10, x) for x in KNN)),
        trace=trace,
    )
    return Baseline(
        baseline=1, edition="eee", commit="", devices=("cpu",), written="now", cells=(cell,)
    )


def verdict(metric: str, judged: str, value: float | None) -> dict[str, Any]:
    return {
        "metric": metric, "against": "baseline", "judged": judged, "value": value,
        "low": 40.0, "high": 50.0, "says": "diverged", "seconds": 21.0,
    }  # fmt: skip


def traced(judged: str, says: str) -> dict[str, Any]:
    return verdict("train/loss by step", judged, 3.4) | {"against": "trace", "says": says}


def test_the_page(baseline: Baseline) -> None:
    fresh = [
        Asked("2000", [verdict("knn/top1", "passed", 45.0), traced("skipped", "another seed")]),
        Asked("2001", [verdict("knn/top1", "passed", 45.0), verdict("train/loss", "below", 39.0)]),
    ]
    planted = [
        Asked("eval", [verdict("knn/top1", "below", 31.5)]),
        Asked("hue", [verdict("knn/top1", "passed", 45.0)]),
        Asked("swapped", [verdict("knn/top1", "below", None), traced("below", "step 2; and so")]),
        Asked("early", [verdict("knn/top1", "passed", 45.0), traced("above", "step 1; and so")]),
    ]
    page = render(baseline, fresh, planted)
    assert "baseline of 4\nseeds (edition eee, on cpu)" in page
    assert "Each of 3 figures" in page
    assert "level of 0.667 %, so at least 98 % of unchanged runs pass" in page
    assert "21 s" in page
    # t(1 - 0.02 / 6, 3) = 6.7411 and t(0.8, 3) = 0.9785, times 1.2910 sqrt(1 + 1/4)
    assert "| knn/top1 | 51.50 ± 1.29 | ± 9.73 | 11.14 points |" in page
    assert "| knn/top1 during training | 41.50 ± 1.29 | ± 9.73 | 11.14 points |" in page
    assert "| train/loss | 2.1500 ± 0.1291 | ± 0.9730 | 1.1142 nats |" in page
    assert "1 of 2 fresh seeds of the unchanged code pass" in page
    assert "- seed 2001: train/loss -6.0000" in page
    assert "| 2 | 3.300000 | 1.0e-04 | 3.0e-04 |" in page
    assert "in 2 pairs of runs" in page
    assert "| eval | yes | the same | knn/top1 -13.50 |" in page
    assert "| hue | no | the same | all within tolerance |" in page
    assert "| swapped | yes | step 2 | knn/top1: diverged |" in page
    assert "| early | yes | step 1 | all within tolerance |" in page
    assert page.endswith("3 of 4 detected; by the trace alone: early.\n")
