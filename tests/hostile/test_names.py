"""No name that somebody chose leads out of the folder that it is a name in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stage.tiny import run, write

from harness.errors import HarnessError
from harness.launch.status import StatusReader
from harness.recipe.load import load
from harness.recipe.schema import Recipe
from harness.stage.execute import Job, execute
from harness.stage.reporter import Silent
from harness.store import submission
from harness.store.layout import StageFolder, is_name

OUT = (
    "..", ".", "", "../x", "x/../y", "/etc/x", "a/b", "a\\b", "~root", "~/x", "a\0b", "a\nb", "a b",
    "x" * 300, "-rf", ".hidden", "Ünicode", "aux ", "$HOME", "`id`", "a;b", "a|b", "CON:",
    "\u202ex",
)  # fmt: skip


@pytest.mark.parametrize("name", OUT)
def test_a_recipes_name(tmp_path: Path, name: str) -> None:
    recipe = write(tmp_path, old="name: tiny", new=f"name: {json.dumps(name)}")
    with pytest.raises(HarnessError):
        load(recipe)
    with pytest.raises(HarnessError):
        load(write(tmp_path), [f"name={json.dumps(name)}"])


@pytest.mark.parametrize("name", OUT)
def test_a_cells_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "ablations").mkdir()
    (tmp_path / "recipes").mkdir()
    write(tmp_path / "recipes")
    table = {
        "title": "t", "paper": "p", "setting": "s", "source": "s", "confidence": "read",
        "metric": "knn/top1", "axis": "m", "claims": [],
        "cells": [{"id": name, "label": "l", "set": {}, "printed": 1.0}],
    }  # fmt: skip
    (tmp_path / "ablations" / "t.yaml").write_text(json.dumps(table))
    scale = tmp_path / "recipes" / "s.yaml"
    scale.write_text("ablation: t\nrecipe: tiny.yaml\nmetric: knn/top1\n")
    from harness.recipe.ablation import Scale
    from harness.recipe.expand import expand

    found = load(scale)
    assert isinstance(found, Scale)
    with pytest.raises(HarnessError):
        expand(found, scale)


@pytest.mark.parametrize("field", ["data.folder", "model.weights.file"])
@pytest.mark.parametrize("name", ["..", "../x", "x/../../y", "a\0b"])
def test_files_under_the_data_root(tmp_path: Path, field: str, name: str) -> None:
    said = json.dumps(name)
    value = {
        "data.folder": f"data={{name: imagefolder, size: 16, folder: {said}}}",
        "model.weights.file": f"model.weights={{file: {said}, sha256: '01234567'}}",
    }[field]
    with pytest.raises(HarnessError):
        load(write(tmp_path), [value])


def test_a_folder_of_images_is_never_an_absolute_path(tmp_path: Path) -> None:
    with pytest.raises(HarnessError):
        load(write(tmp_path), ["data={name: imagefolder, size: 16, folder: /etc}"])


@pytest.mark.parametrize("name", OUT)
def test_what_stands_in_a_stage_as_its_parent(tmp_path: Path, name: str) -> None:
    runs = tmp_path / "runs"
    folder = run(write(tmp_path), runs, kinds=())["knn"]
    outside = tmp_path / "x"
    outside.mkdir()
    described: dict[str, Any] = {"id": folder.id, "kind": "knn", "parent": name}
    folder.create(described)
    if not is_name(name):
        with pytest.raises(HarnessError):
            assert folder.parent
    for row in StatusReader(runs).read({folder.id}).rows:
        assert row.parent == (name if is_name(name) else "")


@pytest.mark.parametrize("change", ["optim.lr", "seed", "kind", "knn.temperature"])
def test_a_stage_that_describes_another_run_is_not_run(tmp_path: Path, change: str) -> None:
    """The folder's name is a digest of what is to be run."""
    runs = tmp_path / "runs"
    folder = run(write(tmp_path), runs, kinds=("pretrain",))["knn"]
    ours = run(write(tmp_path), runs, kinds=())["pretrain"]
    described = ours.described
    assert described is not None
    if change == "kind":
        described["kind"] = "linear"
    else:
        place: Any = described["recipe"]
        *path, last = change.split(".")
        for key in path:
            place = place[key]
        place[last] = 0.25 if path else 9
    target = StageFolder(runs / folder.id) if change == "knn.temperature" else ours
    target.create({**described, "id": target.id})
    with pytest.raises(HarnessError, match=r"changed, or from another stage|already finished"):
        execute(Job(target.path, tmp_path, "cpu"), Silent(), lambda: False)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../../20260101-000000-abcdef"},
        {"id": "another"},
        {"t": "now"},
        {"t": 1e300},
        {"sets": [3]},
        {"submitter": "me"},
        {"array": {"job": "--user=root"}},
        {"array": {"job": "1; rm -rf /"}},
        {"array": {"job": 12}},
        {"array": {"stages": ["../../etc"]}},
        {"array": {"after": [-1]}},
        {"array": {"after": [7]}},
        {"array": {"waits": ["-all"]}},
        {"array": {"kind": None}},
    ],
    ids=str,
)
def test_a_submissions_record(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Its words become paths, and arguments of scancel and kill."""
    array = submission.Array("n", "pretrain", ("a", "b"), job="12")
    made = submission.new(
        submission.new_id(), on="local", recipe="r", sets=[], name="n", code="", arrays=[array]
    )
    submission.write(tmp_path, made)
    (path,) = (tmp_path / "submissions").glob("*.json")
    assert submission.everything(tmp_path) == [made]
    said = json.loads(path.read_text())
    said["arrays"][0] |= changes.pop("array", {})
    path.write_text(json.dumps(said | changes))
    with pytest.raises(HarnessError, match="not a submission"):
        submission.everything(tmp_path)


def test_a_recipe_that_is_a_link_is_read_and_its_run_stays_inside(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    real.mkdir()
    link = tmp_path / "link.yaml"
    link.symlink_to(write(real))
    found = load(link)
    assert isinstance(found, Recipe)
    folders = run(link, tmp_path / "runs", kinds=())
    assert all(folder.path.parent == tmp_path / "runs" for folder in folders.values())
