"""What a report says of data without labels, of a keyed split, and of a number on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.recipe.identity import stage_id
from harness.recipe.schema import Recipe
from harness.report.collect import Results, collect_single
from harness.report.document import compose
from harness.report.recipe_facts import images
from harness.report.results_table import results_table
from harness.report.scale import one_line, protocol_sentences
from harness.store.edition import Editions
from report.build import EDITION, recipe
from report.conftest import Collected, Make

CIFAR = {"name": "cifar10", "size": 32, "images": 2000}
WATCHED: dict[str, Any] = {
    "data": {"name": "pictures", "folder": "photos", "size": 32},
    "knn": None,
    "linear": None,
    "tasks": {"watched": {"kind": "knn", "k": [20], "data": CIFAR}},
    "watch": {"knn_task": "watched"},
}


def collected(made: Recipe, runs: Path) -> Results:
    return collect_single(made, runs, installed=Editions.same(EDITION))


def test_the_number_is_the_tasks_and_its_column_says_so(tmp_path: Path) -> None:
    made = recipe(**WATCHED)
    results = collected(made, tmp_path)
    assert results.metric == "knn/top1"
    (stage,) = results.runs[0].behind("knn/top1")
    assert stage.id == stage_id(made, "watched")
    labels = [column.label for column in results_table(results).columns]
    assert "kNN top-1 (watched)" in labels
    own = collected(recipe(linear=None), tmp_path)
    assert "kNN top-1" in [column.label for column in results_table(own).columns]


def test_the_protocol_names_what_was_watched(tmp_path: Path) -> None:
    text = "\n".join(protocol_sentences(collected(recipe(**WATCHED), tmp_path)))
    for word in ("photos", "watched", "cifar10", "2,000", "k = 20"):
        assert word in text
    alone = recipe(**WATCHED | {"tasks": {}, "watch": {}})
    results = collected(alone, tmp_path)
    assert "not monitored" in "\n".join(protocol_sentences(results))
    compose(results, [])


@pytest.mark.parametrize("split", [0.1, 0.25])
def test_a_split_is_said(tmp_path: Path, split: float) -> None:
    data = {"name": "imagefolder", "folder": "pets", "split": split, "size": 32}
    made = recipe(data=data)
    text = "\n".join(protocol_sentences(collected(made, tmp_path)))
    assert f"{100 * split:g} %" in text
    assert f"{100 * split:g} %" in images(made)
    whole = recipe(data=data | {"split": None})
    assert "%" not in images(whole)


def test_a_method_without_negatives_has_no_k_in_its_scale(tmp_path: Path) -> None:
    labelled = recipe(contrast={"kind": "supervised"})
    assert not any(
        part.startswith("K ") for part in one_line(collected(labelled, tmp_path)).split(", ")
    )
    assert "K 128" in one_line(collected(recipe(), tmp_path)).split(", ")


def test_a_run_that_is_stopped_early_says_so_in_its_scale(tmp_path: Path) -> None:
    early = one_line(collected(recipe(optim__steps=31), tmp_path)).split(", ")
    assert "10 epochs (stopped after 31 steps)" in early
    for whole in (recipe(), recipe(optim__steps=10**7)):
        assert "10 epochs" in one_line(collected(whole, tmp_path)).split(", ")


def test_a_table_of_which_some_runs_were_made_says_how_many(make: Make, gather: Collected) -> None:
    bench = make(seeds=(0, 1))
    bench.finish("m0.9", 0, 40.0)
    assert one_line(gather(bench)).endswith(", 2 seeds, 1 of 10 planned runs made")


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"kind": "step", "drops": [2], "factor": 0.2}, "×0.2 at epochs 2"),
        ({"kind": "cosine"}, "cosine"),
    ],
)
def test_how_a_task_trains_the_network_is_said(
    tmp_path: Path, schedule: dict[str, Any], words: str
) -> None:
    task = {"kind": "finetune", "epochs": 3, "batch": 64, "lr": 0.025, "schedule": schedule}
    made = recipe(tasks={"birds": {**task, "head_lr": 10, "trials": 5}})
    text = "\n".join(protocol_sentences(collected(made, tmp_path)))
    for word in ("birds", "epochs: 3", "batch 64", "0.025", "times 10", words, "5 trials"):
        assert word in text
