from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report.build import EDITION, OLDER, Bench, target

from harness.check.cells import CurrentState, read_cells
from harness.check.targets import against_targets
from harness.check.verdict import Verdict
from harness.recipe.expand import Member
from harness.recipe.schema import About
from harness.store.attempt import begin
from harness.store.edition import Editions

NOW = CurrentState(Editions.same(EDITION))


def bench(tmp_path: Path, seeds: tuple[int, ...] = (0,), **target: Any) -> Bench:
    """A scale with one target: 40 less 1 for the kNN of m0.99."""
    wanted = {"metric": "knn/top1", "value": 40.0, "tolerance": 1.0, "source": "3 seeds", **target}
    return Bench(tmp_path / "runs", seeds, {"targets": {"m0.99": [wanted]}})


def judged(made: Bench, now: CurrentState = NOW) -> list[Verdict]:
    return against_targets(read_cells("tiny", made.expansion.members, made.runs), now)


def only(made: Bench, now: CurrentState = NOW) -> Verdict:
    (found,) = judged(made, now)
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [(41.0, "passed"), (41.01, "above"), (39.0, "passed"), (38.99, "short")],
)
def test_a_target_is_its_value_give_or_take_its_tolerance(
    tmp_path: Path, value: float, expected: str
) -> None:
    made = bench(tmp_path)
    made.finish("m0.99", 0, value)
    found = only(made)
    assert found.judged == expected
    assert found.passed == (expected == "passed")
    assert (found.low, found.high, found.seconds) == (39.0, 41.0, 120.0)
    assert f"{value:.2f} (1 seed)" in found.says
    assert "40 ± 1, 39 to 41, required (3 seeds)" in found.says
    assert ("look for a leak" in found.says) == (expected == "above")


@pytest.mark.parametrize(("value", "expected"), [(38.99, "short"), (90.0, "passed")])
def test_a_minimum_has_no_upper_end(tmp_path: Path, value: float, expected: str) -> None:
    made = bench(tmp_path, minimum=True)
    made.finish("m0.99", 0, value)
    found = only(made)
    assert (found.judged, found.low, found.high) == (expected, 39.0, None)


def test_a_tie_is_not_lost_to_rounding(tmp_path: Path) -> None:
    made = bench(tmp_path, value=41.6, tolerance=2.3)
    made.finish("m0.99", 0, 39.3)
    assert only(made).passed
    made.finish("m0.99", 0, 43.9)
    assert only(made).passed


def test_the_mean_over_all_seeds_counts(tmp_path: Path) -> None:
    made = bench(tmp_path, (0, 1, 2))
    for seed, value in enumerate((38.0, 39.0, 41.0)):
        made.finish("m0.99", seed, value)
    found = only(made)
    assert found.judged == "passed"
    assert found.value == pytest.approx(118 / 3)
    assert "3 seeds" in found.says


def test_a_missing_seed_is_missing(tmp_path: Path) -> None:
    made = bench(tmp_path, (0, 1))
    made.finish("m0.99", 0, 60.0)
    found = only(made)
    assert (found.judged, found.value) == ("missing", None)
    assert "seed 1 not run" in found.says


def test_a_seed_that_failed_says_why_and_where(tmp_path: Path) -> None:
    made = bench(tmp_path)
    folder = made.folder("m0.99", 0)
    folder.create({"id": folder.id})
    begin(folder).end("failed", "cifar10 is not there (no network); put it there")
    found = only(made)
    assert found.judged == "missing"
    why = f"seed 0 failed: cifar10 is not there, see moco-harness logs {folder.id} --runs "
    assert found.says.startswith(why)


def test_a_probe_that_broke_off_is_named_and_not_its_parent(tmp_path: Path) -> None:
    made = bench(tmp_path, metric="linear/top1")
    made.finish("m0.99", 0, 41.0)
    folder = made.folder("m0.99", 0, "linear")
    folder.create({"id": folder.id})
    begin(folder).end("interrupted", "stopped on request; it goes on")
    why = f"interrupted: stopped on request, see moco-harness logs {folder.id} --runs "
    assert why in only(made).says


def test_an_older_edition_is_stale_and_named(tmp_path: Path) -> None:
    made = bench(tmp_path, (0, 1))
    made.finish("m0.99", 0, 60.0)
    made.finish("m0.99", 1, 61.0, edition=OLDER)
    found = only(made)
    assert found.judged == "stale"
    assert f"seed 1: 61.00 of edition {OLDER}" in found.says


def test_an_evaluation_of_other_weights_is_stale(tmp_path: Path) -> None:
    made = bench(tmp_path)
    made.finish("m0.99", 0, 40.5, weights="abc")
    assert only(made).judged == "passed"
    made.pretrain("m0.99", 0, weights="def")
    found = only(made)
    assert found.judged == "stale"
    assert "seed 0: 40.50 of weights that differ" in found.says


def test_a_diverged_seed_is_short(tmp_path: Path) -> None:
    made = bench(tmp_path)
    made.diverge("m0.99", 0)
    found = only(made)
    assert found.judged == "short"
    assert "the loss is nan at step 94" in found.says


def test_different_data_are_not_averaged(tmp_path: Path) -> None:
    made = bench(tmp_path, (0, 1))
    made.finish("m0.99", 0, 60.0)
    made.finish("m0.99", 1, 60.0, fingerprint="0bad")
    assert only(made).judged == "stale"


def test_a_single_recipe_has_its_own_targets(tmp_path: Path) -> None:
    made = bench(tmp_path)
    made.finish("m0.9", 0, 45.0, 55.0)
    about = About(targets=(target(44.0), target(60.0, metric="linear/top1")))
    recipe = made.recipe("m0.9", 0).model_copy(update={"about": about})
    found = against_targets(read_cells("base", [Member("", 0, recipe)], made.runs), NOW)
    assert [verdict.judged for verdict in found] == ["passed", "short"]
    assert {(verdict.cell, verdict.of) for verdict in found} == {("base", "base")}


def test_without_targets_there_is_nothing_to_check(tmp_path: Path) -> None:
    assert judged(Bench(tmp_path / "runs")) == []


def test_a_target_of_an_epoch_is_the_monitors(tmp_path: Path) -> None:
    made = bench(tmp_path, epoch=5, value=30.0)
    made.finish("m0.99", 0, 41.0)
    found = only(made)
    assert found.metric == "knn/top1 after epoch 5"
    assert found.value == pytest.approx(12 + 29 * 0.5**0.5)
    late = bench(tmp_path, epoch=7777)
    assert "seed 0 was not monitored after epoch 7777" in only(late).says
    assert not only(late).needs_a_run, "a finished run is not trained again"
    assert only(late).judged == "missing"


def test_what_somebody_runs_is_waited_for_unless_more_is_missing(tmp_path: Path) -> None:
    made = bench(tmp_path, (0, 1))
    own = [made.folder("m0.99", 0, "knn").id]
    made.pretrain("m0.99", 0)
    found = only(made, CurrentState(Editions.same(EDITION), own))
    assert found.judged == "missing"
    assert "seed 0 waits for its turn, seed 1 not run" in found.says
    both = [*own, made.folder("m0.99", 1).id]
    assert only(made, CurrentState(Editions.same(EDITION), both)).judged == "waiting"


@pytest.mark.parametrize(("untrained", "expected"), [(39.0, "passed"), (40.0, "short")])
def test_a_target_is_not_met_at_the_untrained_networks_accuracy(
    tmp_path: Path, untrained: float, expected: str
) -> None:
    made = bench(tmp_path)
    made.finish("m0.99", 0, 40.0)
    made.finish("untrained", 0, untrained)
    found = only(made)
    assert found.judged == expected
    assert ("40.0 against 40.0 %" in found.says) == (expected == "short")


@pytest.mark.parametrize("other", [{"edition": OLDER}, {"fingerprint": "other"}])
def test_an_untrained_network_of_other_code_or_data_decides_no_target(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    made = bench(tmp_path)
    made.finish("m0.99", 0, 40.0)
    made.finish("untrained", 0, 50.0, **other)
    assert only(made).judged == "passed"


def test_a_target_at_an_epoch_may_lie_below_the_untrained_network(tmp_path: Path) -> None:
    made = bench(tmp_path, value=20.0, epoch=5, minimum=True)
    made.finish("m0.99", 0, 40.0)
    made.finish("untrained", 0, 50.0)
    assert only(made).judged == "passed"


def test_the_control_of_a_single_recipe_is_no_cell_but_decides_its_target(tmp_path: Path) -> None:
    made = bench(tmp_path)
    made.finish("m0.99", 0, 40.0)
    made.finish("untrained", 0, 50.0)
    recipes = {cell: made.recipe(cell, 0) for cell in ("m0.99", "untrained")}
    members = [Member("", 0, recipes["m0.99"]), Member("untrained", 0, recipes["untrained"])]
    (cell,) = read_cells("tiny.m0.99", members, made.runs)
    assert cell.cell == "tiny.m0.99"
    assert [found.judged for found in against_targets([cell], NOW)] == ["short"]
