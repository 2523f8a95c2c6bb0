from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.spec import registry
from harness.spec.declarations import Launcher, Optimiser, Task, Tracker, accuracy
from harness.spec.registry import alarms, axis_of, declared, metrics

WRITTEN = {
    "train/loss": "step",
    "train/lr": "step",
    "train/images_per_s": "step",
    "pretext/top1": "step",
    "health/rankme": "epoch",
    "health/collapsed": "epoch",
    "knn/top1": "epoch",
    "knn/top1@k20": "epoch",
    "linear/loss": "step",
    "linear/top1": "epoch",
    "linear/top1@lr10": "epoch",
}
"""What the loops write and the report reads."""


@pytest.mark.parametrize(("name", "axis"), WRITTEN.items())
def test_what_is_written_is_declared(name: str, axis: str) -> None:
    metric = declared(name)
    assert metric is not None
    assert (metric.name, metric.axis) == (name, axis)
    assert metric.unit
    assert metric.description


@pytest.mark.parametrize("name", ["knn/top7", "knn/top1@", "loss", "", "@k20"])
def test_anything_else_is_not(name: str) -> None:
    assert declared(name) is None
    assert axis_of(name) == "step"


def test_a_variant_keeps_what_its_metric_means() -> None:
    metric = declared("linear/top1@lr10")
    assert metric is not None
    assert metric.better == metrics()["linear/top1"].better == "higher"
    assert "lr10" in metric.description


@pytest.mark.parametrize("value", [0, 0.0, -1, math.nan, math.inf, None, "3"])
def test_only_a_number_above_zero_raises_an_alarm(value: object) -> None:
    assert alarms({"health/collapsed": value, "train/loss": 3.0}) == []
    assert alarms({"health/collapsed": 3.5}) == ["collapsed since epoch 3.5"]


# ---- tasks of installed packages


@dataclass(frozen=True)
class Point:
    """An entry point, as importlib.metadata gives it."""

    name: str
    found: object
    value: str = "package.module:TASK"

    def load(self) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def own(kind: str, parent: str | None = "pretrain", metric: str = "own/top1") -> Task:
    return Task(kind, "package.run:run", (), parent, (accuracy(metric, "own"),), (metric,))


Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    def points(*found: Point) -> None:
        monkeypatch.setattr(registry, "entry_points", lambda **_: found)
        registry.clear_cache()

    yield points
    monkeypatch.undo()
    registry.clear_cache()


def test_an_installed_task_stands_behind_the_harnesss_own(install: Install) -> None:
    before = list(registry.tasks())
    install(Point("b", own("deeper", parent="own", metric="deep/top1")), Point("c", own("own")))
    assert list(registry.tasks()) == [*before, "own", "deeper"]
    assert registry.task_of()["own/top1"] == "own"
    assert declared("own/top1@k3") is not None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (own("knn"), "knn"),
        (own("own", metric="knn/top1"), "knn/top1"),
        (own("own", parent="nothing"), "nothing"),
        (own("own", parent="own"), "own -> own"),
        ("a text", "not a task"),
        (ImportError("no module named x"), "no module named x"),
    ],
    ids=["kind taken", "metric taken", "no parent", "its own parent", "no task", "no import"],
)
def test_what_cannot_be_declared_is_refused_by_name(
    install: Install, found: object, said: str
) -> None:
    install(Point("own", found))
    with pytest.raises(HarnessError, match=said):
        registry.tasks()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "../own"}, "name"),
        ({"reported": ("own/topp1",)}, "own/topp1 is not among its metrics"),
        ({"reported": "own/top1"}, "reported is not a tuple"),
        ({"metrics": accuracy("own/top1", "own")}, "metrics is not a tuple"),
        ({"config": "own.config:Own", "reported": ()}, "reports no metric"),
    ],
)
def test_a_task_that_contradicts_itself_cannot_be_declared(
    change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        replace(own("own"), **change)


@pytest.mark.parametrize("short", ["top-1 {:q}", "{:.1f} of {:.1f}", "{", "{0.x}", "{0[0]}"])
def test_a_metrics_format_must_fit_a_number(short: str) -> None:
    with pytest.raises(ValueError, match="own/top1: the format"):
        accuracy("own/top1", "own", short=short)


# ---- trackers of installed packages


def tracker(kind: str) -> Tracker:
    return Tracker(kind, "Own", "package.run:Opener", "package.mode:access", ("OWN", "off"))


def test_an_installed_tracker_stands_behind_the_harnesss_own(install: Install) -> None:
    before = list(registry.trackers())
    install(Point("own", tracker("own")))
    assert list(registry.trackers()) == [*before, "own"]


@pytest.mark.parametrize("found", [tracker("wandb"), own("own"), ImportError("wandb")])
def test_a_tracker_that_cannot_be_declared_is_refused(install: Install, found: object) -> None:
    install(Point("own", found))
    with pytest.raises(HarnessError, match=r"^own \(package.module:TASK\)"):
        registry.trackers()


# ---- optimisers of installed packages


def optimiser(kind: str) -> Optimiser:
    return Optimiser(kind, "package.config:Own", "package.own:Own")


def test_an_installed_optimiser_stands_behind_the_harnesss_own(install: Install) -> None:
    assert list(registry.optimisers()) == [registry.DEFAULT_OPTIMISER]
    install(Point("own", optimiser("own")))
    assert list(registry.optimisers()) == [registry.DEFAULT_OPTIMISER, "own"]


@pytest.mark.parametrize("found", [optimiser("sgd"), own("own"), ImportError("own")])
def test_an_optimiser_that_cannot_be_declared_is_refused(install: Install, found: object) -> None:
    install(Point("own", found))
    with pytest.raises(HarnessError, match=r"^own \(package.module:TASK\)"):
        registry.optimisers()


@pytest.mark.parametrize("kind", ["stage", "result", "../own", "Own", "", "own.json"])
def test_a_trackers_file_has_a_name_of_its_own(kind: str) -> None:
    with pytest.raises(ValueError, match="name"):
        tracker(kind)


# ---- launchers


def launcher(kind: str) -> Launcher:
    return Launcher(kind, "Own", "package.run:Own", jobs="package.jobs:Jobs")


def test_stages_run_here_unless_something_else_is_said() -> None:
    found = registry.launchers()
    assert found[registry.DEFAULT_LAUNCHER].attached
    assert {kind for kind, each in found.items() if not each.attached} == {"local", "slurm"}


@pytest.mark.parametrize("found", [launcher("slurm"), own("own"), ImportError("submitit")])
def test_a_launcher_that_cannot_be_declared_is_refused(install: Install, found: object) -> None:
    install(Point("own", found))
    with pytest.raises(HarnessError, match=r"^own \(package.module:TASK\)"):
        registry.launchers()


@pytest.mark.parametrize("kind", ["auto", "pid", "machine", "runs", "Own", "", "../own"])
def test_a_launchers_section_and_keys_have_a_name_of_their_own(kind: str) -> None:
    with pytest.raises(ValueError, match="name"):
        launcher(kind)


@pytest.mark.parametrize(("attached", "jobs"), [(True, "package:Jobs"), (False, None)])
def test_a_launcher_is_attached_or_has_jobs(attached: bool, jobs: str | None) -> None:
    with pytest.raises(ValueError, match="jobs"):
        Launcher("own", "Own", "package.run:Own", attached=attached, jobs=jobs)


def test_every_reported_metric_is_declared_labelled_and_bounded() -> None:
    for name in registry.task_of():
        metric = metrics()[name]
        assert metric.label
        assert metric.possible(metric.least if metric.least is not None else 0.0)
        assert metric.unit != "%" or not metric.possible(170.0)
