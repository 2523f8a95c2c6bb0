"""`moco-harness evaluate`: what it writes, that its commands can be pasted, its exit codes."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from cli.conftest import Once
from harness.store.layout import StageFolder

SETS = ("--set=data.images=128", "--set=knn.k=[5]", "--set=knn.queries=50")
KNN = ("--on", "embedded", "--tasks", "knn", *SETS)


@pytest.fixture
def run_of(tiny: Path, moco: Any, once: Once, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pre-training of tiny.yaml, finished."""
    monkeypatch.setenv("MOCO_HARNESS_DEVICE", "cpu")

    def run() -> None:
        assert moco("run", str(tiny), "--set=linear=null").code == 0

    once(run)
    (found,) = Path("runs").glob("tiny-s0.pretrain-*")
    return found


def test_a_run_is_evaluated_and_every_command_reads_it(moco: Any, run_of: Path) -> None:
    said = moco("evaluate", "tiny", *KNN)
    assert said.code == 0
    (recipe,) = Path("runs/evaluations").iterdir()
    assert f"recipe: {recipe}" in said.out
    digest = (StageFolder(run_of).result or {})["weights"]
    how = "k 5, T 0.1, backbone, bank embedded of 128 images (pre-trained on)"
    assert how in said.out
    assert f"{run_of.name}, sha256 {digest}" in said.out

    again = moco("evaluate", str(run_of), *KNN)
    assert (again.code, again.idle) == (0, True)
    assert moco("run", str(recipe), *SETS).code == 0
    lines = moco("status", "--all").out.splitlines()
    (line,) = (each for each in lines if "-s0.knn-" in each[20:] and "untrained" not in each)
    assert how in line
    assert f"{run_of.name}, sha256 {digest}" in line
    target = "about.targets=[{metric: knn/top1, value: 50, tolerance: 50, source: none}]"
    checked = moco("check", str(recipe), *SETS, "--set", target)
    assert checked.code == 0
    assert how in checked.out
    assert f"{run_of.name}, sha256 {digest}" in checked.out
    (page,) = Path("runs/reports").glob("tiny-s0-*/report.html")
    for name in ("report.md", "report.html", "report.tex", "table.csv", "runs.csv", "results.json"):
        text = page.with_name(name).read_text()
        assert how in text, name
        assert digest in text, name
    assert moco("gc", "--yes").code == 0
    assert recipe.exists()
    assert moco("publish", str(recipe), *SETS, "--to", "published").code == 0


def test_a_stale_evaluation_names_the_command_that_renews_it(moco: Any, run_of: Path) -> None:
    assert moco("evaluate", "tiny", *KNN).code == 0
    (knn,) = Path("runs").glob("tiny-s0-*-s0.knn-*")
    for path in (knn / "result.json", *knn.glob("attempts/*/attempt.json")):
        text = path.read_text()
        path.write_text(re.sub(r'("edition": ")[0-9a-f]{12}', r"\g<1>" + "0" * 12, text))
    said = moco("evaluate", "tiny", *KNN)
    (command,) = re.findall(r"moco-harness (evaluate .*--again.*)$", said.out, re.MULTILINE)
    renewed = moco(*shlex.split(command))
    assert renewed.code == 0
    assert "finished" in renewed.out
    assert run_of.exists()


def test_a_dry_run_writes_the_recipe_alone(moco: Any, run_of: Path) -> None:
    before = {path.name for path in Path("runs").iterdir()}
    said = moco("evaluate", "tiny", *KNN, "--to", "mine.yaml", "--dry-run")
    assert said.code == 0
    assert Path("mine.yaml").is_file()
    assert {path.name for path in Path("runs").iterdir()} - before <= {".checked", ".inputs"}
    assert moco("recipes", "validate", "mine.yaml").code == 0
    assert run_of.exists()


class _Code:
    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nobody", "--on", "embedded"), 4),
        (("nobody.pth", "--on", "embedded"), 3),
        (("nobody.yaml", "--on", "embedded"), 2),
        (("tiny.yaml", "--on", "embedded"), 4),
        (("code.pth", "--on", "embedded"), 3),
        (("tiny.yaml", "--on", "nothing"), 3),
        (("tiny.yaml",), 2),
        (("tiny.yaml", "--on", "embedded", "--tasks", "nothing"), 2),
        (("tiny.yaml", "--on", "embedded", "--size", "7"), 2),
        (("tiny.yaml", "--on", "embedded", "--launcher", "nothing"), 2),
        (("tiny.yaml", "--on", "embedded", "--to", ""), 2),
    ],
    ids=str,
)
def test_mistakes(moco: Any, tiny: Path, words: tuple[str, ...], code: int) -> None:
    assert tiny.exists()
    torch.save({"model": _Code()}, "code.pth")
    said = moco("evaluate", *words)
    assert said.code == code
    assert not Path("ran").exists()
    assert not Path("runs/evaluations").exists()
    lines = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 or "Usage" in said.err
