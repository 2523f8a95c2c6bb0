"""Claims that cannot be tested, seeds that decide nothing, and what is said of many cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import RecipeError
from harness.preflight.recipe_file import of_recipe, of_scale
from harness.preflight.warned import Preflight
from harness.recipe.ablation import Scale
from harness.recipe.expand import expand
from harness.recipe.identity import stage_id
from harness.recipe.load import load, load_recipe

BASE = """\
data: {name: embedded, images: 2000, size: 16}
augment: {}
model: {backbone: miniature, bn_group: 8}
contrast: {kind: moco, queue: 64, momentum: 0.9, temperature: 0.1}
optim: {epochs: 2, batch: 32, lr: 0.03, schedule: {kind: constant}}
linear: {lr: [1.0]}
"""  # the queue turns over in two steps, and the rate is eight times the papers'
CELL = {"label": "it", "printed": None}
TABLE: dict[str, Any] = {
    "name": "it",
    **dict.fromkeys(("title", "paper", "setting", "source", "axis"), "it"),
    "confidence": "read",
    "metric": "knn/top1",
    "cells": [
        {**CELL, "id": "plain", "set": {}},
        {**CELL, "id": "small", "set": {"contrast.queue": 96}},
        {**CELL, "id": "fast", "set": {"optim.lr": 0.06}},
    ],
    "claims": [
        {"kind": "beats", "id": "first", "cell": "plain", "over": "small", "says": "it is better"},
        {"kind": "beats", "id": "second", "cell": "fast", "over": "plain", "says": "it is better"},
    ],
}
SCALE: dict[str, Any] = {
    **{"ablation": "it", "recipe": "base.yaml", "seeds": [0, 1, 2]},
    "metric": "knn/top1",
}


@pytest.fixture
def of(tmp_path: Path) -> Any:
    for folder in ("recipes", "ablations"):
        (tmp_path / folder).mkdir()
    path = tmp_path / "recipes" / "scale.yaml"
    (tmp_path / "recipes" / "base.yaml").write_text(BASE)

    def made(table: dict[str, Any] = TABLE, **changes: Any) -> Preflight:
        (tmp_path / "ablations" / "it.yaml").write_text(yaml.safe_dump(table))
        path.write_text(yaml.safe_dump(SCALE | changes))
        scale = load(path)
        assert isinstance(scale, Scale)
        return of_scale(scale, expand(scale, path), path)

    return made


def keys(found: Preflight) -> list[str]:
    return [each.key for each in found.warnings]


def test_a_warning_is_said_once_with_the_cells_that_it_concerns(of: Any) -> None:
    found = of().warnings
    assert [(each.key, each.cells) for each in found] == [
        ("queue-turnover", ("plain", "fast")),  # the table itself gives the other's queue
        ("rate-for-batch", ("plain", "small")),
        ("rate-for-batch", ("fast",)),
    ]
    own = of(set_cells={"small": {"contrast.queue": 32}}).warnings
    assert [each.cells for each in own if each.key == "queue-turnover"] == [
        ("plain", "fast"),
        ("small",),
    ], "a scale's own queue is not the table's"


def test_a_table_of_costs_is_not_judged_by_its_features(of: Any) -> None:
    assert keys(of(metric="cost/hours")) == []


def test_cells_cannot_be_alike_within_nothing(of: Any) -> None:
    plateau = {
        "kind": "plateau",
        "id": "same",
        "cells": ["plain", "fast"],
        "says": "they are alike",
    }
    table = TABLE | {"claims": [plateau]}
    assert "untestable-claim" not in keys(of(table))
    (found,) = [each for each in of(table, margin=0).warnings if each.key == "untestable-claim"]
    assert "judging" in found.says


def test_missing_cells_and_steps_make_claims_untestable(of: Any) -> None:
    (found,) = [each for each in of(cells=["plain", "small"]).warnings if each.key[0] == "u"]
    assert "second" in found.says
    assert "fast" in found.says
    assert "first" not in found.says
    slow = of(set={"contrast.momentum": 0.99}).warnings  # 124 of 300 steps, in every cell
    assert [each.key for each in slow].count("untestable-claim") == 2
    alike = of(untestable={"first": "because", "second": "because"}).warnings
    (found,) = [each for each in alike if each.key == "untestable-claim"]
    assert "first, second" in found.says


def test_claims_whose_cells_are_not_run_are_named_together(of: Any) -> None:
    """As a part of a table leaves them; a claim that fails for another reason too keeps both."""
    (found,) = [each for each in of(cells=["plain"]).warnings if each.key == "untestable-claim"]
    for named in ("first, second", "small, fast"):
        assert named in found.says
    slow = of(cells=["plain"], set={"contrast.momentum": 0.99}).warnings
    said = [each.says for each in slow if each.key == "untestable-claim"]
    assert len(said) == 2
    assert all("steps" in each for each in said)
    mine = of(cells=["plain"], untestable={"first": "this scale does not run long enough"})
    assert [each.key for each in mine.warnings].count("untestable-claim") == 2


TASK = {"all": {"kind": "finetune", "epochs": 1, "lr": 0.1, "schedule": {"kind": "constant"}}}


@pytest.mark.parametrize(("by_the_table", "warned"), [(True, False), (False, True)])
def test_rows_of_two_rates_are_compared_where_the_table_has_them(
    of: Any, by_the_table: bool, warned: bool
) -> None:
    """As the papers' tables do, where random weights are fine-tuned at another rate."""
    row = {**CELL, "id": "untrained", "set": {"tasks.all.lr": 0.5} if by_the_table else {}}
    table = {**TABLE, "metric": "finetune/top1", "cells": [*TABLE["cells"], row]}
    own = {} if by_the_table else {"untrained": {"tasks.all.lr": 0.5}}
    found = of(table, metric="finetune/top1", set={"tasks": TASK}, set_cells=own)
    assert ("untestable-claim" in keys(found)) is warned


@pytest.mark.parametrize(
    ("seeds", "most", "warned"),
    [
        ([0], None, True),
        ([0, 1], None, True),
        ([0, 1, 2], None, False),
        ([0], 2, True),
        ([0], 3, False),
    ],
)
def test_fewer_than_three_seeds_decide_nothing(
    of: Any, seeds: list[int], most: int | None, warned: bool
) -> None:
    found = of(seeds=seeds, max_seeds=most)
    assert ("too-few-seeds" in keys(found)) is warned
    nothing = {"first": "because", "second": "because"}
    found = of(seeds=seeds, max_seeds=most, untestable=nothing)
    assert "too-few-seeds" not in keys(found), "where no claim is tested, none wants seeds"


def test_a_table_with_an_assumed_spread_says_what_its_seeds_decide(of: Any) -> None:
    assert of(seeds=[1, 2, 3]).power == ()
    looks = [{"seeds": 3, "alpha": 0.02}, {"seeds": 5, "alpha": 0.03}]
    found = of(seeds=[1, 2, 3], spread=0.5, looks=looks).power
    assert [line.partition(":")[0] for line in found] == ["3 seeds", "5 seeds"]
    nothing = {"first": "because", "second": "because"}
    assert of(seeds=[1, 2, 3], spread=0.5, looks=looks, untestable=nothing).power == ()


def test_two_seeds_need_a_difference_of_many_deviations(of: Any) -> None:
    """By the t quantiles of one-sided 0.005, an alpha of 0.05 on two sides and five comparisons:
    63.66 of 1 and 9.925 of 2 degrees of freedom, over the roots of 2 and 3."""
    (found,) = [each for each in of(seeds=[0, 1]).warnings if each.key == "too-few-seeds"]
    assert "45 standard deviations" in found.says
    assert "5.7 standard deviations" in found.says


def test_accepted_warnings_are_counted_and_not_said(of: Any) -> None:
    whole = of()
    found = of(about={"accept": ["rate-for-batch", "knn-k"]})
    assert keys(found) == ["queue-turnover"]
    assert [*found.warnings, *found.accepted] == list(whole.warnings)


def test_of_one_recipe_too_and_its_stages_keep_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "it.yaml"
    path.write_text(BASE)
    before = load_recipe(path)
    assert keys(of_recipe(before)) == ["queue-turnover", "rate-for-batch"]
    path.write_text(BASE + "about: {accept: [queue-turnover, rate-for-batch]}\n")
    after = load_recipe(path)
    assert (keys(of_recipe(after)), len(of_recipe(after).accepted)) == ([], 2)
    for name in ("pretrain", "knn", "linear"):
        assert stage_id(before, name) == stage_id(after, name)


def test_what_extends_a_recipe_does_not_accept_for_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(BASE + "about: {accept: [queue-turnover]}\n")
    path = tmp_path / "it.yaml"
    path.write_text("extends: base.yaml\n")
    assert "queue-turnover" in keys(of_recipe(load_recipe(path)))


def test_an_unknown_key_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "it.yaml"
    path.write_text(BASE + "about: {accept: [queue-turnovers]}\n")
    with pytest.raises(RecipeError, match=r"it.yaml:7: about.accept.0: .* queue-turnover\?"):
        load_recipe(path)
