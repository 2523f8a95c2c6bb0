from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.methods.moco.config import Moco
from harness.recipe.ablation import Scale
from harness.recipe.load import load, load_ablation, load_recipe, load_scale
from harness.recipe.optim import Steps
from harness.recipe.schema import Recipe

from .conftest import BASE, Write

SCALE = "ablation: momentum\nrecipe: base.yaml\nmetric: knn/top1\nset: {optim.lr: 0.5}\n"


def refusal(path: Path, *sets: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load(path, sets)
    return str(caught.value)


def test_a_minimal_recipe(base: Path) -> None:
    recipe = load_recipe(base)
    assert recipe.knn is not None
    assert (recipe.name, recipe.optim.lr, recipe.knn.k) == ("base", 0.06, (200,))
    assert load(base) == recipe


def test_the_name_is_the_stem_by_default(write: Write) -> None:
    text = BASE.removeprefix("name: base\n")
    assert load_recipe(write("quickstart.yaml", text)).name == "quickstart"
    assert refusal(write("Quick Start.yaml", text)).startswith(
        "Quick Start.yaml:1: name: needs lower-case letters"
    )


class TestExtends:
    def test_child_wins_and_the_rest_is_inherited(self, base: Path, write: Write) -> None:
        child = load_recipe(
            write("sub/child.yaml", "extends: ../base.yaml\noptim:\n  lr: 1e-2\nlinear: null\n")
        )
        plain = load_recipe(base)
        assert child.optim.lr == 0.01
        assert child.linear is None
        assert child.name == "child"
        assert child.optim.schedule == plain.optim.schedule
        assert child.contrast == plain.contrast

    def test_about_and_name_are_not_inherited(self, write: Write) -> None:
        write("base.yaml", BASE + "about: {title: Base, notes: [a]}\nseed: 3\n")
        write("middle.yaml", "extends: base.yaml\nname: mid\nabout: {title: Middle}\n")
        child = load_recipe(write("child.yaml", "extends: middle.yaml\nabout: {source: s}\n"))
        assert child.name == "child"
        assert (child.about.title, child.about.source, child.about.notes) == ("", "s", ())
        assert child.seed == 3

    def test_another_kind_replaces_the_schedule_whole(self, base: Path, write: Write) -> None:
        child = write(
            "child.yaml",
            f"extends: {base}\noptim:\n  schedule: {{kind: step, drops: [2, 5]}}\n",
        )
        assert load_recipe(child).optim.schedule == Steps(kind="step", drops=(2, 5))

    def test_errors_stand_where_the_value_stands(self, write: Write) -> None:
        write("base.yaml", BASE.replace("0.06", "fast").replace("  batch: 256\n", ""))
        child = write("child.yaml", "extends: base.yaml\n\noptim: {epochs: -1}\nquue: 3\n")
        places = ["base.yaml:6: optim.batch: ", "base.yaml:8: optim.lr: "]
        places += ["child.yaml:3: optim.epochs: ", "child.yaml:4: quue: "]
        for line, place in zip(refusal(child).splitlines(), places, strict=True):
            assert line.startswith(place)

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"a": "extends: a.yaml"}, "a.yaml:1: extends: a loop: a.yaml -> a.yaml"),
            (
                {"a": "seed: 1\nextends: b.yaml", "b": "extends: ./c.yaml", "c": "extends: b.yaml"},
                "c.yaml:1: extends: a loop: a.yaml -> b.yaml -> c.yaml -> b.yaml",
            ),
            (
                {"a": "seed: 1\nextends: quikstart.yaml", "quickstart": BASE},
                "a.yaml:2: extends: quikstart.yaml: ",
            ),
            (
                {"a": "extends: no/where.yaml"},
                "a.yaml:1: extends: no/where.yaml: ",
            ),
            ({"a": "extends: [b.yaml]"}, "a.yaml:1: extends: "),
            ({"a": "extends:"}, "a.yaml:1: extends: "),
            ({"a": "extends: ."}, "a.yaml:1: extends: .: a folder"),
            ({"a": "extends: b.yaml", "b": "x: ["}, "b.yaml:1: "),
            ({"a": "extends: b.yaml\noptim: {lr: 1}", "b": SCALE}, "a.yaml:2: optim: "),
        ],
    )
    def test_bad_bases(self, write: Write, files: dict[str, str], message: str) -> None:
        for name, text in files.items():
            write(f"{name}.yaml", text)
        assert refusal(Path("a.yaml")).startswith(message)

    def test_a_shipped_recipe_with_an_ending_is_told_by_its_name(self, write: Write) -> None:
        write("a.yaml", "extends: moco_v2_imagenet.yaml")
        assert refusal(Path("a.yaml")).endswith(": moco_v2_imagenet")

    def test_a_long_chain(self, base: Path, write: Write) -> None:
        write("c0.yaml", base.read_text())
        for n in range(1, 300):
            write(f"c{n}.yaml", f"extends: c{n - 1}.yaml\nseed: {n}\n")
        assert load_recipe(Path("c299.yaml")).seed == 299


class TestSet:
    def test_values_are_read_by_the_rules_of_the_files(self, base: Path) -> None:
        recipe = load_recipe(
            base,
            [
                "linear=null",
                "knn.k=[20, 200]",
                "optim.lr=1e-2",
                "contrast.shuffle=false",
                "name=other",
                "about.title=a = b",
                "optim.lr = 2e-2",
            ],
        )
        assert recipe.linear is None
        assert recipe.knn is not None
        assert recipe.knn.k == (20, 200)
        assert recipe.optim.lr == 0.02
        assert isinstance(recipe.contrast, Moco)
        assert recipe.contrast.shuffle is False
        assert (recipe.name, recipe.about.title) == ("other", "a = b")

    def test_a_kind_and_what_it_needs_come_in_any_order(self, base: Path) -> None:
        for sets in (
            ["optim.schedule.kind=step", "optim.schedule.drops=[3]"],
            ["optim.schedule.drops=[3]", "optim.schedule.kind=step"],
            ["optim.schedule={kind: step, drops: [3]}"],
        ):
            assert load_recipe(base, sets).optim.schedule == Steps(kind="step", drops=(3,))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("optim.lrr=1", "--set optim.lrr=1: optim.lrr: "),
            ("optm.lr=1", "--set optm.lr=1: optm: "),
            ("data.name.x=1", "--set data.name.x=1: data.name: "),
            ("optim.lr=fast", "--set optim.lr=fast: optim.lr: "),
            ("optim.lr=yes", "--set optim.lr=yes: optim.lr: "),
            ("optim.lr=012", "--set optim.lr=012: 012 "),
            ("optim.lr=[1", "--set optim.lr=[1: "),
            ("optim.lr=*a", "--set optim.lr=*a: optim.lr: "),
            ("optim.lr=[*a]", "--set optim.lr=[*a]: aliases"),
            ("optim={lr: 1, lr: 2}", "--set optim={lr: 1, lr: 2}: lr: "),
            ("optim.lr", "--set optim.lr: "),
            ("optim.lr=", "--set optim.lr=: "),
            ("=3", "--set =3: '' "),
            ("optim..lr=3", "--set optim..lr=3: 'optim..lr' "),
            ("extends=x.yaml", "--set extends=x.yaml: extends: "),
            ("optim.batch=48", "base.yaml:4: model.bn_group: 32 does not divide optim.batch 48"),
            ("contrast.queue=64", "--set contrast.queue=64: contrast.queue: 64 "),
            ("a\udcff=1\n", r"--set a\udcff=1\n: 'a\udcff' "),
            ("a=\udcff", r"--set a=\udcff: the character U+DCFF"),
        ],
    )
    def test_refusals(self, base: Path, text: str, message: str) -> None:
        assert refusal(base, text).startswith(message)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("optim.epochs=3.0", "optim.epochs=3"),
        ("linear=None", "linear=null"),
        ("tasks.fine.labels=1.0", ""),  # all labels, and not one image a class
    ],
)
def test_another_form_is_offered_where_it_means_the_same(
    base: Path, text: str, instead: str
) -> None:
    fine = "tasks.fine={kind: finetune, epochs: 1, batch: 8, lr: 0.1, schedule: {kind: constant}}"
    with pytest.raises(RecipeError) as caught:
        load(base, [fine, text])
    assert caught.value.instead == ({text: instead} if instead else {})


def test_a_target_of_a_probe_has_no_epoch(base: Path) -> None:
    target = "about.targets=[{metric: %s, value: 50, tolerance: 1, epoch: 3, source: me}]"
    (kept,) = load_recipe(base, [target % "knn/top1"]).about.targets
    assert kept.epoch == 3
    said = refusal(base, target % "linear/top1")
    assert "targets.0.epoch: " in said


class TestScale:
    def test_told_by_its_key(self, write: Write) -> None:
        path = write("abl.yaml", SCALE)
        scale = load(path)
        assert isinstance(scale, Scale)
        assert scale == load_scale(path)
        assert (scale.name, scale.seeds, scale.set) == ("abl", (0,), {"optim.lr": 0.5})

    def test_set_goes_to_the_scale_or_to_its_recipes(self, write: Write) -> None:
        scale = load_scale(
            write("abl.yaml", SCALE),
            ["seeds=[0, 1]", "control=false", "optim.epochs=2", "optim.lr=1", "name=n"],
        )
        assert (scale.name, scale.seeds, scale.control) == ("n", (0, 1), False)
        assert scale.set == {"optim.epochs": 2, "optim.lr": 1}

    def test_set_without_a_set_in_the_file(self, write: Write) -> None:
        path = write("abl.yaml", SCALE.replace("set: {optim.lr: 0.5}\n", ""))
        assert load_scale(path, ["optim.epochs=2"]).set == {"optim.epochs": 2}

    def test_a_scale_whose_science_is_set_is_one_of_its_own(self, write: Write) -> None:
        path = write("abl.yaml", SCALE + "level: paper\n")
        assert load_scale(path).level == "paper"
        assert load_scale(path, ["seeds=[1]", "watch.log_steps=5"]).level == "paper"
        assert load_scale(path, ["optim.lr=1"]).level is None

    @pytest.mark.parametrize(
        ("text", "sets", "message"),
        [
            (SCALE, ["seeds=3"], "--set seeds=3: seeds: needs a list, found 3: write [3]"),
            (SCALE + "seeds: [1, 1]", [], "abl.yaml:5: seeds: "),
            (SCALE + "margn: 3", [], "abl.yaml:5: margn: unknown field, did you mean margin?"),
            ("ablation: m\nset: 3", ["optim.lr=1"], "abl.yaml:1: recipe: missing field"),
            (SCALE + "extends: b.yaml", [], "abl.yaml:5: extends: b.yaml: no such file"),
        ],
    )
    def test_refusals(self, write: Write, text: str, sets: list[str], message: str) -> None:
        assert refusal(write("abl.yaml", text), *sets).startswith(message)


def test_a_file_of_another_kind(base: Path, write: Write) -> None:
    scale = write("abl.yaml", SCALE)
    table = write("table.yaml", "title: t\naxis: m\ncells: []\nclaims: []\n")
    refused: list[tuple[Callable[[Path], object], Path, str]] = [
        (load_recipe, scale, "ablation, recipe, set"),
        (load_scale, base, "augment, contrast"),
        (load_ablation, base, "augment, contrast"),
        (load, table, "axis, claims, title"),
    ]
    for loader, path, fields in refused:
        with pytest.raises(RecipeError) as caught:
            loader(path)
        assert str(caught.value).startswith(f"{path.name}:1: ")
        assert fields in str(caught.value)


def test_loading_needs_no_torch() -> None:
    code = (
        "import sys, harness.recipe.load, harness.recipe.expand, harness.recipe.json_schema;"
        "sys.exit(sorted({'torch', 'numpy', 'wandb', 'submitit'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_recipe_is_frozen(base: Path) -> None:
    recipe = load(base)
    assert isinstance(recipe, Recipe)
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]
