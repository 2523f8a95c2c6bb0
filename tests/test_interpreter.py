"""Helper processes import nothing from the working folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import interpreter

ROOT = Path(harness.__file__).parent
NAMES = ("queue", "random", "json", "torch", "numpy", "typing", "argparse", "submitit", "rich")


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose files have libraries' names."""
    place = tmp_path / "trap"
    place.mkdir()
    for name in NAMES:
        (place / f"{name}.py").write_text("raise SystemExit(77)\n")
    (place / "harness").mkdir()
    (place / "harness" / "__init__.py").write_text("raise SystemExit(78)\n")
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize("path", ["", ":", "/nowhere:", ":/nowhere", ".", "../trap"])
def test_whatever_the_python_path_says(
    trap: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", path)
    env = interpreter.environment()
    done = subprocess.run(
        interpreter.command("harness.track.follow", "--help"), env=env, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    code = "import sys, queue, json, harness; print(harness.__file__); print(sys.path)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    told = subprocess.run([sys.executable, "-c", child], env=env, capture_output=True, text=True)
    assert told.stdout.splitlines()[0] == str(ROOT / "__init__.py"), told.stderr
    assert repr(str(trap)) not in told.stdout


def test_other_folders_of_the_python_path_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"/a:lib:{tmp_path}")
    paths = interpreter.environment(Path("/code"))["PYTHONPATH"].split(":")
    assert paths == ["/code", "/a", str(tmp_path / "lib")]


def test_the_command_as_a_module(trap: Path) -> None:
    """What it loads late too; the first imports are Python's own affair."""
    (trap / "harness" / "__init__.py").unlink()
    (trap / "harness").rmdir()
    for early in ("random", "typing", "json", "queue"):
        (trap / f"{early}.py").unlink()
    command = [sys.executable, "-m", "harness.cli", "plan", "--help"]
    done = subprocess.run(
        command, capture_output=True, env=interpreter.environment() | {"PYTHONSAFEPATH": ""}
    )
    assert done.returncode == 0, done.stderr


def test_nobody_else_starts_a_python() -> None:
    """submitit is told which one to use; doctor tells of the one that it looked for."""
    users = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if re.search(r"sys\.executable|multiprocessing|get_context", path.read_text())
    }
    assert users == {
        "interpreter.py",
        "launch/slurm/sbatch.py",
        "doctor/machine.py",
        "doctor/slurm/sight.py",
    }
