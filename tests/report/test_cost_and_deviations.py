"""What a table cost, and where it departs from the paper's protocol."""

from __future__ import annotations

import json

from harness.report.cost import Cost, costs
from harness.report.deviations import deviations
from harness.report.document import compose
from harness.report.markdown import render
from report.conftest import Collected, Make


def test_hours_are_seconds_times_processes_by_device(make: Make, gather: Collected) -> None:
    bench = make((0, 1, 2))
    for seed, (device, processes) in enumerate((("cpu", 1), ("NVIDIA H100", 8), ("", 1))):
        bench.finish("m0.9", seed, 40.0)  # two stages of 60 s
        for kind in ("pretrain", "knn"):
            path = bench.folder("m0.9", seed, kind).path / "result.json"  # type: ignore[arg-type]
            result = json.loads(path.read_text()) | {"processes": processes}
            path.write_text(json.dumps(result | ({"device": device} if device else {})))
    found = gather(bench)
    assert costs(found.runs) == [
        Cost("NVIDIA H100", 0.266667),
        Cost("", 0.033333),
        Cost("cpu", 0.033333),
    ]
    wanted = "0.27 GPU-hours on NVIDIA H100, 0.033 hours on an unnamed device, 0.033 CPU-hours."
    assert f"Cost of all stages with a result: {wanted}" in render(compose(found, []))


def test_a_stage_that_two_cells_share_is_paid_once(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    runs = [run for run in gather(bench).runs if run.cell == "m0.9"]
    assert costs(runs * 2) == costs(runs) == [Cost("", 0.033333)]


def test_every_departure_is_listed_and_no_axis(make: Make, gather: Collected) -> None:
    found = deviations(gather(make()))
    assert found[0] == "Judged by kNN top-1; the paper by linear probe top-1."
    assert "Image size: 32 px (the papers: 224 px)." in found
    assert "Epochs: 10 (the papers: 200)." in found
    assert not any(line.startswith("Momentum") for line in found), "what the table varies"
    probe = found[-1]
    assert probe == (
        "Linear probe (in brackets the papers'): linear.epochs 20 (100), "
        "linear.drops [12, 16] ([60, 80])."
    )


def test_the_papers_own_probe_is_no_departure(make: Make, gather: Collected) -> None:
    bench = make(recipe_changes={"linear": {"lr": [30, 10]}})  # the second rate is sensitivity
    assert not any("robe (" in line for line in deviations(gather(bench)))


def test_a_table_that_was_not_printed_on_imagenet(make: Make, gather: Collected) -> None:
    changes = {"printed_at": "cifar10", "setting": "ResNet-18, CIFAR-10", "metric": "knn/top1"}
    assert deviations(gather(make(ablation_changes=changes))) == [
        "The numbers were printed at another scale: ResNet-18, CIFAR-10."
    ]
    same = make(ablation_changes=changes, scale_changes={"level": "cifar10"})
    assert deviations(gather(same)) == []
