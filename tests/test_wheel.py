"""What pip installs: the package with every recipe, table and number, and the licence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parent.parent
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if int(version("setuptools").partition(".")[0]) < 77:
        pytest.skip("pyproject.toml needs setuptools 77 or newer to be built")
    source = tmp_path_factory.mktemp("source")
    passing = shutil.ignore_patterns("__pycache__")
    for folder in ("harness", "recipes", "ablations"):
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=passing)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    made = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(made)], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return next(made.glob("*.whl"))


def test_everything_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        inside = {name: opened.read(name) for name in opened.namelist()}
    expected = {
        f"harness/_shipped/{path.relative_to(ROOT)}": path
        for folder in ("recipes", "ablations")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }
    endings = ("*.py", "*.html", "*.css", "py.typed")
    files = [path for ending in endings for path in (ROOT / "harness").rglob(ending)]
    expected |= {str(path.relative_to(ROOT)): path for path in files if path.is_file()}
    assert "harness/report/page.html" in expected
    assert {name for name in inside if not name.partition("/")[0].endswith(".dist-info")} == {
        *expected
    }
    for name, path in expected.items():
        assert inside[name] == path.read_bytes(), name
    licences = [name for name in inside if name.endswith(".dist-info/licenses/LICENSE")]
    assert [inside[name] for name in licences] == [(ROOT / "LICENSE").read_bytes()]


Alone = Callable[..., subprocess.CompletedProcess[str]]
PLAN_ALL = """
from pathlib import Path
from harness.plan import make_plan
from harness.recipe.find import find, names
for name in names():
    if not name.startswith("lists/"):
        print(name, len(make_plan(find(name), [], Path("runs")).stages))
"""


@pytest.fixture
def alone(wheel: Path, tmp_path: Path) -> Alone:
    """alone("-m", ...): Python in an empty folder, with what the wheel holds and nothing else."""
    unpacked, empty = tmp_path / "unpacked", tmp_path / "empty"
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(unpacked)
    empty.mkdir()

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=empty,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(unpacked)},
        )
        assert done.stderr == ""
        assert list(empty.iterdir()) == []
        return done

    return call


def test_every_shipped_recipe_is_planned_from_an_empty_folder(alone: Alone) -> None:
    said = alone("-m", "harness.cli", "plan", "quickstart")
    assert said.returncode == 0
    assert "12 to do" in said.stdout
    planned = dict(line.split() for line in alone("-c", PLAN_ALL).stdout.splitlines())
    assert sorted(planned) == sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
    assert all(int(stages) > 0 for stages in planned.values())


def test_every_shipped_list_is_checked_from_an_empty_folder(alone: Alone) -> None:
    lists = sorted(path.stem for path in (ROOT / "recipes" / "lists").glob("*.yaml"))
    assert lists
    said = alone("-m", "harness.cli", "check", *(f"lists/{name}" for name in lists))
    assert said.returncode == 6
    for of in ("gate  train/loss", "quickstart/m0.99  knn/top1", "moco_v2_imagenet  linear/top1"):
        assert f"{of}  missing" in said.stdout
