"""What a table cost, and where it departs from the paper's protocol."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.recipe import reference
from harness.recipe.reference import papers
from harness.report.collect import collect
from harness.report.cost import Cost, costs
from harness.report.deviations import deviations
from harness.report.document import compose
from harness.report.markdown import render
from harness.report.scale import traits, traits_of
from report.build import MOMENTA, recipe
from report.conftest import Collected, Make


def test_hours_are_seconds_times_processes_by_device(make: Make, gather: Collected) -> None:
    bench = make((0, 1, 2))
    for seed, (device, processes) in enumerate((("cpu", 1), ("NVIDIA H100", 8), ("", 1))):
        provenance = {"machine": {"device": device}}
        bench.finish("m0.9", seed, 40.0, provenance=provenance)  # two stages of 60 s
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
    page = render(compose(found, []))
    for cost in ("0.27 GPU-hours on NVIDIA H100", "0.033 hours on ", "0.033 CPU-hours"):
        assert cost in page


def test_a_stage_that_two_cells_share_is_paid_once(make: Make, gather: Collected) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    runs = [run for run in gather(bench).runs if run.cell == "m0.9"]
    assert costs(runs * 2) == costs(runs) == [Cost("", 0.033333)]


def test_every_departure_is_listed_and_no_axis(make: Make, gather: Collected) -> None:
    found = deviations(gather(make()))
    assert [what in found[0] for what in ("kNN top-1", "linear probe top-1")] == [True, True]
    assert "Image size: 32 px (the papers: 224 px)." in found
    assert "Epochs: 10 (the papers: 200)." in found
    assert not any(line.startswith("Momentum") for line in found), "what the table varies"
    probe = found[-1]
    assert probe.startswith("Linear probe (")
    assert probe.endswith(": linear.epochs 20 (100), linear.drops [12, 16] ([60, 80]).")


def test_the_papers_own_probe_is_no_departure(make: Make, gather: Collected) -> None:
    bench = make(recipe_changes={"linear": {"lr": [30, 10]}})  # the second rate is sensitivity
    assert not any("robe (" in line for line in deviations(gather(bench)))


def test_a_table_that_was_not_printed_on_imagenet(make: Make, gather: Collected) -> None:
    changes = {"printed_at": "cifar10", "setting": "ResNet-18, CIFAR-10", "metric": "knn/top1"}
    (line,) = deviations(gather(make(ablation_changes=changes)))
    assert line.endswith(": ResNet-18, CIFAR-10.")
    same = make(ablation_changes=changes, scale_changes={"level": "cifar10"})
    assert deviations(gather(same)) == []


def references(**changes: Any) -> dict[str, Any]:
    """What the cells of the table are at the paper's scale: as here, but for the changes."""
    return {c: recipe(contrast__momentum=m, **changes) for c, m in MOMENTA.items()}


def test_cells_are_held_against_the_same_cells_at_the_papers_scale(
    make: Make, gather: Collected
) -> None:
    found = gather(make())
    same = replace(found, references=references())
    assert not [line for line in deviations(same) if "paper's scale" in line]
    assert not any(trait.differs for trait in traits(same)), "the axis is no deviation"
    other = replace(
        found,
        references=references(
            optim__weight_decay=1e-4 / 2,
            optim__schedule={"kind": "constant"},
            optim__sgd_momentum=0.5,
            augment__crop_scale=[0.5, 1.0],
            knn__temperature=0.5,
        ),
    )
    assert [line for line in deviations(other) if "paper's scale" in line] == [
        "Schedule: cosine (paper's scale: constant).",
        "Random crop, share of the image: 0.2, 1 (paper's scale: 0.5, 1).",
        "Momentum of SGD: 0.9 (paper's scale: 0.5).",
        "Weight decay: 0.0001 (paper's scale: 5e-05).",
    ], "and the kNN of a table that is printed by the linear probe is ours to choose"
    marked = {trait.what for trait in traits(other) if trait.differs}
    assert marked == {"schedule", "momentum of SGD", "weight decay", "augmentation"}


def finetune(**changes: Any) -> dict[str, Any]:
    task = {"kind": "finetune", "epochs": 4, "lr": 0.1, "schedule": {"kind": "constant"}}
    return {"tasks": {"all": {**task, **changes}}}


def test_another_protocol_than_the_tables_task_is_a_deviation(
    make: Make, gather: Collected
) -> None:
    judged = {"metric": "finetune/top1"}
    bench = make(ablation_changes=judged, scale_changes=judged, recipe_changes=finetune())
    found = gather(bench)
    same = replace(found, references=references(**finetune()))
    assert not [line for line in deviations(same) if line.startswith("Task")]
    longer = references(**finetune(epochs=9))
    other = deviations(replace(found, references=longer))
    assert "Task (paper's values in brackets): tasks.all.epochs 4 (9)." in other
    longer |= {"m0": references(**finetune())["m0"]}
    (line,) = [x for x in deviations(replace(found, references=longer)) if x.startswith("Task")]
    assert "“0.9”" in line
    assert "“0”" not in line


def test_what_differs_in_some_cells_only_names_them(make: Make, gather: Collected) -> None:
    papers = references()
    papers["m0"] = recipe(contrast__momentum=0.0, optim__batch=128, contrast__queue=256)
    papers["m0.9"] = recipe(contrast__momentum=0.8)
    found = replace(gather(make()), references=papers)
    assert [line for line in deviations(found) if "paper's scale" in line] == [
        "Negatives, K: 128 (paper's scale: 256) in “0”.",
        "Momentum m: 0.9 (paper's scale: 0.8) in “0.9”.",
        "Batch: 64 (paper's scale: 128) in “0”.",
    ]
    shown = {trait.what: trait for trait in traits(found)}
    assert (shown["batch"].papers, shown["batch"].differs) == ("varied: 128; 64", True)
    assert shown["momentum m"].differs
    page = render(compose(found, []))
    assert "of the same cells at the scale of the printed numbers" in page


def test_a_method_that_lacks_a_property_says_nothing_about_it() -> None:
    labelled = recipe(contrast={"kind": "supervised"})
    shown = {t.what: t for t in traits_of([recipe(contrast__momentum=0.9), labelled], [], None)}
    assert (shown["momentum m"].here, shown["momentum m"].differs) == ("varied: 0.9; none", True)
    assert shown["temperature τ"].here.endswith("; none")
    assert not {t.what: t for t in traits_of([labelled], [], None)}["momentum m"].differs


def test_without_counterparts_what_varies_differs_if_no_cell_has_the_papers_value(
    make: Make, gather: Collected
) -> None:
    shown = {trait.what: trait.differs for trait in traits(gather(make()))}
    assert not shown["momentum m"], "0.999 is among them"
    few = make(scale_changes={"cells": ["m0", "m0.9"]})
    assert {trait.what: trait.differs for trait in traits(gather(few))}["momentum m"]


def test_a_table_lacks_a_counterpart(make: Make, gather: Collected) -> None:
    papers = references()
    del papers["m0"]
    lines = deviations(replace(gather(make()), references=papers))
    assert "Batch: 64 (the papers: 256)." in lines


def test_schedule_decay_momentum_and_augmentation_are_compared_without_references(
    make: Make, gather: Collected
) -> None:
    changes = {
        "optim__schedule": {"kind": "constant"},
        "optim__weight_decay": 0.05,
        "optim__sgd_momentum": 0.8,
        "augment__crop_scale": [0.9, 1.0],
    }
    lines = deviations(gather(make(recipe_changes=changes)))
    for wanted in ("Schedule: constant (", "Weight decay: 0.05 (", "Momentum of SGD: 0.8 (",
                   "Augmentation: v1's, but random crop, share of the image 0.9, 1 ("):  # fmt: skip
        assert [line for line in lines if line.startswith(wanted)], wanted


def test_a_mistake_in_a_recipe_of_the_papers_settings_is_said(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    bench = make()
    assert not gather(bench).warnings
    (tmp_path / "ablation_momentum.yaml").write_text("ablation: momentum\nmargin: wide\n")
    found = collect(bench.expansion, bench.scale, bench.runs, path=tmp_path / "tiny.yaml")
    assert [w for w in found.warnings if "ablation_momentum.yaml:2" in w]


def test_without_the_papers_recipes_the_report_is_made_and_says_so(
    make: Make, gather: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(reference, "shipped", lambda folder: Path("nowhere"))  # noqa: ARG005
        papers.cache_clear()
        found = gather(make())
        page = render(compose(found, []))
    papers.cache_clear()
    assert sum("moco_v" in warning for warning in found.warnings) == len(reference.PAPERS)
    assert "| learning rate | unknown | 0.06 | differs |" in page
    assert "| learning rate | 0.03 | 0.06 | differs |" in render(compose(gather(make()), []))
