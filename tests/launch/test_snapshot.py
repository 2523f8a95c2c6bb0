from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from launch.plans import RECIPE

import harness
from harness.errors import HarnessError, StoreError
from harness.launch import snapshot
from harness.plan import make_plan
from harness.store import provenance
from harness.store.edition import edition

PACKAGE = Path(harness.__file__).parent


def test_the_package_is_copied_once_and_whole(tmp_path: Path) -> None:
    taken = snapshot.take(tmp_path, clean=False)
    assert taken == snapshot.place(tmp_path)
    assert taken.parent == tmp_path / ".code"
    for file in PACKAGE.rglob("*.py"):
        assert (taken / "harness" / file.relative_to(PACKAGE)).read_bytes() == file.read_bytes()
    assert not list(taken.rglob("__pycache__"))
    before = (taken / "harness" / "plan.py").stat().st_mtime_ns
    os.utime(taken, (0, 0))
    assert snapshot.take(tmp_path, clean=False) == taken
    assert taken.stat().st_mtime > 0, "for gc"
    assert (taken / "harness" / "plan.py").stat().st_mtime_ns == before
    assert list(taken.parent.iterdir()) == [taken]


def test_it_is_not_copied_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / ".code").symlink_to("far")
    with pytest.raises(HarnessError, match=r"\.code"):
        snapshot.take(tmp_path, clean=False)
    assert not list((tmp_path / "far").iterdir())


def test_it_runs_with_its_own_edition_and_the_checkouts_commit(tmp_path: Path) -> None:
    """Also from within another checkout, whose package lies in the working folder."""
    taken = snapshot.take(tmp_path, clean=False)
    other = tmp_path / "other" / "harness"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    asks = (
        "import json, harness; from harness.store import provenance, edition\n"
        "own = edition.edition('pretrain', 'moco')\n"
        "print(json.dumps([harness.__file__, own, provenance.code()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asks],
        cwd=other.parent,
        env={"PYTHONPATH": str(taken), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    file, its_edition, (code, diff) = json.loads(done.stdout)
    assert Path(file).is_relative_to(taken)
    assert its_edition == edition("pretrain", "moco")
    assert (code, diff) == provenance.code()


def test_it_has_the_installed_packages_that_declare_something(tmp_path: Path) -> None:
    """Also when they have been changed or taken away since."""
    package = Path(__file__).parent.parent / "outside" / "package"
    takes = (
        "from pathlib import Path\n"
        "from harness.launch import snapshot\n"
        f"print(snapshot.take(Path({str(tmp_path)!r}), clean=False))"
    )
    asks = (
        "import json, moco_outside\n"
        "from harness.spec import registry\n"
        "from harness.store.edition import edition\n"
        "found = sorted(registry.tasks()), sorted(registry.methods()), registry.task_of()\n"
        "print(json.dumps([edition('brightness', 'agreement'), found]))"
    )
    taken = python(takes, PACKAGE.parent, package).strip()
    there = python(asks, PACKAGE.parent, package)
    assert "brightness" in there
    assert python(asks, Path(taken)) == there
    assert python(takes, PACKAGE.parent, package).strip() == taken
    assert python(takes, PACKAGE.parent).strip() != taken


def python(code: str, *path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(map(str, path)), "PYTHONSAFEPATH": "1", "HOME": "/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_one_that_was_changed_is_refused(tmp_path: Path) -> None:
    taken = snapshot.take(tmp_path, clean=False)
    with (taken / "harness" / "plan.py").open("a") as file:
        file.write("# a small change\n")
    with pytest.raises(StoreError, match="changed since it was copied"):
        snapshot.take(tmp_path, clean=False)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ({"commit": "c", "dirty": True}, "has uncommitted changes"),
        ({"commit": None, "dirty": None, "why": "no git"}, "is not a git checkout"),
        ({"commit": "c", "dirty": None, "why": "no answer"}, "no answer"),
    ],
)
def test_a_dirty_checkout_is_refused_where_the_site_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(provenance, "code", lambda: (code, ""))
    with pytest.raises(HarnessError, match=says):
        snapshot.take(tmp_path, clean=True)
    assert not (tmp_path / ".code").exists()
    monkeypatch.setattr(provenance, "code", lambda: ({"commit": "c", "dirty": False}, ""))
    assert snapshot.take(tmp_path, clean=True).is_dir()


def test_a_recipe_is_kept_with_all_it_refers_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    (mine / "recipes" / "deep").mkdir(parents=True)
    base = {k: v for k, v in RECIPE.items() if k != "name"}
    (mine / "recipes" / "base.yaml").write_text(json.dumps(base))
    (mine / "recipes" / "deep" / "one.yaml").write_text("extends: ../base.yaml\n")
    (mine / "recipes" / "scale.yaml").write_text(
        "ablation: momentum\nrecipe: deep/one.yaml\ncells: [m0.9]\nseeds: [3]\n"
        "metric: knn/top1\nmargin: 1\n"
    )
    monkeypatch.chdir(mine)
    made = make_plan(Path("recipes/scale.yaml"), ["optim.epochs=1"], tmp_path / "runs")
    kept = snapshot.keep_recipe(made, tmp_path / "kept")
    (mine / "recipes" / "base.yaml").write_text("changed: since\n")
    (mine / "recipes" / "deep" / "one.yaml").unlink()
    monkeypatch.chdir("/")
    again = make_plan(kept, ["optim.epochs=1"], tmp_path / "runs")
    assert [stage.id for stage in again.stages] == [stage.id for stage in made.stages]
    assert again.name == made.name
    assert list((tmp_path / "kept").rglob("ablations/momentum.yaml"))
