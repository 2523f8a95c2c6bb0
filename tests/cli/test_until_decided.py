"""`run --seeds-until-decided MAX`, on runs of a second."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.tiny import TINY
from harness.app import running
from harness.site import Site

ABLATION = """\
name: learning
title: Learning at all
paper: none
setting: none
source: nobody
confidence: read
metric: knn/top1
axis: momentum m
cells:
  - {id: m0.8, label: "0.8", set: {contrast.momentum: 0.8}, printed: null}
claims:
  - {id: miracle, kind: beats, cell: m0.8, over: untrained, says: It learns all in twenty steps.}
"""
SCALE = """\
name: fast
ablation: learning
recipe: ../small.yaml
seeds: [0, 1]
max_seeds: 4
tuned_on: [{seeds: [2], what: the number of epochs}]
metric: knn/top1
margin: 90.0
"""


@pytest.fixture
def scale(place: Path) -> Path:
    small = TINY.replace("images: 128", "images: 640").replace("epochs: 2", "epochs: 1")
    (place / "small.yaml").write_text(small.replace(TINY[TINY.index("linear:") :], "linear: null"))
    for folder, text in (("ablations", ABLATION), ("recipes", SCALE)):
        (place / folder).mkdir()
        name = "learning" if folder == "ablations" else "fast"
        (place / folder / f"{name}.yaml").write_text(text)
    return Path("recipes/fast.yaml")


def test_undecided_claims_get_seeds_until_they_are_decided(moco: Any, scale: Path) -> None:
    """Two seeds decide nothing; three decide that it is not 90 points above the untrained."""
    said = moco("run", scale, "--yes", "--seeds-until-decided", 4)
    assert said.code == 0, said.all
    assert "undecided claims: seeds 3 for m0.8, untrained" in said.out
    ran = {path.name.split(".pretrain")[0] for path in Path("runs").glob("fast.*.pretrain-*")}
    assert ran == {f"fast.{cell}-s{n}" for cell in ("m0.8", "untrained") for n in (0, 1, 3)}
    found = json.loads(Path("runs/reports/fast/results.json").read_text())
    assert [claim["verdict"] for claim in found["claims"]] == ["not reproduced"]
    again = moco("run", scale, "--yes", "--seeds-until-decided", 4)
    assert again.idle
    assert "undecided claims" not in again.out


@pytest.mark.parametrize(
    ("old", "new", "most", "says"),
    [
        ("max_seeds: 4\n", "", 4, "needs a second look in `looks`, or `max_seeds: 4`"),
        ("", "", 5, "from 2 (seeds) to 4, the most"),
        ("", "", 1, "from 2 (seeds) to 4, the most"),
    ],
)
def test_what_was_not_planned_before_the_first_run_is_refused(
    moco: Any, scale: Path, old: str, new: str, most: int, says: str
) -> None:
    scale.write_text(SCALE.replace(old, new))
    said = moco("run", scale, "--seeds-until-decided", most)
    assert said.code == 2
    assert says in said.err


def test_a_single_recipe_has_nothing_to_decide(moco: Any, tiny: Path) -> None:
    said = moco("run", tiny, "--seeds-until-decided", 4)
    assert said.code == 2
    assert "needs an ablation recipe" in said.err


def test_a_round_runs_by_the_launcher_that_was_named(
    scale: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run(*_: object, on: str, **__: object) -> SimpleNamespace:
        asked.append(on)
        return SimpleNamespace(exit_code=1)

    monkeypatch.setattr(running, "run", run)
    site = Site(Path("data"), Path("runs"), "cpu", 1, 0.0)
    running.run_until_decided(scale, 4, site, on="elsewhere")
    assert asked == ["elsewhere"]
