"""The whole stages, run by one process and by two, give the same journal and results."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from gloo import Pool

from harness.store import journal
from harness.store.layout import StageFolder

from .tiny import final_state, run, same, write
from .together import run_stages


@pytest.mark.parametrize("views", ["center", "random_crop"])
def test_a_run_by_two_processes_is_the_run_by_one(gloo: Pool, tmp_path: Path, views: str) -> None:
    recipe = write(tmp_path, old="views: center", new=f"views: {views}")
    alone = run(recipe, tmp_path / "alone")
    run(recipe, tmp_path / "both", kinds=())  # names the folders
    gloo.run(run_stages, 2, str(recipe), str(tmp_path / "both"), timeout=120)
    both = run(recipe, tmp_path / "both", kinds=())
    for kind in ("pretrain", "knn", "linear"):
        one, two = alone[kind].result, both[kind].result
        assert one is not None
        assert two is not None
        assert two["processes"] == 2
        alike(one["values"], two["values"])
    losses = [
        [loss for _, _, loss in journal.series(journal.read(found["pretrain"]), "train/loss")]
        for found in (alone, both)
    ]
    # rounding grows from step to step; float64 (test_trajectories) tells it from an error
    assert losses[1][:4] == pytest.approx(losses[0][:4], rel=1e-4)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert len(both["pretrain"].attempts()) == 1
    queues = [final_state(found["pretrain"])["mechanism"]["queue.keys"] for found in (alone, both)]
    assert queues[1].sub(queues[0]).abs().max() < 1e-2


def test_another_number_of_processes_goes_on_and_is_told(gloo: Pool, tmp_path: Path) -> None:
    recipe, runs = write(tmp_path), tmp_path / "runs"
    alone = run(recipe, tmp_path / "alone")
    asked = itertools.count(1)
    run(recipe, runs, stopping=lambda: next(asked) >= 7)
    run(recipe, runs, kinds=())
    notes, others = gloo.run(run_stages, 2, str(recipe), str(runs), timeout=120)
    both = run(recipe, runs, kinds=())
    (note,) = notes
    assert "1 for the first 7 steps, 2 now" in note
    assert others == []
    for kind, folder in both.items():
        one, two = alone[kind].result, folder.result
        assert one is not None
        assert two is not None
        alike(one["values"], two["values"])


def alike(one: dict[str, float], two: dict[str, float]) -> None:
    """Equal up to rounding, which may turn over one image of an accuracy's 50 or more. Health is
    measured after it has grown for 15 steps."""
    assert one.keys() == two.keys()
    for metric, value in one.items():
        room: dict[str, Any] = (
            {"abs": 2.0}
            if "top1" in metric
            else {"rel": 1e-2 if metric.startswith("health/") else 1e-3}
        )
        assert two[metric] == pytest.approx(value, **room), metric


WATCH = "watch: {log_steps: 4, knn_epochs: 1, checkpoint_steps: 2}"
SELDOM = "watch: {log_steps: 7, knn_epochs: 0, checkpoint_steps: 1000}"


@pytest.mark.parametrize("stats", ["mean", "first_group"])
def test_how_often_one_looks_changes_no_bit(gloo: Pool, tmp_path: Path, stats: str) -> None:
    found: list[dict[str, StageFolder]] = []
    for watch in (WATCH, SELDOM):
        runs = tmp_path / str(len(found))
        recipe = write(tmp_path, old="bn_group: 8", new=f"bn_group: 8, running_stats: {stats}")
        recipe.write_text(recipe.read_text().replace(WATCH, watch))
        run(recipe, runs, kinds=())
        gloo.run(run_stages, 2, str(recipe), str(runs), timeout=120)
        found.append(run(recipe, runs, kinds=()))
    often, seldom = found
    assert [folder.id for folder in often.values()] == [folder.id for folder in seldom.values()]
    for kind, metric in (("pretrain", "train/loss"), ("linear", "linear/loss")):
        assert same(final_state(often[kind]), final_state(seldom[kind])), kind
        series = [journal.series(journal.read(each[kind]), metric) for each in found]
        assert series[0] == series[1]
    for kind in often:
        assert (often[kind].result or {})["values"] == (seldom[kind].result or {})["values"]
