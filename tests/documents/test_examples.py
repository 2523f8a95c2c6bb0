"""The example package of the guide works as it is installed from its pyproject.toml."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from documents.markdown import ROOT

EXAMPLE = ROOT / "docs/examples/nearest_mean"
RECIPE = """\
name: near
extends: miniature_embedded.yaml
data: {name: embedded, images: 128, size: 16}
model: {backbone: miniature, bn_group: 8, dim: 16}
contrast: {queue: 32}
optim: {epochs: 1, batch: 32}
knn: null
linear: null
tasks:
  near: {kind: nearest_mean}
  same: {kind: linear, epochs: 2, batch: 32, lr: [1.0]}
watch: {knn_epochs: 0, control: false}
"""


def install(site: Path) -> None:
    """As pip does: the package, and its entry points."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "nearest_mean", site / "nearest_mean")
    folder = site / f"nearest_mean-{project['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        line
        for group, names in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {place}" for name, place in names.items()))
    ]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")


def test_the_task_of_the_guide_runs_and_is_reported(tmp_path: Path) -> None:
    install(tmp_path / "site")
    (tmp_path / "near.yaml").write_text(RECIPE)
    shutil.copy(ROOT / "recipes/miniature_embedded.yaml", tmp_path)
    paths = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "run", "near.yaml", "--device", "cpu", "--yes"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = tmp_path.glob("runs/near-s0.near-*/result.json")
    value = json.loads(result.read_text())["values"]["nearest_mean/top1"]
    assert 5 < value <= 100, "ten classes, and worse than chance"
    assert f"{value:.2f}" in (tmp_path / "runs/reports/near/report.md").read_text()
