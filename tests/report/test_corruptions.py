"""ImageNet-C's mean corruption error: what it is the mean of, and that nothing may be missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.recipe.load import load_recipe
from harness.report import corruptions as module
from harness.report.collect import Results, collect_single
from harness.report.corruptions import ALEXNET, Corruptions, corruption_lines, corruptions
from harness.report.document import compose
from harness.report.results_json import as_json
from harness.store.edition import Editions
from harness.store.layout import stage_folder
from report.build import EDITION

HEAD = """\
name: tested
data: {name: imagefolder, folder: imagenet, size: 32}
augment: {}
model: {backbone: miniature, bn_group: 16}
contrast: {kind: moco, queue: 128, momentum: 0.99, temperature: 0.2}
optim: {epochs: 1, batch: 64, lr: 0.06, schedule: {kind: constant}}
knn: {k: [2]}
linear: null
tasks:
"""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three corruptions at three severities: 75 tasks take seconds to describe."""
    names = ("gaussian_noise", "motion_blur", "fog")
    monkeypatch.setattr(module, "ALEXNET", {name: ALEXNET[name] for name in names})
    monkeypatch.setattr(module, "SEVERITIES", 3)


def each() -> list[tuple[str, int]]:
    return [(name, n + 1) for name in module.ALEXNET for n in range(module.SEVERITIES)]


def error(name: str, severity: int) -> float:
    """Of AlexNet at every severity, but for gaussian noise: half of it."""
    return ALEXNET[name] * (0.5 if name == "gaussian_noise" else 1.0) + severity - 3


Change = Callable[[str, int], dict[str, Any] | None]


def collected(
    folder: Path, change: Change = lambda *_: {}, classes: int = 1000, state: str = "finished"
) -> Results:
    """A run that was tested on all corruptions; `change` gives fields of a task, None leaves it
    out. `state`: of one task."""
    lines = []
    for name, n in each():
        if (more := change(name, n)) is None:
            continue
        test = f"imagenet-c/{name}/{n}"
        data = {"name": "imagefolder", "folder": "imagenet", "test": test, "size": 32}
        data = data | {"test_view": "whole"} | more.pop("data", {})
        task = {"kind": "knn", "k": [2], "data": data} | more
        lines.append(f"  {name}_{n}: {json.dumps(task)}\n")
    path = folder / "tested.yaml"
    path.write_text(HEAD + "".join(lines))
    for stage in make_plan(path, (), folder / "runs").stages:
        place = stage_folder(folder / "runs", stage.id)
        place.create(describe(stage, "tested"))
        (place.path / "attempts" / "0001").mkdir()
        attempt = {"edition": EDITION, "data": {"fingerprint": "f1a9"}}
        (place.path / "attempts" / "0001" / "attempt.json").write_text(json.dumps(attempt))
        under = str((place.described or {}).get("task") or "")
        name, _, digits = under.rpartition("_")
        values = {"knn/top1": 100 - error(name, int(digits)) if under else 50.0}
        result = {
            "state": state if under == "fog_3" else "finished",
            "values": {} if stage.kind == "pretrain" else values,
            "data": {"name": "imagenet", "fingerprint": "f1a9", "classes": classes},
            **{"step": 1, "message": "", "attempt": 1, "seconds": 1.0, "edition": EDITION},
        }
        (place.path / "result.json").write_text(json.dumps(result))
    recipe = load_recipe(path, [])
    return collect_single(recipe, folder / "runs", installed=Editions.same(EDITION))


def test_mce_is_the_mean_of_each_corruptions_error_over_alexnets(tmp_path: Path) -> None:
    results = collected(tmp_path)
    (found,) = corruptions(results)
    assert (found.metric, found.place, found.seeds) == ("knn/top1", "imagenet-c", 1)
    assert found.mce == pytest.approx((14 * 100 + 50) / 15)
    every = [error(name, n) for name, n in each()]
    assert found.error == pytest.approx(fmean(every))
    (line,) = corruption_lines(results)
    assert "imagenet-c: mean corruption error 75." in line
    assert "mCE 96.67 %" in line
    assert as_json(results, [], [])["corruptions"][0]["mce"] == found.mce
    assert "mCE 96.67 %" in str(compose(results, []))


@pytest.mark.parametrize(
    ("seeds", "of", "said"),
    [(1, 1, ""), (1, 3, ", mean of 1 of 3 seeds"), (3, 3, ", mean of 3 seeds")],
)
def test_it_says_over_how_many_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: int, of: int, said: str
) -> None:
    found = Corruptions("c", "C", "knn/top1", "imagenet-c", 75.0, None, seeds, of)
    monkeypatch.setattr("harness.report.corruptions.corruptions", lambda _: [found])
    (line,) = corruption_lines(collected(tmp_path))
    assert line.endswith(f"75.00 %{said}")


@pytest.mark.usefixtures("few")
def test_of_other_classes_only_the_plain_error_is_said(tmp_path: Path) -> None:
    (found,) = corruptions(collected(tmp_path, classes=100))
    assert found.mce is None
    assert found.error == pytest.approx(fmean(error(name, n) for name, n in each()))


def missing(name: str, n: int) -> dict[str, Any] | None:
    return None if (name, n) == ("fog", 3) else {}


def cropped(name: str, n: int) -> dict[str, Any]:
    return {"data": {"test_view": "crop"}} if (name, n) == ("fog", 3) else {}


def otherwise(name: str, n: int) -> dict[str, Any]:
    return {"k": [3]} if (name, n) == ("fog", 3) else {}


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("change", [missing, cropped, otherwise])
def test_nothing_is_said_if_one_is_missing_or_measured_otherwise(
    tmp_path: Path, change: Change
) -> None:
    results = collected(tmp_path, change)
    assert corruptions(results) == []
    assert "corruptions" not in as_json(results, [], [])


@pytest.mark.usefixtures("few")
def test_nothing_is_said_if_one_has_no_result(tmp_path: Path) -> None:
    assert corruptions(collected(tmp_path, state="diverged")) == []


@pytest.mark.usefixtures("few")
def test_folders_by_category_are_one_place(tmp_path: Path) -> None:
    def inside(name: str, n: int) -> dict[str, Any]:
        kind = "blur" if name.endswith("blur") else "noise" if name.endswith("noise") else "weather"
        return {"data": {"test": f"c/{kind}/{name}/{n}"}}

    (found,) = corruptions(collected(tmp_path, inside))
    assert found.place == "c"
