"""When health is measured and on what; that it changes nothing else; the alarm of a collapse."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
import torch
from gloo import Pool

from harness.certify.trajectory import training
from harness.data.datasets import DataSet, open_data
from harness.launch.stage_record import describe
from harness.methods.moco.method import MoCo
from harness.plan import make_plan
from harness.recipe.schema import Data, Recipe
from harness.runtime.world import World
from harness.spec.registry import metrics
from harness.stage import pretrain
from harness.stage.execute import Job, execute
from harness.stage.health import Health, recorded
from harness.store import journal
from harness.store.layout import StageFolder

from . import trajectory
from .tiny import final_state, run, same, write
from .together import Notes
from .trajectory import recipe

ALONE = World.alone(torch.device("cpu"))
NAMES = [name for name in metrics() if name.startswith("health/")]
KINDS = ("pretrain",)


def epochs(folder: StageFolder) -> list[float]:
    return [epoch for _, epoch, _ in journal.series(journal.read(folder), NAMES[0])]


def test_weights_and_everything_else_are_the_same_without_it(tmp_path: Path) -> None:
    told = {}
    for said in ("null", "0"):
        sets = (f"watch.health_epochs={said}",)
        told[said] = run(write(tmp_path), tmp_path / said, sets, kinds=KINDS)["pretrain"]
    assert told["null"].id == told["0"].id
    assert same(final_state(told["null"]), final_state(told["0"]))
    with_, without = (
        [
            {n: v for n, v in r.items() if n not in ("t", "train/images_per_s", *NAMES)}
            for r in journal.read(folder)
        ]
        for folder in told.values()
    )
    assert [record for record in with_ if set(record) - {"step", "epoch"}] == without
    assert epochs(told["null"]) == [1, 2, 3]
    assert epochs(told["0"]) == []


def test_all_that_is_declared_is_measured_and_in_the_result(tmp_path: Path) -> None:
    folder = run(write(tmp_path), tmp_path / "runs", kinds=KINDS)["pretrain"]
    assert folder.result is not None
    last = next(r for r in reversed(journal.read(folder)) if NAMES[0] in r)
    for name in NAMES:
        assert folder.result["values"][name] == last[name]
        assert metrics()[name].possible(last[name])
    assert last["health/positive_similarity"] == pytest.approx(1 - last["health/alignment"] / 2)
    assert recorded(folder, 15) == {name: last[name] for name in NAMES}
    assert recorded(folder, 14)["health/rankme"] != last["health/rankme"]
    assert recorded(folder, 4) == {}


@pytest.mark.parametrize("contrast", ["moco", "end_to_end", "memory_bank"])
def test_any_number_of_processes_measures_the_same(gloo: Pool, contrast: str) -> None:
    """And the monitor's extraction gives the same features as one of its own."""
    alone = trajectory.health(ALONE, contrast)
    for found in alone:
        assert found.keys() == alone[0].keys() >= {"health/negative_similarity"}
        assert found == pytest.approx(alone[0], rel=1e-4, abs=1e-5)
    for size in (2, 4):
        for each in gloo.run(trajectory.health, size, contrast, timeout=120):
            for found in each:
                assert found == pytest.approx(alone[0], rel=1e-3, abs=1e-4)


def test_measuring_leaves_the_mechanism_and_the_random_numbers_as_they_were() -> None:
    loop = training(ALONE, recipe("moco"))
    before, draws = copy.deepcopy(loop.mechanism.state_dict()), torch.get_rng_state()
    one, other = (loop.health.measure(loop.mechanism, None) for _ in range(2))
    assert one == other
    assert torch.equal(torch.get_rng_state(), draws)
    assert loop.mechanism.query.training
    state = loop.mechanism.state_dict()
    assert all(same(before[name], state[name]) for name in state)


def data_of(images: int) -> DataSet:
    return open_data(Data(name="embedded", images=images, size=16), Path("/nonexistent"))


def health(images: int, watch: dict[str, int] | None = None, *, own_bank: bool = True) -> Health:
    made = Recipe.model_validate(recipe("moco").model_dump() | {"watch": watch or {}}, strict=False)
    data = data_of(images)
    if not own_bank:
        data = copy.copy(data)
        object.__setattr__(data, "bank", data.test)
    return Health(made, data, ALONE)


def test_the_images_are_fixed_and_all_where_there_are_few() -> None:
    few, many = health(100), health(3000)
    assert sorted(few.index.tolist()) == list(range(100))
    assert (few.pairs, many.images, many.pairs) == (16, 2048, 46)
    assert len(set(many.index.tolist())) == 2048
    assert torch.equal(many.index, health(3000).index)
    assert health(3000, own_bank=False).images == 256
    assert many.kept() is not None
    assert health(3000, own_bank=False).kept() is None


@pytest.mark.parametrize(
    ("watch", "own_bank", "expected"),
    [
        ({}, True, {3, 6, 8}),  # with the monitor, every 3rd epoch, and after the last
        ({"health_epochs": 0}, True, set()),
        ({"health_epochs": 2}, True, {2, 4, 6, 8}),
        ({"health_epochs": 5}, False, {5, 8}),
        ({}, False, {4, 8}),
    ],
)
def test_when_it_is_due(watch: dict[str, int], own_bank: bool, expected: set[int]) -> None:
    found = health(3000, watch, own_bank=own_bank)
    due = {e for e in range(1, 9) if found.due(e, last=e == 8, monitored=e % 3 == 0)}
    assert due == expected


def test_encoding_by_itself_stays_under_a_hundredth_of_the_training() -> None:
    for images in (300, 3000, 20000):
        found = health(images, own_bank=False)
        passes = (found.images + 2 * found.pairs) / 3  # of a step's cost for an image
        assert passes / found.every <= 0.01 * images


def planted(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """From step `first` (from 1) on, the head maps all images to nearly one embedding."""
    real, steps = MoCo.after_step, itertools.count(1)

    def collapsing(self: MoCo) -> None:
        real(self)
        if next(steps) >= first:
            head = self.query.head
            assert isinstance(head, torch.nn.Linear)
            head.weight.data.fill_(1e-6)
            head.bias.data.fill_(1.0)

    monkeypatch.setattr(MoCo, "after_step", collapsing)


def test_a_planted_collapse_raises_the_alarm_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the second of three epochs, also in an attempt that begins after it."""
    planted(monkeypatch, 6)
    monkeypatch.setattr(pretrain, "SETTLED", 10)
    made, looks, notes = write(tmp_path), itertools.count(1), Notes()
    stopped = run(made, tmp_path / "runs", kinds=KINDS, stopping=lambda: next(looks) >= 12)
    folder = stopped["pretrain"]
    assert execute(Job(folder.path, Path(), "cpu"), notes, lambda: False) == "finished"
    assert notes.told == []  # the first attempt has said it
    assert folder.result is not None
    assert folder.result["values"]["health/collapsed"] == 2.0
    seen = journal.series(journal.read(folder), "health/collapsed")
    assert [value for _, _, value in seen] == [0.0, 2.0, 2.0]


def test_the_note_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, notes = iter(["narrow", "narrow", ""]), Notes()
    monkeypatch.setattr(pretrain, "collapse", lambda *_: next(said))
    monkeypatch.setattr(pretrain, "SETTLED", 5)
    folder = run(write(tmp_path), tmp_path / "runs", kinds=())["pretrain"]
    stage = make_plan(tmp_path / "tiny.yaml", (), tmp_path / "runs").stages[0]
    folder.create(describe(stage, "tiny"))
    execute(Job(folder.path, Path(), "cpu"), notes, lambda: False)
    (note,) = notes.told
    assert "collapsed since epoch 1: narrow" in note
    seen = journal.series(journal.read(folder), "health/collapsed")
    assert [value for _, _, value in seen] == [1.0, 1.0, 0.0]


def test_no_alarm_before_the_running_statistics_have_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, 1)
    sets = ("optim.epochs=11", "watch.knn_epochs=0", "watch.health_epochs=3")
    folder = run(write(tmp_path), tmp_path / "runs", sets, kinds=KINDS)["pretrain"]
    seen = journal.series(journal.read(folder), "health/collapsed")
    assert [(step, value) for step, _, value in seen] == [(15, 0), (30, 0), (45, 0), (55, 11)]


@pytest.mark.parametrize(
    "contrast",
    [
        "kind: moco, queue: 50, momentum: 0.9",
        "kind: end_to_end",
        "kind: memory_bank, negatives: 50",
    ],
)
def test_no_alarm_of_a_healthy_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contrast: str
) -> None:
    monkeypatch.setattr(pretrain, "SETTLED", 0)
    made = write(tmp_path, old="kind: moco, queue: 50, momentum: 0.9", new=contrast)
    folder = run(made, tmp_path / "runs", kinds=KINDS)["pretrain"]
    seen = journal.series(journal.read(folder), "health/collapsed")
    assert [value for _, _, value in seen] == [0.0, 0.0, 0.0]


def test_features_that_are_not_finite_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found without the kNN monitor, after the first of three epochs."""
    real, steps = MoCo.after_step, itertools.count(1)

    def spoiling(self: MoCo) -> None:
        real(self)
        if next(steps) == 5:
            self.query.get_parameter("head.bias").data.fill_(torch.inf)

    monkeypatch.setattr(MoCo, "after_step", spoiling)
    monkeypatch.setattr(pretrain.Pretraining, "_monitor", lambda _: None)
    sets = ("watch.health_epochs=1",)
    folder = run(write(tmp_path), tmp_path / "runs", sets, kinds=KINDS)["pretrain"]
    assert folder.result is not None
    assert (folder.result["state"], folder.result["step"]) == ("diverged", 5)
