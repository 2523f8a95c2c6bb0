from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.methods.moco.config import Moco
from harness.recipe.expand import Expansion, expand, find_ablation
from harness.recipe.finetune import FinetuneTask
from harness.recipe.load import load_scale
from harness.recipe.schema import Recipe

from .conftest import BASE, Write

TABLE = """\
name: momentum
title: t
paper: p
setting: s
source: s
confidence: read
metric: linear/top1
axis: m
cells:
  - {id: m0, label: "0", set: {contrast.momentum: 0}, printed: fail}
  - id: m9
    label: "0.9"
    set:
      contrast.momentum: 0.9
    printed: 55.2
claims:
  - {kind: fails, id: zero, cell: m0, says: no momentum fails}
"""
SCALE = """\
ablation: momentum
recipe: base.yaml
metric: knn/top1
seeds: [0, 1]
set:
  optim.lr: 0.5
"""


@pytest.fixture
def scale(write: Write) -> Path:
    write("recipes/base.yaml", BASE)
    write("ablations/momentum.yaml", TABLE)
    return write("recipes/abl.yaml", SCALE)


def expanded(path: Path, *sets: str) -> Expansion:
    return expand(load_scale(path, sets), path)


def refusal(path: Path, *sets: str) -> str:
    with pytest.raises(RecipeError) as caught:
        expanded(path, *sets)
    return str(caught.value)


def momentum(recipe: Recipe) -> float:
    assert isinstance(recipe.contrast, Moco)
    return recipe.contrast.momentum


def test_a_metric_that_no_cell_measures(scale: Path) -> None:
    assert "metric: no cell measures knn/top1" in refusal(scale, "knn=null")
    assert expanded(scale, "metric=cost/hours", "knn=null").members


def test_an_option_that_each_cell_replaces(scale: Path) -> None:
    said = refusal(scale, "contrast.momentum=0.5")
    assert said.startswith("--set contrast.momentum: ")
    assert momentum(expanded(scale, "cells=[m9]").members[-1].recipe) == 0.9


def test_members(scale: Path) -> None:
    expansion = expanded(scale)
    assert expansion.ablation.title == "t"
    rows = [
        (m.cell, m.seed, m.recipe.name, m.recipe.seed, momentum(m.recipe),
         m.recipe.optim.epochs, m.recipe.optim.lr)
        for m in expansion.members
    ]  # fmt: skip
    assert rows == [
        ("untrained", 0, "abl.untrained", 0, 0.99, 0, 0.5),
        ("untrained", 1, "abl.untrained", 1, 0.99, 0, 0.5),
        ("m0", 0, "abl.m0", 0, 0.0, 10, 0.5),
        ("m0", 1, "abl.m0", 1, 0.0, 10, 0.5),
        ("m9", 0, "abl.m9", 0, 0.9, 10, 0.5),
        ("m9", 1, "abl.m9", 1, 0.9, 10, 0.5),
    ]


def test_options(scale: Path) -> None:
    expansion = expanded(
        scale, "cells=[m9, m0]", "control=false", "seeds=[7]", "optim.epochs=2", "name=mine"
    )
    assert [(m.recipe.name, m.seed, m.recipe.optim.epochs) for m in expansion.members] == [
        ("mine.m0", 7, 2),
        ("mine.m9", 7, 2),
    ], "in the paper's order"


@pytest.mark.parametrize(
    "line",
    [
        "continue_from: base-s0.pretrain-0123456789",
        "model.weights: {file: w.pth, md5: '00000000'}",
        "model.weights: {run: base-s0.pretrain-0123456789}",
    ],
)
def test_the_control_is_untrained_whatever_the_others_begin_with(scale: Path, line: str) -> None:
    scale.write_text(f"{SCALE}  {line}\n")
    for member in expanded(scale).members:
        begun = member.recipe.continue_from or member.recipe.model.weights
        assert (begun is None) == (member.cell == "untrained"), member.cell


def test_the_control_outlives_the_drops_of_a_step_schedule(scale: Path) -> None:
    members = expanded(scale, "optim.schedule={kind: step, drops: [4]}").members
    assert members[0].recipe.optim.epochs == 0


def test_cells_may_choose_another_kind(scale: Path, write: Write) -> None:
    write(
        "ablations/momentum.yaml",
        TABLE.replace("contrast.momentum: 0}", "optim.schedule.kind: constant}"),
    )
    kinds = [m.recipe.optim.schedule.kind for m in expanded(scale, "seeds=[0]").members]
    assert kinds == ["cosine", "constant", "cosine"]


def test_what_is_set_for_all_cells_yields_to_a_cells_own_kind(scale: Path, write: Write) -> None:
    """What a queue needs means nothing to a memory bank."""
    write(
        "ablations/momentum.yaml",
        TABLE.replace(
            "contrast.momentum: 0}",
            "contrast: {kind: memory_bank, negatives: 64, temperature: 0.1}}",
        ),
    )
    bank, moco = (m.recipe.contrast for m in expanded(scale, "seeds=[0]", "contrast.queue=512",
                                                      "control=false").members)  # fmt: skip
    assert (bank.kind, moco.kind) == ("memory_bank", "moco")
    assert isinstance(moco, Moco)
    assert moco.queue == 512


def test_a_scale_changes_single_cells(scale: Path, write: Write) -> None:
    write("recipes/abl.yaml", SCALE + "set_cells:\n  m9: {contrast.momentum: 0.8, optim.lr: 2}\n")
    members = expanded(scale, "seeds=[0]").members
    found = {m.cell: (momentum(m.recipe), m.recipe.optim.lr) for m in members}
    assert found == {"untrained": (0.99, 0.5), "m0": (0.0, 0.5), "m9": (0.8, 2.0)}


def test_printed_rows_are_not_run(scale: Path, write: Write) -> None:
    row = '  - {id: other, label: "x", set: null, printed: 5}\n'
    write("ablations/momentum.yaml", TABLE.replace("claims:", row + "claims:"))
    assert {m.cell for m in expanded(scale).members} == {"untrained", "m0", "m9"}
    assert "--set cells: cells: other is a printed row" in refusal(scale, "cells=[other]")


def test_hours_of_single_cells(scale: Path, write: Write) -> None:
    cost = "about: {cost: {hours: 2, on: cpu, source: s}}\n"
    write("recipes/abl.yaml", SCALE + "hours: {m9: 5}\n" + cost)
    costs = {m.cell: m.recipe.about.cost for m in expanded(scale).members}
    assert {cell: cost.hours for cell, cost in costs.items() if cost} == {
        "untrained": 2,
        "m0": 2,
        "m9": 5,
    }


def test_notes_of_the_base_recipe_are_the_runs_too(scale: Path, write: Write) -> None:
    write("recipes/base.yaml", BASE + "about: {notes: [small, both]}\n")
    write("recipes/abl.yaml", SCALE + "about: {notes: [mine, both]}\n")
    assert expanded(scale).members[0].recipe.about.notes == ("mine", "both", "small")


def test_a_member_is_described_by_the_ablation_recipe(scale: Path, write: Write) -> None:
    target = "{metric: knn/top1, value: 50, tolerance: 1, source: %s}"
    write(
        "recipes/base.yaml",
        BASE + f"about: {{title: Base, cost: {{hours: 2, on: cpu, source: s}}, "
        f"targets: [{target % 'base'}]}}\n",
    )
    write(
        "recipes/abl.yaml",
        SCALE + f"about: {{title: Mine}}\ntargets: {{m9: [{target % 'scale'}]}}\n",
    )
    about = {m.cell: m.recipe.about for m in expanded(scale).members}
    assert about["m9"].title == "Mine"
    assert about["m9"].cost is not None
    assert [t.source for t in about["m9"].targets] == ["scale"]
    assert about["m0"].targets == ()


@pytest.mark.parametrize(
    ("add", "sets", "message"),
    [
        ("cells: [m0, m99]", [], "recipes/abl.yaml:7: cells: no cell with the name m99"),
        ("", ["cells=[m0, m0]"], "--set cells: cells: m0 "),
        ("cells: [untrained]", [], "recipes/abl.yaml:7: cells: untrained "),
        (
            "targets:\n  m8: []",
            [],
            "recipes/abl.yaml:8: targets: no cell with the name m8",
        ),
        (
            "untestable:\n  nul: why",
            [],
            "recipes/abl.yaml:8: untestable: no claim with the name nul",
        ),
        (
            "about:\n  targets: [{metric: knn/top1, value: 1, tolerance: 1, source: s}]",
            [],
            "recipes/abl.yaml:8: about.targets: ",
        ),
        ("set_cells:\n  m8: {}", [], "recipes/abl.yaml:8: set_cells: no cell with the name m8"),
        (
            "set_cells:\n  m9:\n    seed: 3",
            [],
            "recipes/abl.yaml:9: set_cells: seed cannot be set: ",
        ),
        ("hours:\n  m8: 1", [], "recipes/abl.yaml:8: hours: no cell with the name m8"),
        ("max_seeds: 1", [], "recipes/abl.yaml:7: max_seeds: 1 "),
        (
            "tuned_on: [{seeds: [1, 7], what: a rate}]",
            [],
            "recipes/abl.yaml:4: seeds: 1 ",
        ),
        (
            "tuned_on: [{seeds: [7], what: a rate}]",
            ["seeds=[7]"],
            "--set seeds=[7]: seeds: 7 ",
        ),
        ("", ["seed=3"], "--set seed: set: seed cannot be set: "),
        ("", ["recipe=x"], "--set recipe: set: recipe cannot be set: "),
        (
            "  optim.lrr: 1",
            [],
            "recipes/abl.yaml:7: optim.lrr: unknown field, did you mean lr?",
        ),
        ("  optim..lr: 1", [], "recipes/abl.yaml:7: 'optim..lr' "),
        ("", ["optim.lrr=1"], "--set optim.lrr: optim.lrr: unknown field, did you mean lr?"),
        ("", ["optim.lr=fast"], "--set optim.lr: optim.lr: needs a number, found 'fast'"),
        ("name: " + "x" * 79, [], "ablations/momentum.yaml:10: name: needs at most 80 characters"),
    ],
)
def test_refusals(scale: Path, write: Write, add: str, sets: list[str], message: str) -> None:
    write("recipes/abl.yaml", SCALE + add + "\n")
    found = refusal(scale, *sets).splitlines()
    assert any(line.startswith(message) for line in found), found


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        (
            "contrast.momentum: 0.9",
            "contrast.momentum: 9",
            ["ablations/momentum.yaml:14: contrast.momentum: must be below 1, found 9 (cell m9)"],
        ),
        (
            "contrast.momentum: 0.9",
            "optim.batch: 48",
            ["recipes/base.yaml:4: model.bn_group: 32 does not divide optim.batch 48"],
        ),
        (
            "contrast.momentum: 0.9",
            "seed: 4",
            ["ablations/momentum.yaml:14: cells.1.set: seed cannot be set: "],
        ),
        ("axis: m", "axis: 1", ["ablations/momentum.yaml:8: axis: needs text, found 1"]),
    ],
)
def test_mistakes_in_the_ablation(
    scale: Path, write: Write, old: str, new: str, messages: list[str]
) -> None:
    write("ablations/momentum.yaml", TABLE.replace(old, new))
    found = refusal(scale).splitlines()
    assert len(found) == len(messages)
    assert all(line.startswith(start) for line, start in zip(found, messages, strict=True)), found


def test_a_mistake_of_the_base_is_told_once(scale: Path, write: Write) -> None:
    write("recipes/base.yaml", BASE.replace("size: 32", "size: 1"))
    assert refusal(scale) == "recipes/base.yaml:2: data.size: must be at least 8, found 1"


def test_files_that_are_absent(scale: Path, write: Write) -> None:
    write("recipes/abl.yaml", SCALE.replace("base.yaml", "bse.yaml"))
    assert refusal(scale) == (
        "recipes/abl.yaml:2: recipe: recipes/bse.yaml: no such file, did you mean "
        "recipes/base.yaml?"
    )
    write("recipes/abl.yaml", SCALE.replace(": momentum", ": momentun"))
    assert refusal(scale) == (
        "recipes/abl.yaml:1: ablation: no file ablations/momentun.yaml, did you mean momentum?"
    )


def test_where_ablations_are_looked_for(write: Write) -> None:
    write("ablations/momentum.yaml", TABLE)
    far = write("far/recipes/abl.yaml", SCALE)
    assert find_ablation("momentum", [far]) == Path("ablations/momentum.yaml")
    near = write("far/ablations/momentum.yaml", TABLE)
    assert find_ablation("momentum", [far]).resolve() == near.resolve()


GIVEN = """\
extends: base.yaml
model: {weights: {file: w.pth, md5: "01234567"}}
optim: {epochs: 0}
knn: {k: [9]}
about: {targets: [{metric: knn/top1, value: 1, tolerance: 1, source: README}]}
"""
CONTROLS = "controls: [{id: given, label: Given, recipe: given.yaml}]\n"


def test_given_weights_are_members_too(scale: Path, write: Write) -> None:
    write("recipes/given.yaml", GIVEN)
    write("recipes/abl.yaml", SCALE + "  data.images: 777\n" + CONTROLS)
    members = [m for m in expanded(scale).members if m.cell == "given"]
    assert [(m.seed, m.recipe.seed, m.recipe.name) for m in members] == [
        (0, 0, "abl.given"), (1, 1, "abl.given"),
    ]  # fmt: skip
    recipe = members[0].recipe
    assert recipe.model.weights is not None
    assert recipe.knn is not None
    assert (recipe.optim.epochs, recipe.knn.k, recipe.data.images) == (0, (9,), 777)
    assert recipe.optim.lr != 0.5, "what is set for training is not for them"
    assert [target.source for target in recipe.about.targets] == ["README"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("", "", ""),
        ("id: given", "id: m0", "controls: m0 "),
        ("id: given", "id: untrained", "untrained is reserved for the untrained network"),
        ("]", ", {id: given, label: Two, recipe: given.yaml}]", "controls: given "),
        ("given.yaml", "base.yaml", "model.weights, and optim.epochs: 0"),
        ("given.yaml", "gone.yaml", "no such file"),
    ],
)
def test_mistakes_in_controls(scale: Path, write: Write, old: str, new: str, says: str) -> None:
    write("recipes/given.yaml", GIVEN)
    write("recipes/abl.yaml", SCALE + CONTROLS.replace(old, new))
    if says:
        assert says in refusal(scale)
    else:
        assert expanded(scale)


RANDOM = """\
  - {id: untrained, label: random init., set: {tasks.all.lr: 0.5}, printed: 1.0}
claims:
"""
FINETUNE = """\
tasks:
  all: {kind: finetune, epochs: 2, lr: 0.1, schedule: {kind: constant}}
"""


def lr(recipe: Recipe) -> float:
    section = recipe.tasks["all"]
    assert isinstance(section, FinetuneTask)
    return section.lr


def test_the_control_fills_the_row_of_the_random_network(scale: Path, write: Write) -> None:
    write("recipes/base.yaml", BASE + FINETUNE)
    write("ablations/momentum.yaml", TABLE.replace("claims:\n", RANDOM))
    members = expanded(scale).members
    assert [m.cell for m in members] == ["untrained"] * 2 + ["m0"] * 2 + ["m9"] * 2
    assert [lr(m.recipe) for m in members] == [0.5, 0.5, 0.1, 0.1, 0.1, 0.1]
    assert members[0].recipe.optim.epochs == 0, "it is random all the same"
    assert {m.cell for m in expanded(scale, "control=false").members} == {"m0", "m9"}
    write("recipes/abl.yaml", SCALE + "set_cells: {untrained: {tasks.all.lr: 0.25}}\n")
    own = expanded(scale).members
    assert [lr(m.recipe) for m in own] == [0.25, 0.25, 0.1, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ("null", "set: untrained is the scale's control"),
        ("{optim.epochs: 3}", "set: optim.epochs: untrained has random weights"),
        ("{model.weights: {file: w.pth}}", "set: model.weights: untrained has random weights"),
    ],
)
def test_the_row_of_the_random_network_stays_random(
    scale: Path, write: Write, changes: str, says: str
) -> None:
    row = RANDOM.replace("{tasks.all.lr: 0.5}", changes)
    write("ablations/momentum.yaml", TABLE.replace("claims:\n", row))
    assert says in refusal(scale)
