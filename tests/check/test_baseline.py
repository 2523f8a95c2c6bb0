"""A baseline's file: what it holds, when it is refused, and how it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report.build import EDITION, Bench

from harness.check.baseline import (
    load_baseline,
    make_baseline,
    measured,
    protocol,
    text,
    write_baseline,
)
from harness.check.cells import CellRuns, CurrentState, read_cells
from harness.check.compare import Pair, against_baselines
from harness.errors import RecipeError, StoreError
from harness.recipe.identity import stage_id
from harness.store.edition import Editions
from harness.store.stale import CheckInput


@pytest.fixture
def made(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "runs", (0, 1, 2), {"cells": ["m0.99"], "control": True})
    for seed in range(3):
        bench.finish("m0.99", seed, 40.0 + seed, 50.0 + seed / 3)
        bench.finish("untrained", seed, 14.0, 20.0)
    return bench


def write(made: Bench, path: Path) -> Path:
    cells = read_cells("tiny", made.expansion.members, made.runs)
    write_baseline(make_baseline(cells, CurrentState(Editions.same(EDITION))), path)
    return path


def test_a_cell_that_measures_nothing_has_no_place_in_it(tmp_path: Path) -> None:
    nothing = {"knn": None, "linear": None, "optim__epochs": 0}
    bench = Bench(tmp_path / "runs", (0, 1), {"cells": ["m0.99"], "control": False}, {}, nothing)
    with pytest.raises(StoreError, match="measure nothing"):
        write(bench, tmp_path / "base.json")


def test_it_holds_what_the_runs_found_and_is_read_back(made: Bench, tmp_path: Path) -> None:
    found = load_baseline(write(made, tmp_path / "base.json"))
    assert (found.edition, found.devices) == (EDITION, ("unknown",))
    assert found.commit == "0123456789abcdef" * 2
    cell = found.cell("tiny", "m0.99")
    assert cell is not None
    assert (cell.seeds, cell.data) == ((0, 1, 2), "f1a9")
    assert cell.runs == tuple(made.folder("m0.99", seed).id for seed in range(3))
    knn, linear, _loss = cell.metrics
    assert (knn.metric, linear.metric) == ("knn/top1", "linear/top1")
    assert (knn.values, knn.mean, knn.sd) == ((40.0, 41.0, 42.0), 41.0, 1.0)
    assert linear.values[1] == pytest.approx(50.333333, abs=1e-6)
    assert cell.curve is not None
    epochs = made.recipe("m0.99", 0).optim.epochs
    assert cell.curve.epochs == tuple(float(n) for n in range(1, epochs + 1))
    assert [row[-1] for row in cell.curve.values] == [40.0, 41.0, 42.0]


def test_a_control_has_no_loss(made: Bench, tmp_path: Path) -> None:
    found = load_baseline(write(made, tmp_path / "base.json"))
    cell = found.cell("tiny", "untrained")
    assert cell is not None
    assert [each.metric for each in cell.metrics] == ["knn/top1", "linear/top1"]


def test_a_sample_stands_in_a_line(made: Bench, tmp_path: Path) -> None:
    words = write(made, tmp_path / "base.json").read_text()
    assert '"values": [40.0, 41.0, 42.0],' in words
    assert json.loads(words)["baseline"] == 1
    assert words == text(load_baseline(tmp_path / "base.json"))
    assert "null" not in words, "an older version refuses fields that it does not know"


def test_its_protocol_is_the_stages_identity_without_name_and_seed(made: Bench) -> None:
    recipe = made.recipe("m0.99", 7)
    assert measured(recipe) == [("knn/top1", ""), ("linear/top1", ""), ("train/loss", "")]
    for seed in (0, 3):
        other = recipe.model_copy(update={"seed": seed, "name": "another"})
        assert protocol(other, "knn/top1") == protocol(recipe, "knn/top1")
    own = stage_id(made.recipe("m0.99", 0), "pretrain")
    assert own.endswith("-" + protocol(recipe, "train/loss"))
    changed = recipe.model_copy(update={"linear": None})
    assert protocol(changed, "knn/top1") == protocol(recipe, "knn/top1")


def test_one_seed_gives_no_band(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "runs", (0,), {"cells": ["m0.99"], "control": False})
    bench.finish("m0.99", 0, 40.0, 50.0)
    with pytest.raises(StoreError, match=r"tiny/m0.99: .*--seeds 0-7"):
        write(bench, tmp_path / "base.json")
    assert not (tmp_path / "base.json").exists()


def test_no_baseline_is_made_of_copies(made: Bench, tmp_path: Path) -> None:
    for seed in (0, 1):
        path = made.folder("m0.99", seed).path / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": "abc"}))
        for kind in ("knn", "linear"):
            path = made.folder("m0.99", seed, kind).path / "result.json"  # type: ignore[arg-type]
            path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": "abc"}))
    with pytest.raises(StoreError, match=r"weights as m0.99 \(seed 1\)"):
        write(made, tmp_path / "base.json")
    assert not (tmp_path / "base.json").exists()


def test_every_seed_needs_a_present_result(made: Bench, tmp_path: Path) -> None:
    made.stage("m0.99", 1, "linear", None, state=None)
    (made.folder("m0.99", 1, "linear").path / "result.json").unlink()
    with pytest.raises(StoreError, match="linear/top1 of every seed: seed 1"):
        write(made, tmp_path / "base.json")
    made.finish("m0.99", 1, 40.0, 50.0, edition="bbbbbbbbbbbb")
    with pytest.raises(StoreError, match="of edition bbbbbbbbbbbb"):
        write(made, tmp_path / "base.json")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"baseline": 1', '"baseline": 2', "base.json:2: baseline: must be at most 1"),
        ('"edition"', '"editoin"', "did you mean edition?"),
        ("[40.0, 41.0, 42.0]", "[40.0, 41.0]", "2 values for 3 seeds"),
        ("[40.0, 41.0, 42.0]", "[40.0, 41.0, 43.0]", "the file says otherwise"),
        ("[40.0, 41.0, 42.0]", "[40.0, 41.0, NaN]", "needs a number"),
        ('"seeds": [0, 1, 2]', '"seeds": [0, 1, 1]', "a seed is listed twice"),
        ('"epochs": [1.0, 2.0', '"epochs": [2.0, 1.0', "they do not increase"),
        ('"metric": "linear/top1"', '"metric": "knn/top1"', "knn/top1 is listed twice"),
        ('"metric": "linear/top1"', '"metric": "linear"', "needs one of"),
        ('"cell": "untrained"', '"cell": "m0.99"', "tiny/m0.99 is listed twice"),
        ("}\n", "", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    made: Bench, tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = write(made, tmp_path / "base.json")
    words = path.read_text()
    assert old in words
    at = words.rindex(old) if old in ('"cell": "untrained"', "}\n") else words.index(old)
    path.write_text(words[:at] + new + words[at + len(old) :])
    with pytest.raises(RecipeError, match=r"base\.json:\d+: ") as caught:
        load_baseline(path)
    assert says in str(caught.value)


def test_runs_of_data_that_changed_make_none(made: Bench, tmp_path: Path) -> None:
    """Nor do they pass, or fail, against one."""
    baseline = load_baseline(write(made, tmp_path / "base.json"))
    for path in made.runs.glob("*/result.json"):
        result = json.loads(path.read_text())
        path.write_text(json.dumps({**result, "inputs": {"data": {"fingerprint": "then"}}}))

    def cells(now: str) -> list[CellRuns]:
        check_input: CheckInput = lambda what, said: {"fingerprint": now}  # noqa: ARG005, E731
        return read_cells("tiny", made.expansion.members, made.runs, check_input)

    make_baseline(cells("then"), CurrentState(Editions.same(EDITION)))
    with pytest.raises(StoreError, match=r"names and sizes then then, now now"):
        make_baseline(cells("now"), CurrentState(Editions.same(EDITION)))
    for now, expected in (("then", {"passed"}), ("now", {"stale"})):
        pairs = [Pair(cell, baseline, "base.json") for cell in cells(now)]
        verdicts = against_baselines(pairs, CurrentState(Editions.same(EDITION)))
        assert {verdict.judged for verdict in verdicts} == expected


def test_one_that_is_not_there_is_told_how_to_make(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="check --write-baseline"):
        load_baseline(tmp_path / "none.json")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_never_more(
    made: Bench, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "base.json"
    words = (path if path.exists() else write(made, path)).read_text()
    start = data.draw(st.integers(0, len(words)))
    gone = data.draw(st.integers(0, 20))
    put = data.draw(st.sampled_from(["", "{", "]", '"', "1e999", "null", "[1]", "\0", ","]))
    damaged = tmp_path / "damaged.json"
    damaged.write_text(words[:start] + put + words[start + gone :])
    found: Any
    try:
        found = load_baseline(damaged)
    except RecipeError as error:
        found = str(error)
        assert "damaged.json" in found
