"""The first losses of a seed, step by step: what passes, what is off, and what is not compared."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from report.build import EDITION, OLDER, Bench

from harness.check.baseline import Baseline, load_baseline, make_baseline, text, write_baseline
from harness.check.cells import CurrentState, read_cells
from harness.check.compare import Pair, against_baselines, comparisons
from harness.check.trace import BY_STEP, FACTOR, LEAST, WIDEST, losses, make_trace, rounding
from harness.check.verdict import Verdict
from harness.errors import RecipeError, StoreError
from harness.report.runs import Run
from harness.store.edition import Editions

NOW = CurrentState(Editions.same(EDITION))
SEED = 40
DRIFT = (0.0, 2e-5, 1e-3, 2e-3, 0.02, 0.01)
"""What other arithmetic changes, by step from the first."""


def bench(place: Path, *seeds: int, **more: Any) -> Bench:
    return Bench(place, seeds, {"cells": ["m0.99"], "control": False}, **more)


def made(place: Path, *seeds: int, **more: Any) -> Bench:
    found = bench(place, *seeds)
    for seed in seeds:
        found.finish("m0.99", seed, 40.5 + seed / 100, 50.3 - seed / 100, **more)
    return found


def changed(found: Bench, by: dict[int, float], seed: int = SEED) -> Bench:
    """With other losses in the journal; of one that is not finite, the end of it."""
    path = found.folder("m0.99", seed).path / "attempts" / "0001" / "metrics.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        if "train/loss" in record:
            record["train/loss"] += by.get(record["step"], 0.0)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return found


def runs(found: Bench) -> list[Run]:
    (cell,) = read_cells("tiny", found.expansion.members, found.runs)
    return [*cell.runs]


@pytest.fixture
def baseline(tmp_path: Path) -> Baseline:
    """Four seeds of the older edition, and the trace of a fifth."""
    old = CurrentState(Editions.same(OLDER))
    seeds = made(tmp_path / "old", 0, 1, 2, 3, edition=OLDER)
    whole = make_baseline(read_cells("tiny", seeds.expansion.members, seeds.runs), old)
    own = made(tmp_path / "own", SEED, edition=OLDER)
    other = made(tmp_path / "other", SEED, edition=OLDER)
    changed(other, {step: -by for step, by in enumerate(DRIFT, 1)})
    found = rounding(runs(own), "1 thread", [("2 threads", runs(other))], len(DRIFT))
    trace = make_trace(runs(own)[0], found)
    (record,) = whole.cells
    record = record.model_copy(update={"trace": trace})
    write_baseline(whole.model_copy(update={"cells": (record,)}), tmp_path / "base.json")
    return load_baseline(tmp_path / "base.json")


def judged(found: Bench, baseline: Baseline) -> Verdict:
    verdicts = against_baselines(
        [
            Pair(cell, baseline, "base.json")
            for cell in read_cells("tiny", found.expansion.members, found.runs)
        ],
        NOW,
    )
    (verdict,) = (each for each in verdicts if each.against == "trace")
    assert verdict.metric == BY_STEP
    assert comparisons(verdicts) < len(verdicts), "a trace takes no share of the level"
    return verdict


def test_tolerances_follow_the_largest_rounding_so_far(baseline: Baseline, tmp_path: Path) -> None:
    trace = baseline.cells[0].trace
    assert trace is not None
    so_far = [*itertools.accumulate(DRIFT, max)]
    wide = [max(LEAST, FACTOR * each) for each in so_far]
    n = sum(each <= WIDEST for each in wide)
    assert n == 4
    assert trace.tolerance == pytest.approx(wide[:n], rel=0.01)
    assert trace.rounding.largest == pytest.approx(so_far[:n], rel=0.01, abs=1e-12)
    own = losses(runs(bench(tmp_path / "own", SEED))[0])
    assert [*trace.losses] == [own[step] for step in range(1, n + 1)]
    assert (trace.seed, trace.rounding.others) == (SEED, ("2 threads",))
    assert (tmp_path / "base.json").read_text() == text(baseline)


def test_no_trace_is_made_of_runs_that_differ_at_once_or_stop_short(tmp_path: Path) -> None:
    own = runs(made(tmp_path / "own", SEED))
    other = runs(changed(made(tmp_path / "other", SEED), {1: 0.1}))
    with pytest.raises(StoreError, match="rounding changes the first loss"):
        make_trace(own[0], rounding(own, "a", [("b", other)], 2))
    broken = runs(changed(made(tmp_path / "nan", SEED), {2: math.nan}))
    with pytest.raises(StoreError, match="2 steps has a finite loss"):
        rounding(own, "a", [("b", broken)], 2)


def test_the_same_losses_pass_also_with_rounding(tmp_path: Path, baseline: Baseline) -> None:
    new = changed(made(tmp_path / "new", SEED), {2: 5e-5, 4: -1e-4})
    found = judged(new, baseline)
    assert found.passed
    assert "4 steps as in the trace; nearest to its tolerance is step 2, by +5e-05" in found.says
    trace = baseline.cells[0].trace
    assert trace is not None
    assert found.value == pytest.approx(trace.losses[1] + 5e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("by", "expected", "step", "off"),
    [
        ({1: 2e-5}, "above", 1, 1),
        ({3: -0.01, 4: 1.0}, "below", 3, 2),
    ],
)
def test_the_first_step_that_is_off_is_named(
    tmp_path: Path, baseline: Baseline, by: dict[int, float], expected: str, step: int, off: int
) -> None:
    found = judged(changed(made(tmp_path / "new", SEED), by), baseline)
    assert found.judged == expected
    assert found.says.startswith(f"step {step} is the first that is off")
    trace = baseline.cells[0].trace
    assert trace is not None
    wanted, wide = trace.losses[step - 1], trace.tolerance[step - 1]
    assert (found.low, found.high) == pytest.approx((wanted - wide, wanted + wide))
    assert found.value == pytest.approx(wanted + by[step])
    assert f"{abs(by[step]) / wide:.3g} times its tolerance; {off} of 4" in found.says


def test_a_run_that_diverges_later_is_compared_and_one_that_ends_at_once_is_off(
    tmp_path: Path, baseline: Baseline
) -> None:
    new = bench(tmp_path / "new", SEED)
    trace = baseline.cells[0].trace
    assert trace is not None
    records = [
        {"step": step, "epoch": step / 31, "train/loss": loss}
        for step, loss in enumerate(trace.losses, 1)
    ]
    new.stage("m0.99", SEED, "pretrain", {}, state="diverged", records=records)
    assert judged(new, baseline).passed
    new.stage("m0.99", SEED, "pretrain", {}, state="diverged", records=records[:2])
    found = judged(new, baseline)
    assert found.judged == "below"
    assert "step 3 is the first that is off: it is not in the journal" in found.says
    records[2]["train/loss"] = math.nan
    new.stage("m0.99", SEED, "pretrain", {}, state="diverged", records=records[:3])
    found = judged(new, baseline)
    assert (found.judged, found.value) == ("below", None)
    assert "step 3 is the first that is off: its loss is nan" in found.says


def test_another_seed_or_device_is_not_compared_and_accepted(
    tmp_path: Path, baseline: Baseline
) -> None:
    found = judged(made(tmp_path / "seed", SEED + 1), baseline)
    assert (found.judged, found.value) == ("skipped", None)
    assert f"not compared: the trace is of seed {SEED}" in found.says
    new = made(tmp_path / "device", SEED)
    folder = new.folder("m0.99", SEED).path
    device = {"device": "NVIDIA H200"}
    for path, said in (
        (folder / "result.json", device),
        (folder / "attempts" / "0001" / "attempt.json", {"machine": device}),
    ):
        path.write_text(json.dumps(json.loads(path.read_text()) | said))
    found = judged(new, baseline)
    assert found.judged == "skipped", found.says
    assert "on unknown, this run on NVIDIA H200" in found.says


def test_another_protocol_or_other_data_are_incomparable(
    tmp_path: Path, baseline: Baseline
) -> None:
    new = bench(tmp_path / "rate", SEED, recipe_changes={"optim__lr": 0.123})
    new.finish("m0.99", SEED, 40.5, 50.3)
    assert judged(new, baseline).judged == "incomparable"
    other = judged(made(tmp_path / "data", SEED, fingerprint="0bad"), baseline)
    assert (other.judged, "0bad" in other.says) == ("incomparable", True)


def test_what_is_not_there_or_of_older_code_is_told(tmp_path: Path, baseline: Baseline) -> None:
    new = bench(tmp_path / "new", SEED)
    assert judged(new, baseline).judged == "missing"
    new = made(tmp_path / "older", SEED, edition=OLDER)
    assert judged(new, baseline).judged == "stale"
    new = made(tmp_path / "unread", SEED)
    path = new.folder("m0.99", SEED).path / "attempts" / "0001" / "metrics.jsonl"
    path.unlink()
    path.mkdir()
    assert judged(new, baseline).judged == "missing"


def test_other_threads_and_torch_are_told_beside_it(tmp_path: Path, baseline: Baseline) -> None:
    new = made(tmp_path / "new", SEED)
    assert "this run:" not in judged(new, baseline).says
    path = new.folder("m0.99", SEED).path / "attempts" / "0001" / "attempt.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"packages": {"torch": "3.0"}}))
    assert "this run: unknown CPU, 4 threads, torch 3.0" in judged(new, baseline).says


@pytest.mark.usefixtures("baseline")
def test_a_baseline_without_a_trace_is_read_and_compares_none(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    content = json.loads(path.read_text())
    del content["cells"][0]["trace"]
    path.write_text(json.dumps(content))
    found = load_baseline(path)
    assert found.cells[0].trace is None
    assert '"trace"' not in text(found)
    pairs = [
        Pair(cell, found, "base.json")
        for cell in read_cells(
            "tiny", made(tmp_path / "new", SEED).expansion.members, tmp_path / "new"
        )
    ]
    assert {each.against for each in against_baselines(pairs, NOW)} == {"baseline"}


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("losses", [1.0], "4 values for 1 losses"),
        ("tolerance", [1e-6, 1e-6, 1e-6, 1e-6], "at step 2 it is below the rounding"),
        ("tolerance", [0.0, 1.0, 1.0, 1.0], "must be above 0"),
    ],
)
def test_a_trace_that_contradicts_itself_is_refused(
    tmp_path: Path, baseline: Baseline, field: str, value: list[float], says: str
) -> None:
    assert baseline.cells[0].trace is not None
    path = tmp_path / "base.json"
    content = json.loads(path.read_text())
    content["cells"][0]["trace"][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(RecipeError, match=r"base\.json:\d+: ") as caught:
        load_baseline(path)
    assert says in str(caught.value)
