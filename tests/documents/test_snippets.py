"""What the documents show works: shell, YAML and Python, unless a block is marked `no-test`.

A block is marked, as in ```bash no-test, if it takes minutes, a cluster, the network or data. Its
commands must exist all the same, with the options that it gives them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

from documents.commands import commands_in, sessions, wrong
from documents.markdown import ROOT, Block, blocks, documents, spans, written
from harness.command import PROGRAM
from harness.errors import RecipeError
from harness.recipe.ablation import Scale
from harness.recipe.expand import expand
from harness.recipe.load import load, load_ablation, load_list
from harness.recipe.schema import Recipe
from harness.site import load_site, site_file

SHELL = {"bash", "sh", "shell", "console", ""}
HARMLESS = {PROGRAM, "cat", "cd", "cp", "echo", "head", "ls", "mkdir"}
"""The programs that a test may run: a block with another one needs the mark."""

HISTORY = Path("CHANGELOG.md")
"""What it tells of commands was so then."""


def found(*languages: str, tested: bool) -> list[Block]:
    return [
        block
        for document in written()
        for block in blocks(document, (ROOT / document).read_text(encoding="utf-8"))
        if block.language in languages and block.tested == tested
    ]


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A copy of recipes/, with ablations/ beside it."""
    for folder in ("recipes", "ablations"):
        shutil.copytree(ROOT / folder, tmp_path / "checkout" / folder)
    return tmp_path / "checkout" / "recipes"


@pytest.fixture
def checkout(block: Block, recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a reader is: among the files that the block names, with `moco-harness` and a home."""
    if "reports/" in block.text:
        shutil.copytree(ROOT / "reports", recipes.parent / "reports")
    for n in range(144 if "photos" in block.text else 0):
        path = recipes.parent / "photos" / ("2020" if n % 2 else "") / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (n, n, n)).save(path)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / PROGRAM).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness.cli "$@"\n')
    (programs / PROGRAM).chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(recipes.parent)


@pytest.mark.parametrize("block", found("bash", "sh", "shell", tested=True), ids=str)
@pytest.mark.usefixtures("checkout")
def test_a_shell_block_runs(block: Block) -> None:
    others = {words[0] for words in commands_in(block.text) if words} - HARMLESS
    assert not others, f"mark this block as `bash no-test`, as it runs {sorted(others)}"
    words = ["bash", "-euo", "pipefail", "-c", block.text]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", found("python", tested=True), ids=str)
@pytest.mark.usefixtures("checkout")
def test_a_python_block_runs(block: Block) -> None:
    words = [sys.executable, "-c", block.text]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", found("python", tested=False), ids=str)
def test_a_python_block_that_is_not_run_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


def accept(text: str, recipes: Path) -> None:
    """Load what a YAML block shows: a site file, a recipe of any kind or a part of one, a list.

    Args:
        text: the block.
        recipes: a copy of the folder, with ablations/ beside it, which the file is written into.

    Raises:
        RecipeError: the file is wrong, or of no known kind.
    """
    said = yaml.safe_load(text)
    keys = set(said) if isinstance(said, dict) else set()
    if "recipes" in keys:
        load_list(_put(recipes / "lists", text))
    elif "claims" in keys:
        load_ablation(_put(recipes.parent / "ablations", text))
    elif keys & {"extends", "name", "ablation"}:
        made = load(path := _put(recipes, text))
        if isinstance(made, Scale):
            expand(made, path)  # reads the ablation, its own or a file's
    elif keys and keys <= set(site_file().model_fields) and not isinstance(said.get("data"), dict):
        load_site(site=_put(recipes.parent, text))
    elif keys and keys <= set(Recipe.model_fields):
        load(_put(recipes, f"extends: miniature_embedded.yaml\n{text}"))
    else:
        raise RecipeError("neither a site file nor a recipe or list: mark it as `yaml no-test`")


def _put(folder: Path, text: str) -> Path:
    path = folder / "snippet.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("block", found("yaml", tested=True), ids=str)
def test_a_yaml_block_is_accepted(block: Block, recipes: Path) -> None:
    accept(block.text, recipes)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command in a block or between backquotes, and where it is."""
    for document in documents():
        if document == HISTORY:
            continue
        text = (ROOT / document).read_text(encoding="utf-8")
        for block in blocks(document, text):
            if block.language in SHELL:
                for words in commands_in(block.text if block.language else _lines(block.text)):
                    yield str(block), words
        for span in spans(text):
            if span.startswith((f"{PROGRAM} ", "nox ", "python ", "torchrun ")):
                for words in commands_in(span):
                    yield f"{document}: `{span}`", words


def _lines(text: str) -> str:
    """The commands of a block without a language, which may hold anything else."""
    return "\n".join(
        line for line in text.splitlines() if f"{PROGRAM} " in line and "# " not in line
    )


def test_every_command_exists_with_its_options() -> None:
    seen = list(commands())
    assert [f"{where}: {said}" for where, words in seen if (said := wrong(words))] == []
    assert sum(PROGRAM in words for _, words in seen) > 10


@pytest.mark.parametrize(
    "line",
    [
        "moco-harness none",
        "moco-harness recipes none",
        "moco-harness plan R --none",
        "moco-harness plan R S",
        "moco-harness report R --compare A",
        "cd x && moco-harness plan --runs | tee",
        "nox -s lint none",
        "python -m harness.none",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    assert any(wrong(words) for words in commands_in(line))


@pytest.mark.parametrize(
    "line",
    [
        "moco-harness plan RECIPE --set optim.epochs=2 --set 'a={kind: b}' > out 2>&1  # why",
        "moco-harness check RECIPE... --seeds 0-7 && moco-harness recipes list",
        "moco-harness -h; moco-harness report --compare A B; moco-harness recipes",
        "nox -s lint types; nox -s gpu -- OUT --data ROOT",
        "torchrun -m harness.launch.rank --none; python -m tests.gate",
        "ls --none",
    ],
)
def test_a_sound_command_is_let_pass(line: str) -> None:
    assert [wrong(words) for words in commands_in(line) if wrong(words)] == []


@pytest.mark.parametrize(
    "text",
    [
        "name: x\nextends: miniature_embedded.yaml\noptim: {epoch: 2}",
        "optim: {epoch: 2}",
        "data: /d\nslurm: {partitions: gpu}",
        "name: x\npurpose: y\nrecipes: [../none.yaml]",
        "jobs: {}",
        "- 1",
    ],
)
def test_a_wrong_yaml_block_is_refused(text: str, recipes: Path) -> None:
    with pytest.raises(RecipeError):
        accept(text, recipes)


def test_the_sessions() -> None:
    assert {"lint", "types", "tests", "versions", "wheel"} <= sessions()
