from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

import harness
from harness.cli import show
from harness.errors import DataError, RecipeError
from harness.recipe.json_schema import render

ROOT = Path(harness.__file__).parent.parent
COMMITTED = sorted((ROOT / "recipes").rglob("*.yaml"))
TABLES = sorted((ROOT / "ablations").glob("*.yaml"))


def test_every_committed_recipe_and_table_is_valid(moco: Any) -> None:
    assert len(COMMITTED) >= 8
    assert TABLES
    said = moco("recipes", "validate", *COMMITTED, *TABLES)
    assert (said.code, said.err) == (0, "")
    assert said.out.count(": valid, ") == len(COMMITTED) + len(TABLES)


def test_list(moco: Any) -> None:
    said = moco("recipes", "list", ROOT / "recipes")
    assert said.code == 0
    assert "invalid" not in said.out
    for path in COMMITTED:
        assert path.name in said.out


def test_list_of_all_that_go_by_their_names(moco: Any, tiny: Path) -> None:
    Path("recipes").mkdir()
    tiny.rename("recipes/mine.yaml")
    rows = moco("recipes", "list").out.splitlines()[1:]
    folder = ROOT / "recipes"
    named = [str(path.relative_to(folder).with_suffix("")) for path in COMMITTED]
    assert [row.split()[0] for row in rows] == sorted(["mine", *named])
    assert moco("recipes", "validate", "mine", "quickstart").code == 0
    assert yaml.safe_load(moco("recipes", "show", "mine.yaml").out)["name"] == "tiny"


def test_a_narrow_list_leaves_room_for_titles(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny.exists()
    wide = moco("recipes", "list").out
    assert "ablation recipe (momentum)" in wide
    monkeypatch.setattr(show.console, "width", 80)
    narrow = moco("recipes", "list").out
    assert "ablation recipe (" not in narrow
    assert "…" not in narrow
    assert len(narrow.splitlines()) < 3 * len(wide.splitlines())


def test_a_narrow_diff_cuts_no_field(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("other.yaml").write_text(f"extends: {tiny}\naugment: {{grayscale_first: false}}\n")
    monkeypatch.setattr(show.console, "width", 60)
    said = moco("recipes", "diff", tiny, "other.yaml").out
    assert "augment.grayscale_first" in said
    assert "…" not in said


def test_list_names_what_is_invalid(moco: Any, tiny: Path) -> None:
    Path("wrong.yaml").write_text("name: [")
    said = moco("recipes", "list", ".")
    assert said.code == 0
    assert "wrong.yaml  invalid" in said.out
    assert str(tiny) in said.out


def test_list_of_tables(moco: Any) -> None:
    said = moco("recipes", "list", ROOT / "ablations")
    assert "paper's table  Momentum of the key encoder" in said.out
    assert "invalid" not in said.out


def test_list_of_a_folder_without_recipes(moco: Any) -> None:
    said = moco("recipes", "list", ".")
    assert (said.code, said.out) == (0, ".: contains no recipes (.yaml files)\n")


@pytest.mark.parametrize("words", [["list", ROOT / "recipes"], ["diff", "tiny.yaml", "long.yaml"]])
def test_a_pipe_gets_a_row_in_a_line(tiny: Path, words: list[object]) -> None:
    name = "x" * 70
    changed = f"extends: {tiny}\nname: {name}\nabout: {{title: {name} {name}}}\n"
    Path("long.yaml").write_text(changed)
    command = [sys.executable, "-m", "harness.cli", "recipes", *map(str, words)]
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    rows = len(COMMITTED) if words[0] == "list" else len(["name", "about.title"])
    assert len(done.stdout.splitlines()) == 1 + rows


@pytest.mark.parametrize("folder", ["none", "tiny.yaml"])
@pytest.mark.usefixtures("tiny")
def test_list_of_no_folder(moco: Any, folder: str) -> None:
    said = moco("recipes", "list", folder)
    assert said.code == 2
    assert f"{folder}: no such folder" in said.err


def test_show_is_the_resolved_recipe_and_can_be_run_again(moco: Any, tiny: Path) -> None:
    said = moco("recipes", "show", tiny, "--set", "optim.lr=0.5", "--set", "seed=3")
    shown = yaml.safe_load(said.out)
    assert (said.code, shown["optim"]["lr"], shown["seed"]) == (0, 0.5, 3)
    assert shown["linear"]["factor"] == 0.1, "defaults are filled in"
    Path("shown.yaml").write_text(said.out)
    again = moco("recipes", "diff", "shown.yaml", tiny)
    assert "optim.lr" in again.out
    assert "optim.batch" not in again.out
    assert moco("recipes", "validate", "shown.yaml").code == 0


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_show_of_every_committed_recipe(moco: Any, path: Path) -> None:
    said = moco("recipes", "show", path)
    assert said.code == 0
    assert yaml.safe_load(said.out)["name"] == path.stem


def test_diff(moco: Any, tiny: Path) -> None:
    same = moco("recipes", "diff", tiny, tiny)
    assert (same.code, len(same.out.splitlines())) == (0, 1)
    Path("other.yaml").write_text("extends: tiny.yaml\nname: tiny\noptim: {epochs: 7}\n")
    said = moco("recipes", "diff", tiny, "other.yaml")
    assert said.code == 0
    assert [line.split() for line in said.out.splitlines()[1:]] == [
        ["optim.epochs", "epochs", "2", "7"]
    ]


def test_diff_of_ablation_recipes(moco: Any, tiny: Path) -> None:
    one, other = Path("one.yaml"), Path("other.yaml")
    text = f"ablation: momentum\nrecipe: {tiny}\ncells: [m0.9]\nseeds: [0]\nmargin: 1\n"
    one.write_text(f"{text}metric: knn/top1\n")
    other.write_text(f"{text}metric: knn/top1\nset: {{optim.epochs: 1}}\n")
    said = moco("recipes", "diff", one, other)
    assert said.code == 0
    assert "optim.epochs" in said.out
    assert "seeds" not in said.out
    said = moco("recipes", "diff", one, tiny)
    assert said.code == 2
    assert "one.yaml:1: this is an ablation recipe" in said.err


def test_diff_speaks_yaml(moco: Any, tiny: Path) -> None:
    Path("other.yaml").write_text(
        "extends: tiny.yaml\nname: tiny\nknn: {k: [20, 5], queries: null}\nlinear: null\n"
        "contrast: {shuffle: false}\noptim: {lr: 1e-5, schedule: {kind: cosine}}\n"
    )
    head, *lines = moco("recipes", "diff", tiny, "other.yaml").out.splitlines()
    at = head.index("tiny.yaml")
    found = {
        line.split("  ")[0]: [cell.strip() for cell in line[at:].split("  ") if cell.strip()]
        for line in lines
    }
    linear = found.pop("linear")
    assert yaml.safe_load(linear[0])["lr"] == [1.0]
    assert linear[1] == "null"
    assert found == {
        "contrast.shuffle": ["true", "false"],
        "optim.lr": ["0.06", "1.0e-05"],
        "optim.schedule.kind": ["constant", "cosine"],
        "optim.schedule.first": ["(no such field)", "0"],
        "optim.schedule.start": ["(no such field)", "0"],
        "knn.k": ["[5]", "[20, 5]"],
        "knn.queries": ["100", "null"],
    }


def test_diff_with_an_ablation(moco: Any, tiny: Path) -> None:
    said = moco("recipes", "diff", tiny, ROOT / "recipes" / "quickstart.yaml")
    assert said.code == 2
    assert "quickstart.yaml" in said.err


def test_validate_names_all_mistakes_of_all_files(moco: Any, tiny: Path) -> None:
    text = tiny.read_text()
    Path("one.yaml").write_text(text.replace("  lr: 0.06", "  lr: fast"))
    Path("two.yaml").write_text(text.replace("schedule:", "shedule:"))
    said = moco("recipes", "validate", "one.yaml", tiny, "two.yaml", "none.yaml")
    assert said.code == 2
    assert "tiny.yaml: valid, 1 run\n" in said.out
    errors = said.err.splitlines()
    assert all(line.startswith("error: ") for line in errors)
    assert any("one.yaml:9: optim.lr" in line for line in errors)
    assert any("two.yaml:10: optim.shedule" in line and "schedule" in line for line in errors)
    assert any("none.yaml" in line for line in errors)


def test_the_committed_schema_is_current(moco: Any, place: Path) -> None:
    """If not: moco-harness recipes schema --out recipes/schema.json"""
    said = moco("recipes", "schema")
    assert said.out == render()
    assert json.loads(said.out)["title"] == "moco-harness recipe"
    assert moco("recipes", "schema", "--out", "schema.json").code == 0
    written = (place / "schema.json").read_text(encoding="utf-8")
    assert written == render()
    assert (ROOT / "recipes" / "schema.json").read_text(encoding="utf-8") == written
    assert moco("recipes", "schema", "--out", "schema.json").code == 0, "it is renewed"


def test_a_schema_replaces_nothing_else(moco: Any, tiny: Path) -> None:
    text = tiny.read_text()
    said = moco("recipes", "schema", "--out", tiny)
    assert (said.code, tiny.read_text()) == (2, text)
    assert "tiny.yaml: exists" in said.err


def test_a_schema_that_cannot_be_written(moco: Any) -> None:
    said = moco("recipes", "schema", "--out", "none/schema.json")
    assert said.code == 4
    assert "none/schema.json: " in said.err


def test_every_committed_recipe_names_its_schema() -> None:
    for path in COMMITTED:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        up = "../" * (len(path.relative_to(ROOT / "recipes").parts) - 1)
        assert first == f"# yaml-language-server: $schema={up}schema.json", path


def test_new_says_what_it_found_and_a_command_that_works(moco: Any, place: Path) -> None:
    for n in range(144):
        path = place / "my photos" / ("deep" if n % 2 else "") / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(path)
    said = moco("recipes", "new", "my.yaml", "--images", "my photos", "--watch", "embedded")
    assert said.code == 0
    assert "144 images" in said.out
    planned = shlex.split(said.out.splitlines()[-1].removeprefix("next: "))
    assert planned[0] == "moco-harness"
    plan = moco(*planned[1:])
    assert plan.code == 0
    assert str(place / "my photos") in plan.out
    assert "warning" not in plan.out
    assert moco("recipes", "validate", "my.yaml").code == 0
    again = moco("recipes", "new", "my.yaml", "--images", "my photos")
    assert again.code == RecipeError.exit_code
    none = moco("recipes", "new", "other.yaml", "--images", "none")
    assert none.code == DataError.exit_code
    assert not Path("other.yaml").exists()
