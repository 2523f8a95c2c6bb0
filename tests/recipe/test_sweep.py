"""Settings with several values, as an ablation recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.recipe.expand import expand
from harness.recipe.load import load_scale
from harness.recipe.sweep import LONGEST, Sweep, sweep, values_of

from .conftest import BASE, Write

LR = "optim.lr=0.1,0.2"


def refusal(path: Path, *sets: str, name: str = "") -> str:
    with pytest.raises(RecipeError) as caught:
        sweep(path, sets, name=name)
    return str(caught.value)


def written(made: Sweep) -> Path:
    path = Path(f"{made.name}.yaml")
    path.write_text(made.text("a command"))
    return path


def test_its_file_is_an_ablation_recipe_that_says_the_same(base: Path) -> None:
    made = sweep(base, [LR, "contrast.queue=256,512", "optim.epochs=3"], [0, 1])
    assert (made.name, made.cells, made.runs) == ("base-lr-queue", 4, 8)
    path = written(made)
    scale = load_scale(path)
    assert scale == made.scale
    assert (scale.seeds, scale.set, scale.level) == ((0, 1), {"optim.epochs": 3}, None)
    expansion = expand(scale, path)
    assert expansion == expand(made.scale, path, made.file)
    assert len(expansion.members) == 10, "the untrained network beside four cells"
    of = {m.cell: m.recipe for m in expansion.members}["lr=0.2-queue=256"]
    assert (of.optim.lr, of.optim.epochs) == (0.2, 3)
    assert not expansion.ablation.of_paper


def test_bases_are_merged_and_the_seed_is_the_recipes(base: Path, write: Write) -> None:
    child = write("deep/child.yaml", f"extends: ../{base}\nseed: 7\ncontrast: {{momentum: 0.5}}\n")
    made = sweep(child, [LR])
    assert made.seeds == (7,)
    for member in expand(made.scale, child, made.file).members:
        assert member.seed == 7
        assert member.recipe.model_dump()["contrast"]["momentum"] == 0.5


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2", ["1", "2"]),
        ("1", ["1"]),
        ("[1, 2],[3]", ["[1, 2]", "[3]"]),
        ("{a: [1, 2], b: 3},{a: [1]}", ["{a: [1, 2], b: 3}", "{a: [1]}"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ('["a]",b],c', ['["a]",b]', "c"]),
        ("it's,b", ["it's", "b"]),
        ("'it''s, ok',b", ["'it''s, ok'", "b"]),
        (r'"a\",b",c', [r'"a\",b"', "c"]),
        ("'',b", ["''", "b"]),
        (" 1 , 2 ", ["1", "2"]),
        ("1,", ["1", ""]),
    ],
)
def test_commas_in_brackets_and_quotes_separate_nothing(text: str, values: list[str]) -> None:
    assert values_of(text, "--set x") == values


def test_lists_and_sections_are_values(base: Path) -> None:
    made = sweep(base, ["linear.lr=[30.0, 10.0],[10.0]", "knn.k=[5]"])
    assert made.grid == {"linear.lr": [[30.0, 10.0], [10.0]]}
    assert made.settings == {"knn.k": [5]}
    made = sweep(base, ["optim.schedule={kind: cosine},{kind: constant}"])
    assert [
        m.cell for m in expand(made.scale, base, made.file).members if m.cell != "untrained"
    ] == [
        "schedule=cosine",
        "schedule=constant",
    ]


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["optim.lrr=0.1,0.2"], "--set optim.lrr=0.1: optim.lrr: unknown field, did you mean lr?"),
        (["optim.lr=0.1,abc"], "--set optim.lr=abc: optim.lr: needs a number"),
        (["optim.epochs=1,1.5"], "--set optim.epochs=1.5: optim.epochs: needs a whole number"),
        (["optim.lr=0.1,1e-1"], "--set optim.lr=0.1,1e-1: 0.1 is given twice"),
        (["optim.lr=0.1,0.1"], "--set optim.lr=0.1,0.1: 0.1 is given twice"),
        (["optim.lr="], "--set optim.lr=: "),
        (["optim.lr"], "--set optim.lr: "),
        (["optim.lr=,"], "--set optim.lr=,: a value is empty"),
        (["optim.lr=0.1,[0.2"], "--set optim.lr=0.1,[0.2: ] is missing"),
        (["optim.lr=[0.1,0.2]"], "--set optim.lr=[0.1,0.2]: optim.lr: needs a number"),
        ([LR, "optim.lr=3"], "--set optim.lr=3: optim.lr is set twice"),
        (["seed=1,2"], "--set seed=1,2: seed: name seeds with --seeds"),
        (["name=a,b"], "--set name=a,b: name: name the sweep with --name"),
        (["about={title: a}", LR], "--set about={title: a}: about: "),
        (["watch.log_steps=1,2"], "--set watch.log_steps=1,2: watch.log_steps decides no result"),
        (["optim.lr=0.1"], "nothing to sweep"),
        ([], "nothing to sweep"),
    ],
)
def test_refusals_name_the_option(base: Path, sets: list[str], message: str) -> None:
    assert refusal(base, *sets).startswith(message)


def test_a_text_that_decides_nothing_may_have_commas(base: Path) -> None:
    made = sweep(base, [LR, "about.title=Low, and high"])
    assert made.scale.about.title == "Low, and high"


def test_a_list_meant_as_several_values_is_rewritten(base: Path) -> None:
    assert refusal(base, "optim.lr=[0.1,0.2]").endswith("write --set optim.lr=0.1,0.2")
    assert "write --set" not in refusal(base, "optim.lr=[0.1,no]")


def test_values_that_mean_the_same_recipe(base: Path) -> None:
    said = refusal(base, "optim.schedule={kind: cosine},{kind: cosine, first: 1}")
    assert said.startswith("--set optim.schedule={kind: cosine, first: 1}: optim.schedule: ")
    assert "the same recipe" in said


def test_a_contradiction_with_the_recipe_names_the_option(base: Path) -> None:
    said = refusal(base, "optim.batch=256,250")
    assert said.startswith("base.yaml:4: model.bn_group: ")
    assert said.endswith("(with --set optim.batch=250)")


def test_values_that_fit_only_together(base: Path) -> None:
    groups = ["model.bn_group=16,48", "contrast.queue=960"]
    assert sweep(base, ["optim.batch=96,192", *groups]).cells == 4
    wrong = sweep(base, ["optim.batch=96,64", *groups])
    with pytest.raises(RecipeError, match=r"batch=64-bn_group=48"):
        expand(wrong.scale, base, wrong.file)


def test_what_describes_the_sweep(base: Path, write: Write) -> None:
    child = write("child.yaml", f"extends: {base}\nabout: {{accept: [knn-k]}}\n")
    assert sweep(child, [LR]).scale.about.accept == ("knn-k",)
    about = sweep(child, [LR, "about.title=Mine", "about.accept=[rate-for-batch]"]).scale.about
    assert (about.title, about.accept) == ("Mine", ("rate-for-batch",))
    wrong = sweep(child, [LR, "about.titel=Mine"])
    with pytest.raises(RecipeError, match=r"^--set about.titel=Mine: about.titel: unknown field"):
        expand(wrong.scale, child, wrong.file)


def test_an_ablation_recipe_is_no_recipe_to_sweep(base: Path, write: Write) -> None:
    scale = write("abl.yaml", f"ablation: momentum\nrecipe: {base}\nmetric: knn/top1\n")
    said = refusal(scale, LR)
    assert "base.yaml" in said
    assert "extends: abl" in said


@pytest.mark.parametrize("name", ["A", "a b", "../a", "x" * (LONGEST + 1)])
def test_names_that_no_run_can_have(base: Path, name: str) -> None:
    assert refusal(base, LR, name=name).startswith(f"--name {name}: ")


def test_a_long_recipes_name(write: Write) -> None:
    long = write("long.yaml", BASE.replace("name: base", f"name: {'x' * 60}"))
    made = sweep(long, [LR])
    assert len(made.name) == LONGEST
    expand(made.scale, long, made.file)
