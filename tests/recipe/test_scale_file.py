"""Ablation recipes in one file, that extend others, and that lie in any folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.recipe.ablation import Scale
from harness.recipe.expand import Expansion, expand
from harness.recipe.find import shipped
from harness.recipe.load import load, load_recipe, load_scale
from harness.recipe.scale_file import scale_file

from .conftest import BASE, Write

OWN = """\
ablation:
  axis: momentum m
  title: Mine
  cells:
    - {id: low, label: "0.5", set: {contrast.momentum: 0.5}}
    - {id: high, label: "0.9", set: {contrast.momentum: 0.9}}
  claims:
    - {id: slow, kind: beats, cell: high, over: low, says: Slow is better.}
recipe: base.yaml
seeds: [0, 1]
metric: knn/top1
level: quick
set: {optim.epochs: 2}
"""


def expanded(path: Path, *sets: str) -> Expansion:
    return expand(load_scale(path, sets), path)


def refusal(path: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        expanded(path)
    return str(caught.value)


@pytest.fixture
def own(base: Path, write: Write) -> Path:
    assert base.exists()
    return write("own.yaml", OWN)


def test_an_ablation_of_no_paper_in_the_file(own: Path) -> None:
    found = expanded(own)
    assert (found.ablation.name, found.ablation.title) == ("own", "Mine")
    assert not found.ablation.of_paper
    assert [m.recipe.name for m in found.members[2:]] == [
        *("own.low", "own.low", "own.high", "own.high")
    ]
    assert {m.recipe.optim.epochs for m in found.members[2:]} == {2}
    assert isinstance(load(own), Scale)


def test_a_recipe_in_the_file(write: Write, own: Path) -> None:
    inner = "".join(f"  {line}\n" for line in BASE.splitlines()[1:])
    text = OWN.replace("recipe: base.yaml\n", f"recipe:\n{inner}")
    whole = write("elsewhere/own.yaml", text)
    assert expanded(whole).members == expanded(own).members
    extending = OWN.replace("base.yaml", "{extends: base, optim: {lr: 0.5}}")
    found = expanded(write("extending.yaml", extending)).members
    assert {m.recipe.optim.lr for m in found} == {0.5}


def test_mistakes_in_what_the_file_holds_have_its_lines(write: Write, base: Path) -> None:
    assert base.exists()
    path = write("own.yaml", OWN.replace("cell: high", "cell: hihg").replace("axis", "axes"))
    lines = refusal(path).splitlines()
    assert lines[0].startswith("own.yaml:2: axes: unknown field, did you mean axis?")
    path = write("own.yaml", OWN.replace("contrast.momentum: 0.9", "contrast.momentun: 0.9"))
    assert refusal(path).startswith("own.yaml:6: contrast.momentun: unknown field")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("printed: 3.0", "own.yaml:5: cells.0.printed: a printed number is a paper's"),
        ("", ""),
    ],
)
def test_what_only_a_papers_table_has(write: Write, base: Path, line: str, message: str) -> None:
    assert base.exists()
    text = OWN.replace('label: "0.5"', f'label: "0.5", {line}' if line else 'label: "0.5"')
    path = write("own.yaml", text)
    if message:
        assert refusal(path).startswith(message)
    else:
        for field in ("setting: x", "metric: knn/top1", "source: s", "confidence: read"):
            path = write("own.yaml", text.replace("  title: Mine", f"  title: Mine\n  {field}"))
            assert refusal(path).startswith(f"own.yaml:4: {field.partition(':')[0]}: is a paper's")


def test_a_papers_table_needs_its_numbers(write: Write, base: Path) -> None:
    assert base.exists()
    path = write("own.yaml", OWN.replace("  title: Mine", "  title: Mine\n  paper: P"))
    fields = [line.split(": ")[1] for line in refusal(path).splitlines()]
    assert {"setting", "source", "confidence", "metric", "cells.0.printed"} <= set(fields)


class TestExtends:
    def test_what_is_inherited(self, own: Path, write: Write) -> None:
        assert own.exists()
        child = load_scale(write("child.yaml", "extends: own\nseeds: [5]\nset: {optim.lr: 0.3}\n"))
        assert (child.name, child.seeds, child.ablation) == ("child", (5,), "child")
        assert child.set == {"optim.epochs": 2, "optim.lr": 0.3}
        assert child.level is None, "of the base alone"
        found = expanded(Path("child.yaml"))
        assert found.members[-1].recipe.name == "child.high"
        assert found.members[-1].recipe.optim.lr == 0.3

    def test_from_another_folder(self, own: Path, write: Write) -> None:
        assert own.exists()
        path = write("far/away/child.yaml", "extends: ../../own\nseeds: [0, 1]\nname: own\n")
        assert expanded(path).members == expanded(own).members

    def test_a_table_near_the_base(self, write: Write, base: Path) -> None:
        assert base.exists()
        write("a/ablations/t.yaml", "grid: {optim.lr: [0.1, 0.2]}\n")
        scale = "ablation: t\nrecipe: ../base\nmetric: knn/top1\n"
        write("a/first.yaml", scale)
        path = write("b/child.yaml", "extends: ../a/first\nseeds: [3]\n")
        assert [m.cell for m in expanded(path).members] == ["untrained", "lr=0.1", "lr=0.2"]
        beside = write("c/table.yaml", "grid: {optim.lr: [0.1, 0.2]}\n")
        path = write("c/scale.yaml", scale.replace(": t", ": table"))
        assert beside.exists()
        assert len(expanded(path).members) == 3

    def test_other_seeds_need_other_looks(self, write: Write) -> None:
        path = write("mine.yaml", "extends: ablation_temperature_cpu\nseeds: [20, 21]\n")
        assert load_scale(shipped("recipes") / "ablation_temperature_cpu.yaml").looks
        assert load_scale(path).looks == ()
        theirs = write("theirs.yaml", "extends: ablation_temperature_cpu\n")
        assert load_scale(theirs).looks
        assert load_scale(theirs, ["seeds=[20, 21]"]).looks == ()

    def test_shipped_ones_by_name_from_any_folder(self, write: Write) -> None:
        path = write("mine.yaml", "extends: ablation_momentum_cpu\nseeds: [20]\ncells: [m0.9]\n")
        theirs = shipped("recipes") / "ablation_momentum_cpu.yaml"
        ours = {m.cell: m.recipe for m in expanded(path).members}
        assert ours.keys() == {"untrained", "m0.9"}
        other = {m.cell: m.recipe for m in expand(load_scale(theirs), theirs).members}
        same = other["m0.9"].model_copy(
            update={"name": "mine.m0.9", "seed": 20, "about": ours["m0.9"].about}
        )
        assert ours["m0.9"] == same
        assert load_scale(path).tuned_on, "seeds that tuned the base stay forbidden"
        recipe = load_recipe(write("one.yaml", "extends: moco_v2_imagenet\noptim: {lr: 0.1}\n"))
        assert (recipe.model.head, recipe.optim.lr) == ("mlp", 0.1)

    @pytest.mark.parametrize("beside", ["miniature_tables.yaml", "miniature_tables/own.yaml"])
    def test_what_is_inherited_stays_though_a_file_beside_has_its_name(
        self, write: Write, beside: str
    ) -> None:
        path = write("mine.yaml", "extends: ablation_momentum_cpu\nseeds: [20]\ncells: [m0.9]\n")
        before = expanded(path).members
        write(beside, BASE)
        assert expanded(path).members == before

    def test_a_file_beside_comes_before_a_shipped_one(self, write: Write) -> None:
        write("quickstart.yaml", BASE)
        assert load_recipe(write("a.yaml", "extends: quickstart\n")).optim.lr == 0.06

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "extends: base\nseeds: [1]\nablation: momentum\n",
                "a.yaml:1: extends: base.yaml is a",
            ),
            ("extends: a\nablation: m\n", "a.yaml:1: extends: a loop: a.yaml -> a.yaml"),
            ("extends: oown\nseeds: [1]\n", "a.yaml:1: extends: oown: no such file, did you mean"),
            ("extends: moco_v2_imagnet\n", "a.yaml:1: extends: moco_v2_imagnet: no such file"),
            ("extends: own\noptim: {lr: 1}\n", "a.yaml:2: optim: unknown field in an ablation"),
            ("extends: own\nset: {optim.lrr: 1}\n", "a.yaml:2: optim.lrr: unknown field"),
        ],
    )
    def test_refusals(self, own: Path, write: Write, text: str, message: str) -> None:
        assert own.exists()
        path = write("a.yaml", text)
        with pytest.raises(RecipeError) as caught:
            expand(load_scale(path), path)
        assert str(caught.value).startswith(message)

    def test_a_recipe_of_one_run_cannot_extend_one(self, own: Path, write: Write) -> None:
        path = write("a.yaml", f"extends: {own}\n")
        with pytest.raises(RecipeError, match="an ablation recipe"):
            load_recipe(path)


def test_every_shipped_ablation_recipe_can_be_extended(write: Write) -> None:
    for file in sorted(shipped("recipes").glob("ablation_*_quick.yaml")):
        path = write("child.yaml", f"extends: {file.stem}\n")
        assert scale_file(path).paths == (path, file)
        theirs = expand(load_scale(file), file)
        ours = expand(load_scale(path), path)
        assert ours.ablation == theirs.ablation
        assert [(m.cell, m.seed) for m in ours.members] == [
            (m.cell, m.seed) for m in theirs.members
        ]
