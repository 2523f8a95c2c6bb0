"""What `nox -s bench` runs: each recipe once, with random pixels where the data is not there."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest

import harness
from harness.bench import suite
from harness.recipe.load import load_recipe

ROOT = Path(harness.__file__).parent.parent


def sets(words: tuple[str, ...]) -> list[str]:
    return [word for before, word in itertools.pairwise(words) if before == "--set"]


@pytest.mark.parametrize("case", suite.CASES, ids=str)
def test_the_recipes_stand_as_they_are_changed(case: suite.Case) -> None:
    whole = load_recipe(ROOT / case.recipe, sets(case.gpu or ()))
    cut = load_recipe(ROOT / case.recipe, sets(case.cpu))
    groups = [made.optim.batch // made.model.bn_group for made in (whole, cut)]
    assert groups[0] == groups[1]


@pytest.mark.parametrize("cuda", [False, True])
def test_data_that_is_not_there_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: bool
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        assert not check
        ran.append(command)
        lacking = "recipes/cifar10_demo.yaml" in command and "--noise" not in command
        return subprocess.CompletedProcess(command, 3 if lacking else 0)

    monkeypatch.setattr(suite.torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(subprocess, "run", run)
    assert suite.main(str(tmp_path / "bench"), "--data", "there") == 0
    noise = ["--noise" in command for command in ran]
    before = [False] * (2 if cuda else 3)
    demo = [False, True] if cuda else [False, True] * 2
    assert noise == [*before, *demo, False]
    for apart in ({"--noise", "--tasks"}, {"--processes", "--tasks"}, {"--processes", "--scaling"}):
        assert not any(apart <= set(command) for command in ran)
    assert all(command[-2:] == ["--data", "there"] for command in ran if "--noise" not in command)
    assert ("precision=bf16" in ran[-1]) == cuda


def test_the_first_failure_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failed = subprocess.CompletedProcess[str]([], 4)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert suite.main(str(tmp_path / "bench")) == 4


def test_what_was_measured_is_published_at_the_end_even_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else the cases after the first would be measured in a changed checkout."""
    record = ROOT / "reports" / "bench" / "miniature_embedded-cpu.json"
    codes = iter((0, 4))

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert not [*(tmp_path / "bench").glob("*.json")]
        shutil.copy(record, command[command.index("--publish") + 1])
        return subprocess.CompletedProcess(command, next(codes))

    monkeypatch.setattr(subprocess, "run", run)
    assert suite.main(str(tmp_path / "bench")) == 4
    made = tmp_path / "bench"
    assert (made / record.name).read_bytes() == record.read_bytes()
    assert (made / "README.md").is_file()
