from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from miniature_recipe import MINIATURE

from harness import estimate
from harness.estimate import Computer, History, computer, history, seconds
from harness.launch.stage_record import describe
from harness.plan import Plan, make_plan
from harness.store import atomic, operating_system
from harness.store.attempt import begin
from harness.store.layout import stage_folder

HERE = Computer("cpu", 1)
STEPS = 8  # of a measured pre-training; 128 images make 4 of an epoch


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(MINIATURE)
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def _no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating_system, "PROC", tmp_path / "proc")


def plan(recipe: Path, runs: Path, *sets: str, on: Computer = HERE) -> Plan:
    return make_plan(recipe, sets, runs, on=on)


def measured(recipe: Path, runs: Path, *sets: str, **facts: Any) -> None:
    """Finish all stages of the recipe, with these facts in the results."""
    for stage in plan(recipe, runs, *sets).stages:
        folder = stage_folder(runs, stage.id)
        folder.create(describe(stage, "tiny"))
        result = {
            "state": "finished",
            "step": STEPS,
            "values": {},
            "device": "cpu",
            "processes": 1,
            "data": {"train": 128},
            **facts,
        }
        atomic.write_json(folder.path / "result.json", result)


def planned(recipe: Path, runs: Path, *sets: str, on: Computer = HERE) -> list[float | None]:
    return [stage.seconds for stage in plan(recipe, runs, *sets, on=on).stages]


def test_nothing_is_known_of_an_empty_root(recipe: Path, runs: Path) -> None:
    assert history(runs, HERE) == History()
    assert planned(recipe, runs) == [None] * 3
    assert plan(recipe, runs).seconds is None


def test_what_was_measured_is_foreseen(recipe: Path, runs: Path) -> None:
    measured(recipe, runs, seconds=8.0)
    assert planned(recipe, runs) == [0, 0, 0], "finished"
    assert planned(recipe, runs, "seed=1") == [8, 8, 8]
    assert planned(recipe, runs, "seed=1", "optim.epochs=20") == [80, 8, 8]
    assert planned(recipe, runs, "seed=1", "optim.epochs=20", "optim.steps=5") == [5, 8, 8]
    made = plan(recipe, runs, "seed=1")
    assert made.seconds == 24
    assert made.hours == pytest.approx(24 / 3600)


def test_it_is_the_wall_time_with_monitoring_and_checkpoints(recipe: Path, runs: Path) -> None:
    measured(recipe, runs, seconds=8.0, images_per_s=1e6)
    assert planned(recipe, runs, "seed=1")[0] == 8


@pytest.mark.parametrize("alike", ["contrast.momentum=0.5", "contrast.temperature=1", "optim.lr=1"])
def test_what_costs_no_time_is_alike(recipe: Path, runs: Path, alike: str) -> None:
    measured(recipe, runs, seconds=8.0)
    assert planned(recipe, runs, alike) == [8, 8, 8]


@pytest.mark.parametrize("other", ["data.size=32", "precision=bf16", "model.width=2"])
def test_what_costs_time_is_not(recipe: Path, runs: Path, other: str) -> None:
    measured(recipe, runs, seconds=8.0)
    assert planned(recipe, runs, other) == [None] * 3


@pytest.mark.parametrize(
    "other", ["contrast.symmetric=true", "contrast.queue=96", "watch.knn_epochs=0", "knn.k=[6]"]
)
def test_what_costs_pre_training_time_is_not(recipe: Path, runs: Path, other: str) -> None:
    measured(recipe, runs, seconds=8.0)
    assert planned(recipe, runs, "seed=1", other)[0] is None


@pytest.mark.parametrize(
    "on", [Computer("NVIDIA H200", 1), Computer("cpu", 2), Computer("mps", 1)], ids=str
)
def test_what_another_computer_took_tells_nothing(recipe: Path, runs: Path, on: Computer) -> None:
    measured(recipe, runs, seconds=8.0)
    assert planned(recipe, runs, "seed=1", on=on) == [None] * 3
    measured(recipe, runs, "seed=2", seconds=4.0, device=on.device, processes=on.processes)
    assert planned(recipe, runs, "seed=1", on=on) == [4, 4, 4]
    assert planned(recipe, runs, "seed=1") == [8, 8, 8]


def test_the_median_of_several(recipe: Path, runs: Path) -> None:
    for seed, took in enumerate((1.0, 8.0, 1000.0)):
        measured(recipe, runs, f"seed={seed}", seconds=took)
    assert planned(recipe, runs, "seed=9")[0] == 8


def test_of_a_run_to_be_resumed_the_rest_is_told(recipe: Path, runs: Path) -> None:
    measured(recipe, runs, seconds=8.0)
    stage = plan(recipe, runs, "seed=1").stages[0]
    folder = stage_folder(runs, stage.id)
    folder.create(describe(stage, "tiny"))
    begin(folder).end("interrupted")
    assert planned(recipe, runs, "seed=1")[0] == 8, "no checkpoint yet"
    for name in ("step-00000002-abc.pt", "step-00000006-abc.pt", "step-x.pt", "other"):
        (folder.checkpoints / name).touch()
    assert planned(recipe, runs, "seed=1")[0] == 2


def test_of_a_run_to_be_resumed_the_rest_is_its_cost(recipe: Path, runs: Path) -> None:
    stating = recipe.with_name("stating.yaml")
    stating.write_text(recipe.read_text() + "about: {cost: {hours: 4, on: it, source: it}}\n")
    before = plan(stating, runs)
    folder = stage_folder(runs, before.stages[0].id)
    folder.create(describe(before.stages[0], "tiny"))
    begin(folder).end("interrupted")
    (folder.checkpoints / "step-00000006-abc.pt").touch()
    after = plan(stating, runs)
    assert (before.stated_hours, after.stated_hours) == (4, 1)
    assert after.images == (before.images or 0) / 4


def test_an_untrained_control_is_monitored_once(recipe: Path, runs: Path) -> None:
    assert planned(recipe, runs, "optim.epochs=0") == [None] * 3
    measured(recipe, runs, seconds=8.0)
    assert planned(recipe, runs, "optim.epochs=0") == [8, 8, 8]


def test_without_a_monitor_an_untrained_control_takes_no_time(recipe: Path, runs: Path) -> None:
    assert planned(recipe, runs, "optim.epochs=0", "knn=null") == [0, None]
    task = "{kind: knn, k: [5], data: {name: cifar10, size: 32}}"
    watched = ["optim.epochs=0", "knn=null", f"tasks={{other: {task}}}", "watch.knn_task=other"]
    assert planned(recipe, runs, *watched) == [None] * 3


@pytest.mark.parametrize("took", [0, -1, None, "fast", float("nan"), [1]])
def test_what_is_no_time_teaches_nothing(recipe: Path, runs: Path, took: Any) -> None:
    measured(recipe, runs, seconds=1.0)
    for path in runs.glob("*/result.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": took}))
    assert history(runs, HERE) == History()


@pytest.mark.parametrize("facts", [{"state": "diverged"}, {"step": None}, {"data": None}])
def test_what_is_no_whole_result_teaches_nothing(
    recipe: Path, runs: Path, facts: dict[str, Any]
) -> None:
    measured(recipe, runs, seconds=8.0, **facts)
    assert planned(recipe, runs, "seed=1")[0] is None


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"kind": "pretrain"}', '{"kind": "knn", "recipe": null}',
             '{"kind": ["x"], "recipe": {"data": 3}}']
)  # fmt: skip
def test_a_damaged_or_foreign_folder_teaches_nothing(recipe: Path, runs: Path, text: str) -> None:
    measured(recipe, runs, seconds=1.0)
    for path in runs.glob("*/stage.json"):
        path.write_text(text)
    (runs / "a-link-to-nothing").symlink_to(runs / "none")
    assert history(runs, HERE) == History()


def test_of_many_folders_the_newest_are_read(
    recipe: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "NEWEST", 3)
    measured(recipe, runs, seconds=1.0)
    for path in runs.iterdir():
        os.utime(path, (0, 0))
    measured(recipe, runs, "seed=1", seconds=8.0)
    assert planned(recipe, runs, "seed=2") == [8, 8, 8]


def test_images_of_a_data_set_of_known_size(recipe: Path, runs: Path) -> None:
    measured(recipe, runs, seconds=8.0)
    assert planned(recipe, runs, "data.images=null")[0] == 2 * (20_000 // 32)


def test_images_of_a_folder_are_known_once_it_was_read(recipe: Path, runs: Path) -> None:
    folder = ["data.name=imagefolder", "data.folder=pets", "data.images=null"]
    assert planned(recipe, runs, *folder) == [None] * 3
    measured(recipe, runs, *folder, seconds=8.0, data={"train": 3200})
    found = plan(recipe, runs, *folder, "seed=1").stages[0].recipe
    assert seconds(found, "pretrain", history(runs, HERE)) == 2 * (3200 // 32)
    assert planned(recipe, runs, *folder, "seed=1") == [200, 8, 8]


def test_stated_hours_are_the_pre_trainings(recipe: Path, runs: Path) -> None:
    cost = "about.cost={hours: 53, on: 8 V100, gpus: 8, source: v1}"
    made = plan(recipe, runs, cost)
    assert (made.seconds, made.stated_hours, made.hours) == (None, 53, 53)
    assert plan(recipe, runs, cost, "optim.epochs=0").hours is None


# ---- measured by bench


def bench(recipe: Path, runs: Path, *sets: str, name: str = "b.json", **other: Any) -> Path:
    """Keep a measurement: a step takes 1 s, an image 1 ms, a vote of 100 x 1000 1 s."""

    def median(value: float) -> dict[str, float]:
        return {"median": value}

    facts = {
        "recipe": plan(recipe, runs, *sets).stages[0].recipe.model_dump(mode="json"),
        "images": {"train": 128, "bank": 128, "test": 2000},
        "knn": [100, 1000],
        "machine": {"cpu": "A CPU"},
        "data": "embedded",
        "measured": "2026-01-02T03:04:05Z",
        **other.pop("facts", {}),
    }
    record = {
        "device": "cpu",
        "processes": 1,
        "whole": {"end to end": median(1.0)},
        "parts": {"checkpoint": median(0.25), "checkpoint on disk": median(0.5)},
        "evaluation": {"knn": median(1.0), "encode": median(0.001), "all rates": median(0.01)},
        "facts": facts,
        **other,
    }
    (runs / "bench").mkdir(parents=True, exist_ok=True)
    atomic.write_json(runs / "bench" / name, record)
    return runs / "bench" / name


BENCHED = Computer("cpu", 1, "A CPU")
PASS = 2000 * 128 / 100_000 + (2000 + 128) / 1000
PROBE = 3 * 0.01 + (2000 + 3 * 128) / 1000
"""3 epochs of one batch of the probe, whose views are drawn anew in each."""


def test_a_measurement_is_put_together(recipe: Path, runs: Path) -> None:
    bench(recipe, runs)
    on = BENCHED
    assert planned(recipe, runs, on=on) == pytest.approx([8 + 2 * PASS + 2 * 0.5, PASS, PROBE])
    fewer = planned(recipe, runs, "watch.knn_epochs=0", on=on)[0]
    assert fewer == pytest.approx(8 + PASS + 2 * 0.5), "the last epoch's pass is always made"
    more = planned(recipe, runs, "watch.checkpoint_steps=2", on=on)[0]
    assert more == pytest.approx(8 + 2 * PASS + 6 * 0.5)
    part = planned(recipe, runs, "optim.epochs=20", "optim.steps=6", on=on)[0]
    assert part == pytest.approx(6 + 2 * PASS + 2 * 0.5)
    asked = planned(recipe, runs, "knn.queries=100", on=on)[1]
    assert asked == pytest.approx(100 * 128 / 100_000 + 228 / 1000)
    center = planned(recipe, runs, "linear.views=center", on=on)[2]
    assert center == pytest.approx(3 * 0.01 + (2000 + 128) / 1000)


def test_a_gpu_only_waits_for_the_copy(recipe: Path, runs: Path) -> None:
    bench(recipe, runs, device="NVIDIA H200")
    found = planned(recipe, runs, on=Computer("NVIDIA H200"))[0]
    assert found == pytest.approx(8 + 2 * PASS + 2 * 0.25)


def test_a_measurement_comes_before_finished_runs_and_says_so(recipe: Path, runs: Path) -> None:
    measured(recipe, runs, seconds=8.0)
    assert plan(recipe, runs, "seed=1", on=BENCHED).sources == ("finished runs",)
    bench(recipe, runs, evaluation={"knn": {"median": 1.0}, "encode": {"median": 0.001}})
    made = plan(recipe, runs, "seed=1", on=BENCHED)
    assert made.sources == ("bench (2026-01-02)", "finished runs")
    assert [s.seconds for s in made.stages][1:] == [pytest.approx(PASS), 8], "no probe measured"


def test_the_newest_measurement_counts(recipe: Path, runs: Path) -> None:
    old = bench(recipe, runs, name="z.json")
    os.utime(old, (0, 0))
    bench(recipe, runs, name="a.json", whole={"end to end": {"median": 2.0}})
    assert planned(recipe, runs, on=BENCHED)[0] == pytest.approx(16 + 2 * PASS + 1)
    bench(recipe, runs, name="of-tasks-alone.json", whole={})
    assert planned(recipe, runs, on=BENCHED)[0] == pytest.approx(16 + 2 * PASS + 1)


@pytest.mark.parametrize(
    ("other", "on"),
    [
        ({"device": "NVIDIA H200"}, BENCHED),
        ({"processes": 2}, BENCHED),
        ({"facts": {"machine": {"cpu": "B"}}}, BENCHED),
        ({}, Computer("cpu", 1)),
        ({}, Computer("cpu", 2, "A CPU")),
        ({"facts": {"data": "noise", "images": None}}, BENCHED),
        ({"facts": {"images": None}}, BENCHED),
        ({"whole": {}}, BENCHED),
        ({"whole": {"end to end": {"median": "fast"}}}, BENCHED),
        ({"whole": {"end to end": {"median": -1e9}}}, BENCHED),
        ({"facts": []}, BENCHED),
    ],
)
def test_another_machines_or_no_measurement(
    recipe: Path, runs: Path, other: dict[str, Any], on: Computer
) -> None:
    path = bench(recipe, runs)
    record = json.loads(path.read_text())
    facts = other.get("facts", {})
    if isinstance(facts, dict):
        other = {**other, "facts": {**record["facts"], **facts}}
    path.write_text(json.dumps({**record, **other}))
    assert planned(recipe, runs, on=on)[0] is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"facts": {}}'])
def test_a_damaged_measurement(recipe: Path, runs: Path, text: str) -> None:
    bench(recipe, runs).write_text(text)
    assert planned(recipe, runs, on=BENCHED) == [None] * 3


@pytest.mark.parametrize("other", ["optim.batch=64", "knn.layer=output", "data.size=32"])
def test_another_shapes_measurement(recipe: Path, runs: Path, other: str) -> None:
    bench(recipe, runs)
    assert planned(recipe, runs, other, on=BENCHED) == [None] * 3


# ---- what computes


@pytest.mark.parametrize(
    ("device", "visible", "name"),
    [("auto", "0,1", "H200"), ("cuda", "0,1", "H200"), ("cuda:1", "0,1", "L4"),
     ("cpu", "0", "cpu"), ("cuda:7", "0,1", "L4"), ("mps", "0", "mps"), ("mps:0", "0", "mps"),
     ("cuda:x", "0", "H200"), ("auto", "1", "L4"), ("cuda:1", "1,0", "H200"),
     ("auto", "GPU-12ab", "GPU"), ("auto", "", "cpu")],
)  # fmt: skip
def test_a_device_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, visible: str, name: str
) -> None:
    monkeypatch.setattr(estimate.metadata, "version", lambda _: "2.13.0+cu130")
    for number, model in enumerate(("H200", "L4")):
        folder = tmp_path / "proc/driver/nvidia/gpus" / f"0000:0{number}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 5\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert computer(device, 2) == Computer(name, 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    assert computer("auto", 1).device == "GPU", "CUDA's first is the fastest"
    monkeypatch.setattr(estimate.metadata, "version", lambda _: "2.13.0+cpu")
    assert computer("auto", 1) == HERE


def test_without_a_gpu_it_is_the_cpu() -> None:
    assert computer("auto", 1) == HERE
    assert computer("cpu", 1).cpu == operating_system.cpu() != ""
    assert computer("cuda", 1) == Computer("cuda", 1), "run will refuse it"


def test_what_computes_on_a_cluster(recipe: Path, runs: Path) -> None:
    assert estimate.elsewhere(runs, 4, gpus=False) == Computer("cpu", 4)
    assert estimate.elsewhere(runs, 16, gpus=True) == Computer("GPU", 16), "nothing is known of it"
    measured(recipe, runs, device="NVIDIA H100", processes=16)
    measured(recipe, runs, "seed=1", device="NVIDIA A100", processes=8)
    measured(recipe, runs, "seed=2", device="cpu", processes=16)
    assert estimate.elsewhere(runs, 16, gpus=True) == Computer("NVIDIA H100", 16)


def test_a_plan_of_stages_at_once(
    recipe: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating_system, "cores", lambda: 4)
    measured(recipe, runs, seconds=16.0)
    seeds = ("seeds=[1, 2]",)
    alone = plan(recipe, runs, *seeds)
    assert alone.seconds is not None
    two = plan(recipe, runs, *seeds, on=replace(HERE, at_once=2))
    assert two.seconds == pytest.approx(alone.seconds / 2)
    for stage in plan(recipe, runs).stages:
        attempt = stage_folder(runs, stage.id).path / "attempts" / "0001"
        attempt.mkdir(parents=True)
        atomic.write_json(attempt / "attempt.json", {"machine": {"threads": 4}})
    assert plan(recipe, runs, *seeds).seconds == alone.seconds
    two = plan(recipe, runs, *seeds, on=replace(HERE, at_once=2))
    assert two.seconds == pytest.approx(alone.seconds), "each then has half of the cores"
