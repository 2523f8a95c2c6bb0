"""What a report says of results over draws, and of several further tasks of one kind."""

from __future__ import annotations

import csv
import html
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from stage.tiny import TEXT, run

from harness.data.embedded import CLASSES as FIGURES
from harness.recipe.load import load_recipe
from harness.report.collect import Results, collect_single
from harness.report.evaluation_protocol import protocol_of, protocol_text
from harness.report.logistic_lines import logistic_lines
from harness.report.pictures import tables_of_each
from harness.report.protocol_lines import protocol_lines
from harness.report.provenance import provenance_table
from harness.report.table_text import text
from harness.report.write import write_report

SCENES = "images: {name: scenes, images: 90, tested: 80, size: 24}"
TASKS = f"""
tasks:
  few: {{kind: few_shot, shots: [4, 2], draws: 3}}
  fewer: {{kind: few_shot, shots: [1], draws: 3}}
  low: {{kind: svm_low_shot, {SCENES}, shots: [1], draws: 3}}
  voc: {{kind: svm, {SCENES}, c: [1.0]}}
  grid: {{kind: logistic, c: [0.1, 1.0], folds: 2, held_out: 1}}
"""
DRAWN = ("few", "fewer", "low")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    place = tmp_path_factory.mktemp("draws")
    path = place / "tiny.yaml"
    path.write_text(TEXT.replace("linear:", "linear: null #") + TASKS)
    kinds = ("pretrain", "knn", "few_shot", "svm_low_shot", "svm", "logistic")
    run(path, place / "runs", ("optim.epochs=1",), kinds=kinds)
    return collect_single(load_recipe(path, ["optim.epochs=1"]), place / "runs")


def test_every_output_says_that_an_interval_is_over_draws(results: Results, tmp_path: Path) -> None:
    files = {path.name: path.read_text() for path in write_report(results, tmp_path / "report")}
    for name in ("report.md", "report.html", "report.tex", "runs.csv", "results.json"):
        text = html.unescape(files[name])
        assert text.count("over 3 draws of one network, not over seeds") >= len(DRAWN), name
    stages = json.loads(files["results.json"])["cells"][0]["runs"][0]["stages"]
    widths = {
        name.partition("@")[0]
        for stage in stages.values()
        for name in stage["values"]
        if "half_width" in name
    }
    assert widths == {f"{kind}/half_width_over_draws" for kind in ("few_shot", "svm_low_shot")}


def test_each_run_has_its_interval_below_the_table(results: Results) -> None:
    lines = [line for line in protocol_lines(results) if "95 %" in line]
    assert [line.partition(": ")[0] for line in lines] == [f"tiny (seed 0), {n}" for n in DRAWN]
    (stage,) = results.runs[0].behind("few_shot/top1", "few")
    mean, width = (stage.values[f"few_shot/{x}@k2"] for x in ("top1", "half_width_over_draws"))
    assert f"k 2: {mean:.2f} ± {width:.2f}" in lines[0]


def test_the_ap_of_each_class_is_in_a_table(results: Results) -> None:
    (folded,) = tables_of_each(results)
    assert folded.title.endswith("of each class, voc")
    (stage,) = results.runs[0].behind("svm/map", "voc")
    aps = {row.key: text(row.cells[1]).text for row in folded.table.rows}
    assert aps.keys() == set(FIGURES)
    assert aps["disc"] == f"{stage.values['svm/ap@disc']:.2f}"


def test_the_images_of_svms_are_named_beside_their_numbers(results: Results) -> None:
    lines = protocol_lines(results)
    assert sum("scenes of 90 images of 24 pixels" in line for line in lines) == 2


def test_several_tasks_of_a_kind_are_of_the_installed_edition(results: Results) -> None:
    for name in ("few", "fewer"):
        value = results.value(results.runs[0], "few_shot/top1", name)
        assert (value.standing, value.detail) == ("finished", "")
    assert not any(each.startswith("Stale") for each in results.warnings)


def test_a_tasks_own_set_is_named_and_not_the_runs(results: Results, tmp_path: Path) -> None:
    files = {path.name: path.read_text() for path in write_report(results, tmp_path / "report")}
    (run,) = results.runs
    told = json.loads(files["results.json"])["cells"][0]["runs"][0]["stages"]
    stages = {stage.name: stage for stage in run.stages.values()}
    prints = {
        name: stage.entry.result["images" if name in ("voc", "low") else "data"]["fingerprint"]
        for name, stage in stages.items()
        if stage.entry.result
    }
    assert {stage["id"]: stage["data"] for stage in told.values()} == {
        stages[name].id: each for name, each in prints.items()
    }
    assert prints["voc"] != prints["knn"]
    (row,) = provenance_table(results, []).rows
    words = text(row.cells[4]).text.splitlines()
    assert f"scenes {prints['voc']}" in words
    assert f"embedded {prints['knn']}" in words
    (line,) = (line for line in csv.DictReader(io.StringIO(files["runs.csv"]))
               if line["metric"] == "svm/map")  # fmt: skip
    assert prints["voc"] in line.values()


def test_a_stale_result_has_no_interval_and_no_c(results: Results, tmp_path: Path) -> None:
    (run,) = results.runs
    stale = replace(run, copied="a copy")
    assert results.value(stale, "few_shot/top1", "few").standing == "stale"
    of = replace(results, cells=tuple(replace(cell, runs=(stale,)) for cell in results.cells))
    assert not any("95 %" in line for line in protocol_lines(of))
    assert (len(logistic_lines(results)), logistic_lines(of)) == (1, [])
    for name, content in ((p.name, p.read_text()) for p in write_report(of, tmp_path / "report")):
        assert "draws of one network, not over seeds" not in content, name


def test_only_the_first_k_is_part_of_the_protocol(results: Results) -> None:
    recipe = results.runs[0].recipe
    said = protocol_text(protocol_of(recipe, "few_shot/top1", "few"))
    assert "tasks.few.shots = 4," in said
    assert "tasks.few.draws = 3" in said
