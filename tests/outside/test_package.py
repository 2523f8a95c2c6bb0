"""A package outside of the harness declares a task, a method, an optimiser, a launcher and a
tracker; every command knows them."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from stage.tiny import final_state, same

from harness.store import journal
from harness.store.layout import StageFolder
from outside.server import say, server

RECIPE = """\
name: out
data: {name: embedded, images: 128, size: 16}
augment: {}
model: {backbone: miniature, bn_group: 8, dim: 16}
views: {crop: {size: 8, crop_scale: [0.05, 0.4], jitter_p: 0.5, blur_p: 0.5}}
contrast: {kind: agreement, hidden: 8}
optim: {kind: adamw, betas: [0.9, 0.99], epochs: 2, batch: 32, lr: 0.003, schedule: {kind: cosine}}
knn: {k: [5], queries: 100}
linear: null
tasks:
  bright:
    {kind: brightness, steps: 4, rate: 0.001, trials: 3,
     data: {name: embedded, images: 200, size: 12}}
watch: {log_steps: 2, checkpoint_steps: 2, knn_epochs: 0, control: false}
about:
  targets: [{metric: brightness/near, task: bright, value: 20, tolerance: 20, source: a test}]
"""
TRIALS = ("bright", "bright=t1", "bright=t2")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe, run to its end."""
    found = tmp_path_factory.mktemp("outside")
    (found / "out.yaml").write_text(RECIPE)
    say(found, "run", "out.yaml", "--yes")
    return found


def stage(place: Path, name: str, runs: str = "runs") -> Path:
    (found,) = (place / runs).glob(f"out-s0.{name}-*")
    return found


def values(place: Path, name: str, runs: str = "runs") -> dict[str, float]:
    found: dict[str, float] = json.loads((stage(place, name, runs) / "result.json").read_text())[
        "values"
    ]
    return found


def test_without_the_package_its_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out.yaml").write_text(RECIPE)
    said = say(tmp_path, "plan", "out.yaml", code=2, installed=False)
    for field in ("contrast.kind", "optim.kind", "tasks.bright.kind", "about.targets.0.metric"):
        assert field in said


def test_its_sections_are_validated_shown_and_in_the_schema(place: Path) -> None:
    assert "valid" in say(place, "recipes", "validate", "out.yaml")
    assert "brightness" in say(place, "recipes", "show", "out.yaml")
    say(place, "recipes", "schema", "--out", "schema.json")
    assert {"Brightness", "Agreement", "AdamWOptim", "SgdOptim", "View"} <= set(
        json.loads((place / "schema.json").read_text())["$defs"]
    )
    for wrong in ("tasks.bright.rate=-1", "optim.betas=[0.9, 1]", "optim.sgd_momentum=0.5"):
        said = say(place, "plan", "out.yaml", "--set", wrong, code=2)
        assert wrong.partition("=")[0] in said
    (place / "bare.yaml").write_text(re.sub("views: .*\n", "", RECIPE))
    assert "views.crop" in say(place, "plan", "bare.yaml", code=2)
    small = "views.crop.crop_scale=[0.3, 0.1]"
    assert "views.crop.crop_scale" in say(place, "plan", "out.yaml", "--set", small, code=2)


def test_every_trial_is_a_stage_with_figures_of_its_own(place: Path) -> None:
    found = [values(place, name) for name in TRIALS]
    assert all(set(each) == {"brightness/error", "brightness/near"} for each in found)
    assert len({each["brightness/error"] for each in found}) == len(TRIALS)
    assert "pretext/top1" not in values(place, "pretrain")
    data = {
        json.loads((stage(place, n) / "result.json").read_text())["data"]["train"] for n in TRIALS
    }
    assert data == {200}


def test_what_is_done_is_not_done_again_and_more_trials_are_added(place: Path) -> None:
    assert "nothing to do" in say(place, "run", "out.yaml", "--yes")
    more = say(place, "plan", "out.yaml", "--set", "tasks.bright.trials=5")
    assert "7 stages: 2 to do, 5 done" in more


def test_status_logs_and_check_know_it(place: Path) -> None:
    said = say(place, "status")
    assert all(stage(place, name).name in said for name in TRIALS)
    assert "stale" not in said, "it has data of its own"
    say(place, "logs", stage(place, "bright=t1").name)
    assert "brightness/near" in say(place, "check", "out.yaml")
    higher = "[{metric: brightness/near, task: bright, value: 90, tolerance: 1, source: a test}]"
    assert "short" in say(place, "check", "out.yaml", "--set", f"about.targets={higher}", code=6)


def test_a_baseline_has_its_figures(place: Path) -> None:
    words = ("check", "out.yaml", "--seeds", "0-1", "--runs", "runs")
    said = say(place, *words, "--run", "--yes", "--write-baseline", "base.json")
    assert "bright: brightness/error" in said
    (cell,) = json.loads((place / "base.json").read_text())["cells"]
    kept = {(each["metric"], each.get("task")): each for each in cell["metrics"]}
    assert ("knn/top1", None) in kept
    mean = sum(values(place, name)["brightness/error"] for name in TRIALS) / len(TRIALS)
    found = kept["brightness/error", "bright"]
    assert found["values"][0] == pytest.approx(mean, abs=1e-5)
    said = say(place, *words, "--against", "base.json")
    assert "bright: brightness/near" in said
    fewer = ("--set", "tasks.bright.trials=2")
    assert "another protocol" in say(place, *words, *fewer, "--against", "base.json", code=6)


def test_the_report_has_its_columns_and_can_be_published(place: Path) -> None:
    say(place, "report", "out.yaml")
    mean = sum(values(place, name)["brightness/error"] for name in TRIALS) / len(TRIALS)
    with (place / "runs/reports/out/runs.csv").open() as file:
        rows = {row["metric"]: row["value"] for row in csv.DictReader(file)}
    assert float(rows["brightness/error"]) == pytest.approx(mean)
    say(place, "publish", "out.yaml", "--to", "reports")
    page = place / "reports/out/report.md"
    assert "brightness error" in page.read_text()
    assert "agreement" in page.read_text()
    before = page.read_bytes()
    say(place, "publish", "--to", "reports")
    assert page.read_bytes() == before


def test_its_tracker_has_every_row_of_the_journals(place: Path) -> None:
    """Its process may go on for a moment when the run has ended."""
    deadline = time.monotonic() + 120
    while len(list(place.glob("runs/*/notebook/*.end"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.1)
    for name in ("pretrain", *TRIALS):
        (rows,) = (stage(place, name) / "notebook").glob("*.jsonl")
        told = [json.loads(line) for line in rows.read_text().splitlines()]
        kept = journal.read(StageFolder(stage(place, name)))
        assert [row["number"] for row in told] == list(range(len(kept)))
        for row, record in zip(told, kept, strict=True):
            assert row["values"].items() <= dict(record).items()
        end = json.loads(rows.with_suffix(".end").read_text())
        assert end["axes"]
        assert set(end["axes"].values()) <= {"step", "epoch"}
    say(place, "sync")
    assert "notebook" not in say(place, "sync"), "all is there"
    folder = stage(place, "bright")
    shutil.rmtree(folder / "notebook")
    (folder / "notebook.json").unlink()
    assert "out: notebook: 1 uploaded" in say(place, "sync")


def test_its_tracker_has_the_lineage_and_the_report(place: Path) -> None:
    say(place, "report", "out.yaml")
    say(place, "sync")

    def told(folder: Path, what: str) -> list[dict[str, object]]:
        (file,) = (folder / "notebook").glob(f"*.{what}")
        return [json.loads(line) for line in file.read_text().splitlines()]

    weights = f"weights-{stage(place, 'pretrain').name}"
    result = f"result-{stage(place, 'bright').name}"
    assert told(stage(place, "bright"), "artifacts") == [
        {"name": "data-embedded", "made": False},
        {"name": weights, "made": False},
        {"name": result, "made": True},
    ]
    of_report = told(place / "runs/reports/out", "artifacts")
    assert {"name": result, "made": False} in of_report
    assert {"name": "report-out", "made": True} in of_report
    assert {each["name"] for each in told(place / "runs/reports/out", "tables")} == {
        "table",
        "runs",
    }


def test_gc_leaves_what_its_stages_need(place: Path) -> None:
    say(place, "gc", "--yes")
    assert "nothing to do" in say(place, "run", "out.yaml", "--yes")


def test_without_negatives_there_is_no_pretext_accuracy(place: Path) -> None:
    """Nor a zero for one: not in the journal, which trackers mirror, in no result and no report."""
    rows = journal.read(StageFolder(stage(place, "pretrain")))
    assert len([row for row in rows if "train/loss" in row]) == 8
    assert not any(name.startswith("pretext") for row in rows for name in row)
    assert not any(name.startswith("pretext") for name in values(place, "pretrain"))
    say(place, "report", "out.yaml")
    for file in (place / "runs/reports/out").rglob("*"):
        if file.suffix in (".md", ".html", ".csv", ".json", ".tex"):
            assert "pretext" not in file.read_text(), file


def test_what_the_crops_and_the_optimiser_are_makes_another_run(place: Path) -> None:
    for change in ("views.crop.size=12", "contrast.crops=1", "optim.betas=[0.8, 0.99]"):
        assert "5 to do" in say(place, "plan", "out.yaml", "--set", change)


def test_pre_training_killed_goes_on_to_the_same_bits(place: Path) -> None:
    """Small crops and large, the optimiser's two averages and its count of steps."""
    words = ("run", "out.yaml", "--yes", "--runs", "killed")
    kill_once_there_is("killed/out-s0.pretrain-*/checkpoints/step-*", place, words)
    assert not (stage(place, "pretrain", "killed") / "result.json").exists()
    say(place, *words)
    whole, again = (StageFolder(stage(place, "pretrain", runs)) for runs in ("runs", "killed"))
    assert len(again.attempts()) == 2
    losses = [journal.series(journal.read(each), "train/loss") for each in (whole, again)]
    assert [loss for _, _, loss in losses[0]] == [loss for _, _, loss in losses[1]]
    states = final_state(whole), final_state(again)
    assert {"exp_avg", "exp_avg_sq", "step"} == set(states[0]["optimiser"]["state"][0])
    assert same(*states)


def test_killed_it_goes_on_to_the_same_figures(place: Path) -> None:
    """On two processes, and after a kill in the middle of the task, as on one without."""
    one_trial = ("--set", "tasks.bright.trials=1")
    words = ("run", "out.yaml", "--yes", "--runs", "again", "--processes", "2", *one_trial)
    kill_once_there_is("again/out-s0.bright-*/attempts/0001/metrics.jsonl", place, words)
    say(place, *words)
    one, two = (values(place, "bright", runs) for runs in ("runs", "again"))
    assert two == pytest.approx(one, rel=1e-3)


def kill_once_there_is(what: str, place: Path, words: tuple[str, ...]) -> None:
    """Start the command, and kill its processes when a file that matches has been written to."""
    pid = server().begin(place, *words)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(path.stat().st_size for path in place.glob(what)):
            break
        time.sleep(0.002)
    os.killpg(pid, signal.SIGKILL)
    ended, said = server().end()
    assert ended == -signal.SIGKILL, said


CRATE = "crate: {most: 3}\n"


def crated(place: Path, name: str, trials: int = 1) -> tuple[Path, list[str]]:
    """A folder of its own, and the words that hand a short run of the recipe to a crate."""
    found = place / name
    found.mkdir()
    (found / "out.yaml").write_text(RECIPE)
    (found / "site.yaml").write_text(CRATE)
    short = ["--set", "optim.epochs=1", "--set", f"tasks.bright.trials={trials}"]
    return found, ["run", "out.yaml", "--site", "site.yaml", "--yes", *short]


def test_its_launcher_runs_what_a_site_file_hands_to_it(place: Path) -> None:
    own, words = crated(place, "crate")
    said = say(own, *words, "--dry-run")
    assert all(text in said for text in ("to the crate", "on the floor", "crate out-s0.pretrain-"))
    assert not (own / "runs").exists()
    assert "submitted 3 stages" in say(own, *words)
    assert "nothing to " in say(own, *words), "they have a job, or are done by now"
    (record,) = [json.loads(path.read_text()) for path in own.glob("runs/submissions/*.json")]
    assert (record["on"], len(record["arrays"][0]["stages"])) == ("crate", 3)
    job = record["arrays"][0]["job"]
    said, deadline = "", time.monotonic() + 120
    while "3 finished" not in said and time.monotonic() < deadline:
        said = say(own, "status", "--site", "site.yaml")
        time.sleep(0.5)
    assert "3 finished" in said
    attempt = stage(own, "bright") / "attempts/0001"
    assert json.loads((attempt / "alive.json").read_text())["crate"]["job"] == f"{job}_2"
    assert json.loads((attempt / "attempt.json").read_text())["crate"] == {"CRATE_JOB": f"{job}_2"}
    say(own, "logs", stage(own, "bright").name, "--site", "site.yaml")
    assert "nothing to do" in say(own, *words)
    say(own, "gc", "--site", "site.yaml")
    say(own, "publish", "out.yaml", *words[5:], "--site", "site.yaml", "--to", "reports")
    (page,) = own.glob("reports/*/report.html")
    assert f"the crate {job}" in page.read_text()


def test_a_crates_stages_can_be_cancelled_and_are_known_without_the_package(place: Path) -> None:
    own, words = crated(place, "cancelled")
    say(own, *words, "--set", "optim.epochs=900")
    deadline = time.monotonic() + 120
    while not list(own.glob("runs/out-s0.pretrain-*/attempts/0001/metrics.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    told = say(own, "status", installed=False)
    assert "crate" in told
    assert "uncrated" in say(own, "cancel", stage(own, "pretrain").name, "--yes")
    while "interrupted" not in (told := say(own, "status", "--site", "site.yaml")):
        assert time.monotonic() < deadline, told
        time.sleep(0.5)


def test_its_section_is_read_with_line_and_field_and_its_limits_are_its_own(place: Path) -> None:
    own, words = crated(place, "refused", trials=4)
    assert "6 stages do not go into a crate of 3" in say(own, *words, code=1)
    (own / "site.yaml").write_text("runs: runs\ncrate: {most: 0}\n")
    assert "site.yaml:2: crate.most" in say(own, *words, code=2)
    (own / "site.yaml").write_text("crate: {}\nslurm: {}\n")
    assert "site.yaml:2: slurm" in say(own, *words, code=2)
    (own / "site.yaml").write_text("crate: {}\n")
    assert "crate" in say(own, *words, code=2, installed=False)
    assert "crate" in say(own, "run", "out.yaml", "--on", "nowhere", code=2)
    assert "`certify`" in say(own, "certify", "--site", "site.yaml", "--yes", code=1)
    say(own, "doctor", "--site", "site.yaml")
