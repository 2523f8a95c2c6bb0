from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from harness.recipe.json_schema import render

ROOT = Path(harness.__file__).parent.parent
COMMITTED = sorted((ROOT / "recipes").glob("*.yaml"))
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


def test_list_names_what_is_invalid(moco: Any, tiny: Path) -> None:
    Path("wrong.yaml").write_text("name: [")
    said = moco("recipes", "list", ".")
    assert said.code == 0
    assert "wrong.yaml  invalid" in said.out
    assert str(tiny) in said.out


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
    assert moco("recipes", "diff", tiny, tiny).out == "the same, resolved\n"
    Path("other.yaml").write_text("extends: tiny.yaml\nname: tiny\noptim: {epochs: 7}\n")
    said = moco("recipes", "diff", tiny, "other.yaml")
    assert said.code == 0
    assert [line.split() for line in said.out.splitlines()[1:]] == [["optim.epochs", "2", "7"]]


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


def test_a_schema_that_cannot_be_written(moco: Any) -> None:
    said = moco("recipes", "schema", "--out", "none/schema.json")
    assert said.code == 4
    assert "none/schema.json: there is no such folder" in said.err


def test_every_committed_recipe_names_its_schema() -> None:
    for path in COMMITTED:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first == "# yaml-language-server: $schema=schema.json", path
