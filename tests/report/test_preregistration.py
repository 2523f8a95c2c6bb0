"""Was what decides a table committed before its first run?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.recipe.expand import expand
from harness.recipe.load import load_scale
from harness.report.preregistration import (
    KEY,
    Preregistration,
    deciding,
    deciding_results,
    preregistration,
    statement,
    words,
)
from harness.report.preregistration_history import committed, contradicted
from harness.report.publish import publish
from harness.report.published import MARK
from harness.report.results_json import as_json
from harness.report.statistics import __file__ as STATISTICS
from report.build import Bench, momentum
from report.conftest import Collected
from report.test_publish import again

BASE = """\
name: base
data: {name: embedded, images: 256, size: 16}
augment: {}
model: {backbone: miniature, bn_group: 8}
contrast: {kind: moco, queue: 64, momentum: 0.9, temperature: 0.1}
optim: {epochs: 2, batch: 32, lr: 0.06, schedule: {kind: constant}}
knn: {k: [5]}
"""
ABLATION = """\
name: pair
title: Two momenta
axis: m
cells:
  - {id: slow, label: slow, set: {contrast.momentum: 0.9}}
  - {id: fast, label: fast, set: {contrast.momentum: 0.5}}
claims:
  - {id: slow-wins, kind: beats, cell: slow, over: fast, says: Slow is better.}
"""
SCALE = """\
ablation: pair
recipe: base.yaml
seeds: [0, 1, 2]
metric: knn/top1
margin: 1
"""
RUN = "9" * 40


class Repository:
    """A git repository with the ablation recipe recipes/table.yaml."""

    def __init__(self, top: Path) -> None:
        self.top, self.recipe = top, top / "recipes" / "table.yaml"
        for folder in ("recipes", "ablations"):
            (top / folder).mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *said: str, day: int = 1) -> str:
        own = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        date = f"2026-01-{day:02d}T12:00:00Z"
        who = {
            f"GIT_{one}_{x}": "a@b" for one in ("AUTHOR", "COMMITTER") for x in ("NAME", "EMAIL")
        }
        env = {**own, **who, "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
        command = ["git", "-C", str(self.top), *said]
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, day: int, **files: str) -> str:
        """Commit these files (base, table, pair), and return the commit."""
        for name, text in files.items():
            (self.place(name)).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x", day=day)
        return self.git("rev-parse", "HEAD")

    def place(self, name: str) -> Path:
        return self.top / ("ablations" if name == "pair" else "recipes") / f"{name}.yaml"

    def wanted(self) -> str:
        scale = load_scale(self.recipe)
        made = expand(scale, self.recipe)
        recipes = {member.cell: member.recipe for member in made.members}
        return deciding(recipes, scale.seeds, scale, made.ablation)

    def found(self, *sets: str) -> dict[str, Any]:
        return committed(self.recipe, sets, self.wanted(), [RUN])


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def plan(repository: Repository) -> str:
    """The commit of the plan."""
    return repository.commit(2, base=BASE, table=SCALE, pair=ABLATION)


@pytest.mark.parametrize(
    "later",
    [
        {"table": SCALE + "discussion: [Perhaps.]\n"},
        {"table": SCALE + "about: {title: Another title}\nhours: {slow: 2.0}\n"},
        {"pair": ABLATION.replace("Two momenta", "Two values of m")},
        {"pair": ABLATION.replace("Slow is better.", "Slow momenta are better.")},
        {"pair": ABLATION.replace("over: fast", "over: fast, by: ours")},
        {"base": BASE + "about: {title: x}\nwatch: {log_steps: 3}\n"},
        {"other": BASE},
    ],
    ids=lambda files: next(iter(files)),
)
def test_what_decides_nothing_moves_nothing(
    repository: Repository, plan: str, later: dict[str, str]
) -> None:
    repository.commit(3, **later)
    found = repository.found()
    assert found["commit"] == plan
    assert found["committed"] == "2026-01-02T12:00:00Z"
    assert contradicted(repository.recipe, found) == ""


@pytest.mark.parametrize(
    "later",
    [
        {"table": SCALE.replace("margin: 1", "margin: 2")},
        {"table": SCALE.replace("[0, 1, 2]", "[0, 1, 2, 3]")},
        {"table": SCALE + "looks: [{seeds: 3, alpha: 0.02}, {seeds: 5, alpha: 0.03}]\n"},
        {"table": SCALE + "alpha: 0.1\n"},
        {"table": SCALE + "untestable: {slow-wins: too late}\n"},
        {"table": SCALE + "judging: {slow-wins: {test: welch}}\n"},
        {"table": SCALE + "spread: 0.5\n"},
        {"table": SCALE + "set: {optim.epochs: 3}\n"},
        {"table": SCALE + "level: quick\n"},
        {"pair": ABLATION.replace("cell: slow, over: fast", "cell: fast, over: slow")},
        {"pair": ABLATION.replace("0.5", "0.6")},
        {"base": BASE.replace("lr: 0.06", "lr: 0.03")},
    ],
    ids=lambda files: next(iter(files)),
)
def test_what_decides_makes_its_commit_the_plan(
    repository: Repository, plan: str, later: dict[str, str]
) -> None:
    changed = repository.commit(3, **later)
    assert repository.found()["commit"] == changed != plan


def test_a_change_that_was_taken_back_counts_from_then(repository: Repository, plan: str) -> None:
    repository.commit(3, table=SCALE.replace("margin: 1", "margin: 2"))
    back = repository.commit(4, table=SCALE)
    assert repository.found()["commit"] == back != plan


def test_side_branches_from_before_the_plan_do_not_matter(
    repository: Repository, plan: str
) -> None:
    repository.git("checkout", "-q", "-b", "side", plan)
    repository.commit(3, other=BASE)
    repository.git("checkout", "-q", "main")
    repository.commit(4, another=BASE)
    repository.git("merge", "-q", "--no-edit", "side", day=5)
    assert repository.found()["commit"] == plan


def test_what_was_not_there_yet_is_not_read_from_today(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation came after the recipe; it is also found in the working directory."""
    monkeypatch.chdir(repository.top)
    repository.commit(2, base=BASE, table=SCALE)
    whole = repository.commit(3, pair=ABLATION)
    assert repository.found()["commit"] == whole


def test_a_commit_that_cannot_be_read_is_another_plan(repository: Repository) -> None:
    repository.commit(2, base=BASE, table=SCALE + "no_such_field: 1\n", pair=ABLATION)
    mended = repository.commit(3, table=SCALE)
    assert repository.found()["commit"] == mended


def test_without_a_commit_of_it(repository: Repository, plan: str) -> None:
    assert plan
    repository.place("table").write_text(SCALE.replace("margin: 1", "margin: 2"))
    found = repository.found()
    assert (found["commit"], found["unknown"]) == (None, False)
    assert contradicted(repository.recipe, found) is None


def test_settings_of_the_command_line_are_in_no_commit(repository: Repository, plan: str) -> None:
    assert repository.found("optim.lr=0.1")["commit"] is None
    assert repository.found("about.title=x")["commit"] == plan


def test_without_git_it_is_unknown(tmp_path: Path) -> None:
    found = committed(tmp_path / "recipes" / "table.yaml", (), "1", [RUN])
    assert (found["commit"], found["unknown"]) == (None, True)


def test_whether_the_code_of_the_runs_contains_it(repository: Repository, plan: str) -> None:
    before = repository.git("commit-tree", f"{plan}^{{tree}}", "-m", "elsewhere")
    after = repository.commit(3, other=BASE)
    found = committed(repository.recipe, (), repository.wanted(), [before, plan, after, RUN])
    assert found["of_runs"] == {before: False, plan: True, after: True, RUN: None}


@pytest.mark.parametrize(
    "lie",
    [
        {"committed": "2025-01-02T12:00:00Z"},
        {"digest": "0" * 64},
        {"says": {"slow-wins": "0" * 10}},
        {"rule": {"report/statistics.py": "0" * 12}},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_git_contradicts_a_false_record(
    repository: Repository, plan: str, lie: dict[str, Any]
) -> None:
    assert plan
    assert contradicted(repository.recipe, {**repository.found(), **lie})


def test_a_later_commit_of_runs_cannot_be_made_an_earlier_one(
    repository: Repository, plan: str
) -> None:
    earlier = repository.git("commit-tree", f"{plan}^{{tree}}", "-m", "elsewhere")
    record = committed(repository.recipe, (), repository.wanted(), [earlier])
    assert contradicted(repository.recipe, {**record, "of_runs": {earlier: True}})


def test_a_commit_of_another_history_is_not_looked_at(repository: Repository, plan: str) -> None:
    assert plan
    assert contradicted(repository.recipe, {**repository.found(), "commit": RUN}) is None


Published = Callable[..., Preregistration]


@pytest.fixture
def show(runs: Path, gather: Collected, tmp_path: Path) -> Published:
    """show(record, ...): what published records with that record show."""
    bench = momentum(runs)

    def shown(at: str, **changes: Any) -> Preregistration:
        found = gather(bench)
        root = publish(found, tmp_path / "t" / "runs", recipe="r.yaml")
        mark = json.loads((root / MARK).read_text())
        record = {
            "digest": deciding_results(found),
            "commit": "a" * 40,
            "committed": at,
            "of_runs": {"b" * 40: True},
            "rule": None,
            "says": words(found.ablation),
        }
        (root / MARK).write_text(json.dumps({**mark, KEY: {**record, **changes}}))
        results = again(bench, root)
        said = preregistration(results)
        assert said is not None
        assert as_json(results, [], [])["preregistered"]["standing"] == said.standing
        return said

    return shown


def test_runs_after_the_commit(show: Published) -> None:
    found = show("2026-01-02T03:03:59Z")
    assert (found.standing, found.began_before, found.runs) == ("before", 0, 15)
    assert found.first_run == "2026-01-02T03:04:00Z"
    assert statement(found)[0] == "Fixed before the runs"


def test_a_commit_of_the_same_minute_is_told_from_the_first_run(show: Published) -> None:
    text = statement(show("2026-01-02T03:04:00Z"))[1]
    assert "03:04:00 UTC" in text
    assert "03:03 UTC" in statement(show("2026-01-02T03:03:59Z"))[1]


@pytest.mark.parametrize(("at", "before"), [("2026-01-02T03:04:00Z", 5), ("2026-02-01", 15)])
def test_runs_before_the_commit_are_counted(show: Published, at: str, before: int) -> None:
    """One run of five cells in each second; the same second is not after."""
    found = show(at)
    assert (found.standing, found.began_before) == ("after", before)
    label, text = statement(found)
    assert label.startswith("Not ")
    assert f"{before} of 15 runs" in text


def test_runs_that_were_not_made_yet_are_not_asked_when_they_began(
    show: Published, runs: Path
) -> None:
    for folder in runs.glob("*m0.9-s1.*"):
        shutil.rmtree(folder)
    found = show("2026-01-02T03:03:59Z")
    assert (found.standing, found.runs) == ("before", 14)


def test_what_changed_since_the_record_is_not_committed(show: Published) -> None:
    assert show("2026-01-01T00:00:00Z", digest="0" * 64).standing == "not committed"


def test_no_git_is_not_known(show: Published) -> None:
    found = show("", commit=None, why="no git", unknown=True)
    assert found.standing == "unknown"
    assert "no git" in statement(found)[1]


def test_a_start_that_is_not_recorded(runs: Path, gather: Collected, tmp_path: Path) -> None:
    bench = momentum(runs)
    for attempt in bench.folder("m0", 1).path.parent.glob("*m0-s1*/attempts/*/attempt.json"):
        said = json.loads(attempt.read_text())
        attempt.write_text(json.dumps({**said, "started": None}))
    found = gather(bench)
    root = publish(found, tmp_path / "t" / "runs", recipe="r.yaml")
    mark = json.loads((root / MARK).read_text())
    record = {"digest": deciding_results(found), "commit": "a" * 40, "committed": "2026-01-01"}
    (root / MARK).write_text(json.dumps({**mark, KEY: record}))
    said = preregistration(again(bench, root))
    assert said is not None
    assert said.standing == "unknown"


def test_words_and_the_rules_code_are_told_apart(show: Published) -> None:
    found = show("2026-01-01T00:00:00Z", says={"zero": "0", "gone": "1"}, rule={})
    assert found.standing == "before"
    assert found.reworded == ("zero",)
    assert found.rule_changed
    assert f"report/{Path(STATISTICS).name}" in found.rule_changed
    _, text = statement(found)
    files = " ".join(f"harness/{each}" for each in found.rule_changed)
    assert f"git diff {found.commit[:7]} -- {files})" in text
    assert "were changed, which decides no verdict: zero." in text


def test_records_without_a_word_about_it_say_nothing(
    runs: Path, gather: Collected, tmp_path: Path
) -> None:
    bench: Bench = momentum(runs)
    root = publish(gather(bench), tmp_path / "t" / "runs", recipe="r.yaml")
    assert preregistration(again(bench, root)) is None
    assert preregistration(gather(bench)) is None
