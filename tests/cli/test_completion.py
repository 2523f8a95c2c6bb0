"""Completion as the shell asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.recipe.schema import Recipe
from harness.store.layout import StageFolder

HEAVY = ("harness.recipe.schema", "harness.site", "torch", "numpy", "wandb")


def completed(*words: str, **env: str) -> list[str]:
    """What bash offers for the last word."""
    asked = {
        "_MOCO_HARNESS_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("moco-harness", *words)),
        "COMP_CWORD": str(len(words)),
        "HOME": os.getcwd(),  # noqa: PTH109
        **env,
    }
    loads = f"[m for m in {HEAVY} if m in sys.modules]"
    code = (
        "import atexit, sys; sys.argv = ['moco-harness']; "
        f"atexit.register(lambda: print({loads}, file=sys.stderr)); "
        "from harness.cli import main; main()"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(harness.__file__).parents[1])} | asked
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )
    assert done.stderr == "[]\n"
    return done.stdout.split()


def test_recipes_by_name_and_by_file(place: Path) -> None:
    (place / "recipes").mkdir()
    (place / "recipes" / "my_own.yaml").touch()
    (place / "my_file.yaml").touch()
    assert {"ablation_momentum", "ablation_momentum_cpu"} <= set(completed("plan", "ablation_mo"))
    assert completed("run", "my_") == ["my_own", "my_file.yaml"]
    assert completed("recipes", "show", "recipes/my") == ["recipes/my_own.yaml"]
    assert completed("recipes", "show", "recipes/") == ["recipes/my_own.yaml"]


def test_fields_of_a_recipe_and_of_an_ablation(place: Path) -> None:
    assert place.exists()
    found = completed("plan", "moco_v2_imagenet", "--set", "")
    sections = {each.partition(".")[0].rstrip("=") for each in found}
    assert {"optim.lr=", "contrast.queue=", "knn.k=", "seed="} <= set(found)
    assert sections <= set(Recipe.model_fields)
    assert "seeds=" not in found
    of_table = completed("plan", "ablation_momentum_cpu", "--set", "")
    assert set(of_table) == {
        *found,
        *(f"{each}=" for each in ("seeds", "max_seeds", "cells", "margin", "metric", "control")),
    }


def test_only_recipes_are_read_for_their_fields(place: Path) -> None:
    """Weights may be large, and a pipe gives nothing until somebody writes."""
    for name in ("table.yaml", "weights.pth"):
        (place / name).write_text("ablation: momentum\n")
    os.mkfifo(place / "pipe.yaml")
    assert "seeds=" in completed("plan", "table.yaml", "--set", "")
    assert "seeds=" not in completed("evaluate", "weights.pth", "--set", "")
    assert "seeds=" not in completed("plan", "pipe.yaml", "--set", "")


@pytest.mark.parametrize("words", [("--runs", "elsewhere"), ()])
def test_stages_of_the_run_root(place: Path, words: tuple[str, ...]) -> None:
    ids = [f"tiny-s{n}.pretrain-0123456789" for n in range(2)]
    for id_ in ids:
        StageFolder(place / "elsewhere" / id_).create({})
    (place / "elsewhere" / "reports").mkdir()
    (place / ".config" / "moco-harness").mkdir(parents=True)
    (place / ".config/moco-harness/site.yaml").write_text("runs: elsewhere  # here\n")
    assert completed("logs", *words, "") == ids
    assert completed("cancel", *words, "tiny-s") == ["tiny-s0", "tiny-s1"]
    assert completed("cancel", *words, "tiny-s1") == [ids[1]]


def test_launchers(place: Path) -> None:
    assert place.exists()
    assert completed("run", "quickstart", "--on", "") == ["auto", "here", "local", "slurm"]
    assert completed("sweep", "quickstart", "--on", "l") == ["local"]


def test_a_wrong_line_is_completed_in_silence(place: Path) -> None:
    assert place.exists()
    assert "optim.lr=" in completed("plan", "no-such-recipe", "--set", "optim.l")
    assert completed("logs", "--runs", "nowhere", "") == []
