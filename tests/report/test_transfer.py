"""The laptop's table of transfer: four starts, four pre-trainings each, trials nested in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import pytest

import harness
from harness.plan import make_plan
from harness.recipe.ablation import CONTROL, Scale
from harness.recipe.expand import Member, expand
from harness.recipe.identity import described, record, specs, stage_id
from harness.recipe.load import load_scale
from harness.report.claims import judge
from harness.report.collect import Results, collect
from harness.report.results_table import results_table
from harness.report.table import Measurement, Printed
from harness.report.table_text import text
from harness.report.trial_lines import trial_lines
from harness.report.write import write_report
from harness.store.edition import Editions
from harness.store.layout import stage_folder
from report.build import EDITION

PATH = Path(harness.__file__).parent.parent / "recipes" / "ablation_transfer_quick.yaml"
MIOU, AP = "segmentation/miou", "detection/ap"
STARTS = {CONTROL: 16.0, "moco-short": 20.0, "moco-long": 27.0, "supervised": 60.0}


def finish(runs: Path, member: Member, miou: Mapping[int, float], below: float = 10.0) -> None:
    """Write all stages of a run as finished; `miou`: the trials' values. Box AP is `below` it."""
    recipe = member.recipe
    for name, asked in specs(recipe).items():
        folder = stage_folder(runs, stage_id(recipe, name))
        above = stage_id(recipe, asked.parent) if asked.parent else None
        said = {"schema": 1, "id": folder.id, "name": recipe.name, "seed": recipe.seed}
        folder.create(
            {**said, **record(recipe, name), "parent": above, "recipe": described(recipe, name)}
        )
        data = {"name": "embedded", "fingerprint": "f1a9"}
        values = {
            "pretrain": {"train/loss": int(folder.id[-10:], 16) / 16**10},  # no two are alike
            "knn": {"knn/top1": 40.0},
            "segmentation": {MIOU: miou[asked.trial], "segmentation/accuracy": 90.0},
            "detection": {
                AP: miou[asked.trial] - below,
                "detection/ap50": miou[asked.trial] - below + 5.0,
                "detection/ap75": 1.0,
            },
        }[asked.task.kind]
        attempt = folder.path / "attempts" / "0001"
        attempt.mkdir(exist_ok=True)
        (attempt / "attempt.json").write_text(json.dumps({"edition": EDITION, "data": data}))
        result = {"state": "finished", "values": values, "step": 1, "message": "", "data": data}
        weights = stage_id(recipe, "pretrain")[-10:]
        result |= {"attempt": 1, "seconds": 1.0, "edition": EDITION, "weights": weights}
        (folder.path / "result.json").write_text(json.dumps(result))


@pytest.fixture
def scale() -> Scale:
    return load_scale(PATH)


def collected(scale: Scale, runs: Path) -> Results:
    return collect(expand(scale, PATH), scale, runs, installed=Editions.same(EDITION))


def filled(scale: Scale, runs: Path, between: float, within: float) -> Results:
    """The table, with a deviation between pre-trainings and one between trials of each."""
    for place, member in enumerate(expand(scale, PATH).members):
        start = (
            STARTS[member.cell] + between * (0.3, -0.7, 1.0, -0.6)[scale.seeds.index(member.seed)]
        )
        start *= 1 + 0.001 * (place % 3)
        finish(runs, member, {0: start - within, 1: start + within})
    return collected(scale, runs)


def test_all_starts_are_fine_tuned_alike_in_every_trial(scale: Scale, tmp_path: Path) -> None:
    made = make_plan(PATH, [], tmp_path)
    members = expand(scale, PATH).members
    assert {member.cell for member in members} == set(STARTS)
    assert len(scale.seeds) == 4
    for name in ("scenes", "boxes"):
        (protocol,) = {member.recipe.tasks[name] for member in members}
        assert protocol.trials > 1
        tuned = [stage for stage in made.stages if stage.kind == protocol.kind]
        assert len({stage.id for stage in tuned}) == len(tuned) == len(members) * protocol.trials
    long, supervised = (
        next(m.recipe for m in members if m.cell == cell) for cell in ("moco-long", "supervised")
    )
    same = supervised.optim.model_copy(update={"epochs": long.optim.epochs})
    assert (same, supervised.augment) == (long.optim, long.augment)


def test_a_pre_training_is_one_value_however_many_trials(scale: Scale, tmp_path: Path) -> None:
    """Trials that agree do not make a verdict, and trials that differ do not lose one."""
    results = filled(scale, tmp_path, between=0.5, within=3.0)
    cell = results.cell("moco-long")
    assert cell is not None
    values = {value.seed: value.value for value in results.values(cell)}
    assert len(values) == 4
    for run in cell.runs:
        trials = [stage.values[MIOU] for stage in run.behind(MIOU)]
        assert trials[1] - trials[0] == pytest.approx(6.0)
        assert values[run.seed] == pytest.approx(fmean(trials))
    found = {each.claim.id: each for each in judge(results)}
    assert {name: each.verdict for name, each in found.items()} == {
        "moco-beats-random": "reproduced",
        "longer-is-better": "reproduced",
        "moco-beats-supervised": "not reproduced",
        "supervision-wins": "reproduced",
        "moco-detects-better": "reproduced",
        "longer-detects-better": "reproduced",
        "supervision-detects-better": "reproduced",
    }
    for each in found.values():
        assert each.decision is not None
        assert each.decision.seeds == 4
    noisy = filled(scale, tmp_path / "noisy", between=12.0, within=0.0)
    # paired by seed, the common part of the deviation falls out; what one cell has alone does not
    for place, run in enumerate(noisy.runs):
        if run.cell == "moco-long":
            far = STARTS["moco-long"] + 12.0 * (-1) ** place
            finish(tmp_path / "noisy", Member(run.cell, run.seed, run.recipe), {0: far, 1: far})
    told = {each.claim.id: each.verdict for each in judge(collected(scale, tmp_path / "noisy"))}
    assert told["longer-is-better"] == "undecided"
    assert told["moco-beats-random"] == "undecided"


def test_a_result_on_other_masks_is_not_averaged_with_the_rest(
    scale: Scale, tmp_path: Path
) -> None:
    """Two of four pre-trainings were fine-tuned where the masks were others, their data alike."""
    whole = filled(scale, tmp_path, between=0.5, within=1.0)
    for run in whole.runs:
        other = run.cell == "moco-long" and run.seed in scale.seeds[:2]
        for stage in run.behind(MIOU):
            path = stage.entry.folder.path / "result.json"
            result = json.loads(path.read_text())
            result["masks"] = {"name": "scenes", "fingerprint": "0a0a" if other else "f1a9"}
            path.write_text(json.dumps(result))
    results = collected(scale, tmp_path)
    (cell,) = (each for each in results.cells if each.id == "moco-long")
    told = {value.seed: (value.standing, value.detail) for value in results.values(cell)}
    assert [told[seed] for seed in scale.seeds[:2]] == [("stale", "of other data")] * 2
    assert {told[seed][0] for seed in scale.seeds[2:]} == {"finished"}
    found = {each.claim.id: each.verdict for each in judge(results)}
    assert found["longer-is-better"] == "incomplete"
    assert found["longer-detects-better"] == "reproduced", "its boxes are the same"


def test_claims_about_detection_are_judged_by_boxes(scale: Scale, tmp_path: Path) -> None:
    """The random start segments worst and detects best: its claims differ by metric."""
    filled(scale, tmp_path, between=0.5, within=1.0)
    for member in expand(scale, PATH).members:
        if member.cell == CONTROL:
            value = STARTS[CONTROL] + 0.1 * scale.seeds.index(member.seed)
            finish(tmp_path, member, {0: value, 1: value}, below=-60.0)
    results = collected(scale, tmp_path)
    found = {each.claim.id: each for each in judge(results)}
    assert found["moco-beats-random"].verdict == "reproduced"
    assert found["moco-detects-better"].verdict == "not reproduced"
    assert found["moco-detects-better"].evidence.startswith("box AP of moco-long")
    # and what does not beat the random start's boxes is not compared by boxes
    assert found["supervision-wins"].verdict == "reproduced"
    assert found["supervision-detects-better"].verdict == "not testable at this scale"


def test_a_scale_without_boxes_cannot_test_what_is_said_of_them(
    scale: Scale, tmp_path: Path
) -> None:
    masks = {name: said for name, said in scale.set.items() if name != "tasks.boxes"}
    results = filled(scale.model_copy(update={"set": masks}), tmp_path, between=0.5, within=1.0)
    found = {each.claim.id: each for each in judge(results)}
    assert found["moco-detects-better"].verdict == "not testable at this scale"
    assert AP in found["moco-detects-better"].evidence
    assert found["moco-beats-random"].verdict == "reproduced"


def test_the_table_has_a_column_for_each_metric(scale: Scale, tmp_path: Path) -> None:
    results = filled(scale, tmp_path, between=0.5, within=1.0)
    table = results_table(results)
    columns = table.of_kind("measured")
    assert columns[0].metric == MIOU == results.metric
    boxes = {AP, "detection/ap50", "detection/ap75"}
    assert {column.metric for column in columns} == {MIOU, "knn/top1"} | boxes
    assert len(columns) == 5
    rows = {row.key: row for row in table.rows}
    assert set(rows) == set(STARTS)
    measured = table.at(rows["supervised"], columns[0], Measurement)
    assert "n = 4, 2 trials each" in text(measured).text
    assert len(measured.stages) == 8
    (printed,) = table.of_kind("printed beside")
    values = {key: table.at(row, printed, Printed).number for key, row in rows.items()}
    assert values == {
        CONTROL: 33.8,
        "moco-short": 55.9,
        "moco-long": None,
        "supervised": 53.5,
    }


def test_what_trials_say_is_labelled_of_this_checkpoint(scale: Scale, tmp_path: Path) -> None:
    results = filled(scale, tmp_path, between=0.5, within=1.0)
    line, *of_boxes = trial_lines(results)
    assert line.count(" 1.41") == len(STARTS)  # of x - 1 and x + 1, for every start
    assert "of this checkpoint" in line
    assert len(of_boxes) == 3
    assert of_boxes[0].startswith("box AP")
    assert all("of this checkpoint" in each for each in of_boxes)
    write_report(results, tmp_path / "report")
    for name in ("report.md", "report.html", "report.tex"):
        assert "of this checkpoint" in (tmp_path / "report" / name).read_text()


def test_one_checkpoint_has_the_interval_of_its_trials(scale: Scale, tmp_path: Path) -> None:
    one = scale.model_copy(update={"seeds": scale.seeds[:1]})
    results = filled(one, tmp_path, between=0.0, within=1.0)
    line = trial_lines(results)[0]
    assert "“random init.” 1.41 (95% interval of the mean 3.29 to 28.71)" in line


def test_single_trials_have_no_line(tmp_path: Path) -> None:
    scale = load_scale(PATH)
    single = {
        name: {**said, "trials": 1} if name.startswith("tasks.") else said
        for name, said in scale.set.items()
    }
    once = scale.model_copy(update={"set": single})
    assert trial_lines(filled(once, tmp_path, between=0.5, within=1.0)) == []
