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
from harness.report.table import Measurement
from harness.report.table_text import text
from harness.report.trial_lines import trial_lines
from harness.report.write import write_report
from harness.store.edition import Editions
from harness.store.layout import stage_folder
from report.build import EDITION

PATH = Path(harness.__file__).parent.parent / "recipes" / "ablation_transfer_quick.yaml"
MIOU = "segmentation/miou"
STARTS = {CONTROL: 16.0, "moco-short": 20.0, "moco-long": 27.0, "supervised": 60.0}


def finish(runs: Path, member: Member, miou: Mapping[int, float]) -> None:
    """Write all stages of a run as finished; `miou`: the trials' values."""
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
    (protocol,) = {member.recipe.tasks["scenes"] for member in members}
    assert protocol.trials > 1
    tuned = [stage for stage in made.stages if stage.kind == "segmentation"]
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


def test_the_table_has_a_column_for_each_metric(scale: Scale, tmp_path: Path) -> None:
    results = filled(scale, tmp_path, between=0.5, within=1.0)
    table = results_table(results)
    columns = table.of_kind("measured")
    assert columns[0].metric == MIOU == results.metric
    assert {column.metric for column in columns} == {MIOU, "knn/top1"}
    rows = {row.key: row for row in table.rows}
    assert set(rows) == set(STARTS)
    measured = table.at(rows["supervised"], columns[0], Measurement)
    assert "n = 4, 2 trials each" in text(measured).text
    assert len(measured.stages) == 8


def test_what_trials_say_is_labelled_of_this_checkpoint(scale: Scale, tmp_path: Path) -> None:
    results = filled(scale, tmp_path, between=0.5, within=1.0)
    (line,) = trial_lines(results)
    assert line.count(" 1.41") == len(STARTS)  # of x - 1 and x + 1, for every start
    assert "of this checkpoint" in line
    write_report(results, tmp_path / "report")
    for name in ("report.md", "report.html", "report.tex"):
        assert "of this checkpoint" in (tmp_path / "report" / name).read_text()


def test_one_checkpoint_has_the_interval_of_its_trials(scale: Scale, tmp_path: Path) -> None:
    one = scale.model_copy(update={"seeds": scale.seeds[:1]})
    results = filled(one, tmp_path, between=0.0, within=1.0)
    (line,) = trial_lines(results)
    assert "“random init.” 1.41 (95% interval of the mean 3.29 to 28.71)" in line


def test_single_trials_have_no_line(tmp_path: Path) -> None:
    scale = load_scale(PATH)
    single = {**scale.set, "tasks.scenes": {**scale.set["tasks.scenes"], "trials": 1}}
    once = scale.model_copy(update={"set": single})
    assert trial_lines(filled(once, tmp_path, between=0.5, within=1.0)) == []
