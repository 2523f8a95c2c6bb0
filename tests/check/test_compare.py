"""Runs against a baseline: what passes, what does not, and what is not compared at all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report.build import EDITION, OLDER, Bench

from harness.check.baseline import Baseline, make_baseline
from harness.check.cells import CellRuns, CurrentState, read_cells
from harness.check.compare import ON_THE_WAY, Pair, against_baselines, comparisons
from harness.check.verdict import Verdict
from harness.report.statistics import prediction, summarise
from harness.store.edition import Editions

NOW = CurrentState(Editions.same(EDITION))

OLD = [40.0, 40.4, 40.8, 41.2, 40.2, 40.6, 41.0, 40.9]
LINEAR = [50.0, 50.5, 51.0, 50.2, 50.8, 50.6, 50.4, 50.1]
END, WAY, PROBE, LOSS = "knn/top1", ON_THE_WAY, "linear/top1", "train/loss"


def cells(made: Bench) -> list[CellRuns]:
    return read_cells("tiny", made.expansion.members, made.runs)


def bench(place: Path, seeds: Sequence[int], **more: Any) -> Bench:
    return Bench(place, tuple(seeds), {"cells": ["m0.99"], "control": False}, **more)


@pytest.fixture
def old(tmp_path: Path) -> Baseline:
    """Eight seeds of the older edition."""
    made = bench(tmp_path / "old", range(8))
    for seed, (knn, linear) in enumerate(zip(OLD, LINEAR, strict=True)):
        made.finish("m0.99", seed, knn, linear, edition=OLDER)
    return make_baseline(cells(made), CurrentState(Editions.same(OLDER)))


def judged(made: Bench, baseline: Baseline, now: CurrentState | None = None) -> dict[str, Verdict]:
    pairs = [Pair(cell, baseline, "base.json") for cell in cells(made)]
    return {each.metric: each for each in against_baselines(pairs, now or NOW)}


def test_what_has_not_changed_passes_in_every_figure(tmp_path: Path, old: Baseline) -> None:
    made = bench(tmp_path / "new", [100])
    made.finish("m0.99", 100, 40.5, 50.3)
    found = judged(made, old)
    assert list(found) == [END, WAY, PROBE, LOSS]
    assert all(each.passed for each in found.values()), found
    assert comparisons([*found.values()]) == 4


def test_the_band_is_the_prediction_interval_at_a_quarter_of_the_level(
    tmp_path: Path, old: Baseline
) -> None:
    made = bench(tmp_path / "new", [100])
    made.finish("m0.99", 100, 40.5, 50.3)
    found = judged(made, old)[END]
    sd = summarise(OLD).sd
    assert sd is not None
    half = prediction(sd, 8, 1, 0.02 / 4)
    mean = summarise(OLD).mean
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half), abs=1e-6)
    assert f"40.50 (1 seed); {mean:.2f} ± {half:.2f} required (8 seeds of edition" in found.says


def test_what_only_the_baseline_has_is_named(tmp_path: Path, old: Baseline) -> None:
    made = Bench(
        tmp_path / "new", (100,), {"cells": ["m0.99"], "control": False}, {}, {"linear": None}
    )
    made.finish("m0.99", 100, 40.5, None)
    found = judged(made, old)
    assert found[END].passed
    assert (found[PROBE].judged, found[PROBE].passed) == ("incomparable", False)


def test_a_cell_may_have_an_edition_of_its_own(tmp_path: Path) -> None:
    made = bench(tmp_path / "old", range(8))
    for seed, (knn, linear) in enumerate(zip(OLD, LINEAR, strict=True)):
        made.finish("m0.99", seed, knn, linear)
    baseline = make_baseline(cells(made), NOW)
    (cell,) = baseline.cells
    assert cell.edition is None
    own = cell.model_copy(update={"edition": EDITION})
    baseline = baseline.model_copy(update={"edition": OLDER, "cells": (own,)})
    says = judged(made, baseline)[END].says
    assert f"8 seeds of edition {EDITION}" in says
    assert "the same seeds as in the baseline" in says


def test_several_new_seeds_have_the_band_of_their_mean(tmp_path: Path, old: Baseline) -> None:
    widths = []
    for place, seeds in (("one", [100]), ("three", [100, 101, 102])):
        made = bench(tmp_path / place, seeds)
        for seed in seeds:
            made.finish("m0.99", seed, 40.5, 50.3)
        found = judged(made, old)[END]
        assert found.high is not None
        assert found.low is not None
        widths.append(found.high - found.low)
    assert widths[1] / widths[0] == pytest.approx(((1 / 3 + 1 / 8) / (1 + 1 / 8)) ** 0.5)


@pytest.mark.parametrize(("knn", "expected"), [(37.5, "below"), (43.5, "above")])
def test_an_end_outside_of_its_band_either_way(
    tmp_path: Path, old: Baseline, knn: float, expected: str
) -> None:
    made = bench(tmp_path / "new", [100])
    made.finish("m0.99", 100, knn, 50.3)
    found = judged(made, old)
    assert (found[END].judged, found[PROBE].judged) == (expected, "passed")


def test_a_run_that_arrives_late_is_seen_though_it_ends_where_it_should(
    tmp_path: Path, old: Baseline
) -> None:
    made = bench(tmp_path / "new", [100])
    epochs = made.recipe("m0.99", 100).optim.epochs
    protocol = made.protocol("m0.99", 100)
    late = [
        {"step": 31 * e, "epoch": float(e), "knn/top1": 12 + 28.5 * (e / epochs) ** 2}
        | {"protocol": protocol, "train/loss": 2.1}
        for e in range(1, epochs + 1)
    ]
    made.finish("m0.99", 100, 40.5, 50.3)
    made.pretrain("m0.99", 100, final=40.5, records=late)
    found = judged(made, old)
    assert {name: each.judged for name, each in found.items()} == {
        END: "passed", WAY: "below", PROBE: "passed", LOSS: "passed",
    }  # fmt: skip


def test_another_protocol_is_not_compared(tmp_path: Path, old: Baseline) -> None:
    """The probe's alone leaves kNN comparable; the pre-training's leaves nothing."""
    probe = {"linear__batch": 77}
    made = bench(tmp_path / "probe", [100], recipe_changes=probe)
    made.finish("m0.99", 100, 40.5, 50.3)
    found = judged(made, old)
    assert found[PROBE].judged == "incomparable"
    assert "base.json has another protocol" in found[PROBE].says
    assert found[END].passed
    assert comparisons([*found.values()]) == 3
    made = bench(tmp_path / "rate", [100], recipe_changes={"optim__lr": 0.123})
    made.finish("m0.99", 100, 40.5, 50.3)
    found = judged(made, old)
    assert {each.judged for each in found.values()} == {"incomparable"}
    assert comparisons([*found.values()]) == 0


def test_other_data_are_not_compared(tmp_path: Path, old: Baseline) -> None:
    made = bench(tmp_path / "new", [100])
    made.finish("m0.99", 100, 40.5, 50.3, fingerprint="0bad")
    found = judged(made, old)[END]
    assert found.judged == "incomparable"
    assert "other data: 0bad, not the baseline's f1a9" in found.says


def test_what_is_of_other_data_takes_no_share_of_the_level(tmp_path: Path, old: Baseline) -> None:
    made, other = (bench(tmp_path / name, [100]) for name in ("new", "other"))
    made.finish("m0.99", 100, 40.5, 50.3)
    other.finish("m0.99", 100, 40.5, 50.3, fingerprint="0bad")
    alone = against_baselines([Pair(cell, old, "base.json") for cell in cells(made)], NOW)
    pairs = [Pair(cell, old, "base.json") for each in (made, other) for cell in cells(each)]
    both = against_baselines(pairs, NOW)
    assert comparisons(both) == comparisons(alone) == 4
    assert [(v.low, v.high) for v in both if v.judged == "passed"] == [
        (v.low, v.high) for v in alone
    ]


def test_other_data_of_a_task_are_not_compared(tmp_path: Path) -> None:
    """Pre-training saw the same images; the task's own test images are others."""
    cifar = {"name": "cifar10", "size": 32, "images": 2000}
    changes = {"tasks": {"other": {"kind": "knn", "data": cifar}}}

    def ran(runs: str, fingerprint: str) -> Bench:
        made = bench(tmp_path / runs, (0, 1, 2), recipe_changes=changes)
        for seed in made.seeds:
            made.finish("m0.99", seed, 40.0 + seed, 50.0 + seed)
            values = {"knn/top1": 30.0 + seed}
            made.stage("m0.99", seed, "other", values, fingerprint=fingerprint)
        return made

    before = ran("before", "0a0a")
    baseline = make_baseline(cells(before), NOW)
    for made, outcome in ((before, "passed"), (ran("after", "0b0b"), "incomparable")):
        pairs = [Pair(cell, baseline, "base.json") for cell in cells(made)]
        told = {each.metric: each.judged for each in against_baselines(pairs, NOW)}
        assert told["other: knn/top1"] == outcome
        assert told[END] == "passed"
    diverged = bench(tmp_path / "diverged", (3,), recipe_changes=changes)
    diverged.diverge("m0.99", 3)
    pairs = [Pair(cell, baseline, "base.json") for cell in cells(diverged)]
    told = {each.metric: each.judged for each in against_baselines(pairs, NOW)}
    assert told["other: knn/top1"] == told[END] == "below"


def test_a_cell_that_the_baseline_lacks(tmp_path: Path, old: Baseline) -> None:
    made = Bench(tmp_path / "new", (100,), {"cells": ["m0.9"], "control": False})
    made.finish("m0.9", 100, 40.5, 50.3)
    (found,) = judged(made, old).values()
    assert found.judged == "incomparable"
    assert "check --write-baseline" in found.says


def test_results_of_older_code_are_stale_and_those_to_come_are_waited_for(
    tmp_path: Path, old: Baseline
) -> None:
    made = bench(tmp_path / "new", [100])
    assert {each.judged for each in judged(made, old).values()} == {"missing"}
    now = CurrentState(NOW.editions, [made.folder("m0.99", 100).id])
    assert {each.judged for each in judged(made, old, now).values()} == {"waiting"}
    made.finish("m0.99", 100, 40.5, 50.3, edition=OLDER)
    assert {each.judged for each in judged(made, old).values()} == {"stale"}
    stages = [made.folder("m0.99", 100, kind).id for kind in ("pretrain", "knn", "linear")]
    again = CurrentState(NOW.editions, stages)
    assert {each.judged for each in judged(made, old, again).values()} == {"waiting"}


def test_a_diverged_run_is_below(tmp_path: Path, old: Baseline) -> None:
    made = bench(tmp_path / "new", [100])
    made.diverge("m0.99", 100)
    found = judged(made, old)
    assert {each.judged for each in found.values()} == {"below"}
    assert "the loss is nan at step 94" in found[END].says


def test_without_a_common_epoch_the_curve_is_missing(tmp_path: Path, old: Baseline) -> None:
    made = bench(tmp_path / "new", [100])
    made.finish("m0.99", 100, 40.5, 50.3)
    made.pretrain("m0.99", 100, final=40.5, records=[{"step": 1, "epoch": 0.5, "train/loss": 2.0}])
    found = judged(made, old)
    assert found[WAY].judged == "missing"
    assert "set watch.knn_epochs" in found[WAY].says
    assert found[END].passed


def test_the_baselines_own_runs_are_told(tmp_path: Path) -> None:
    made = bench(tmp_path / "same", range(8))
    for seed, (knn, linear) in enumerate(zip(OLD, LINEAR, strict=True)):
        made.finish("m0.99", seed, knn, linear)
    found = judged(made, make_baseline(cells(made), NOW))
    assert found[END].passed
    assert "seed 0, 1, 2, 3, 4, 5, 6, 7: " in found[END].says


def test_of_calls_in_which_nothing_has_changed_one_in_fifty_finds_something(
    tmp_path: Path, old: Baseline
) -> None:
    """All four figures of a call together, drawn independently: 98 % or a little more pass."""
    made = bench(tmp_path / "new", [100])
    made.finish("m0.99", 100, 40.5, 50.3)
    (record,) = old.cells
    (cell,) = cells(made)
    draw, calls, found = random.Random(0), 400, 0
    for _ in range(calls):
        metrics = []
        for each in record.metrics:
            at = cell.runs[0].outcome(each.metric).value
            assert at is not None
            values = tuple(draw.gauss(at, 1.0) for _ in range(8))
            shift = draw.gauss(0, 1.0)  # of the new run, which itself stays
            values = tuple(value + shift for value in values)
            said = summarise(values)
            changed = {"values": values, "mean": said.mean, "sd": said.sd}
            metrics.append(each.model_copy(update=changed))
        drawn = record.model_copy(update={"metrics": tuple(metrics), "curve": None})
        baseline = old.model_copy(update={"cells": (drawn,)})
        pairs = [Pair(replace(cell), baseline, "base.json")]
        found += any(not each.passed for each in against_baselines(pairs, NOW))
    assert 0.005 < found / calls < 0.04
