from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.markup import render
from typer.main import get_command

import harness
from harness.cli.app import app


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


ALL = list(commands(get_command(app)))


def test_what_there_is() -> None:
    assert {" ".join(words) for words in ALL} >= {
        "plan", "run", "status", "logs", "cancel", "report", "publish", "verify", "check", "bench",
        "doctor", "certify", "sync", "gc",
        "recipes list", "recipes show", "recipes validate", "recipes diff",
        "recipes schema",
    }  # fmt: skip


@pytest.mark.parametrize("words", ALL, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(moco: Any, words: tuple[str, ...], flag: str) -> None:
    said = moco(*words, flag)
    assert said.code == 0
    assert "Usage" in said.out
    assert words == () or words[-1] in said.out
    assert typer.__version__


def helps(group: Any) -> Iterator[str]:
    """Every text that the help shows."""
    yield group.help or ""
    for parameter in group.params:
        yield getattr(parameter, "help", None) or ""
    for command in getattr(group, "commands", {}).values():
        yield from helps(command)


def test_no_help_text_is_taken_for_markup() -> None:
    for text in helps(get_command(app)):
        assert render(text).plain == text


@pytest.mark.parametrize("command", ["plan", "run"])
def test_defaults_are_told(moco: Any, command: str) -> None:
    said = " ".join(moco(command, "--help").out.replace("│", " ").split())
    for default in ("else ./runs)", "else ~/.cache/moco-harness/data)", "else auto)", "else 1)"):
        assert default in said


@pytest.mark.parametrize("words", [(), ("recipes",)])
def test_no_command_shows_the_help(moco: Any, words: tuple[str, ...]) -> None:
    said = moco(*words)
    assert "Usage" in said.all
    assert said.code in (0, 2)


@pytest.mark.parametrize(
    "words", [("rum",), ("run",), ("run", "a.yaml", "--bogus"), ("recipes", "diff", "a.yaml")]
)
def test_a_wrong_command_line(moco: Any, words: tuple[str, ...]) -> None:
    assert moco(*words).code == 2


def test_a_process_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert "Usage" in done.stdout


def test_a_terminal_that_lacks_our_signs(place: Any) -> None:
    """An encoding without the signs that we print must not end a run."""
    (place / "recipes").mkdir()
    (place / "recipes" / "wrong.yaml").write_text("name: τ±\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "recipes", "validate", "recipes/wrong.yaml"],
        capture_output=True,
        text=True,
        cwd=place,
        env={"PYTHONIOENCODING": "ascii", "PATH": "", "HOME": str(place)},
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_version(moco: Any) -> None:
    said = moco("--version")
    assert (said.code, said.out) == (0, f"moco-harness {harness.__version__}\n")
