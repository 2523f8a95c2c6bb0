"""`check` as a user and a nightly job meet it: lists, runs first, baselines, files, exit codes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from cli.fake_slurm import listed
from harness.app import checking

TARGET = "about: {targets: [{metric: knn/top1, value: %s, tolerance: 0, source: a guess}]}\n"


@pytest.fixture
def easy(tiny: Path) -> Path:
    """Two recipes: one that any run passes, one that none does."""
    text = (
        tiny.read_text().replace("epochs: 2", "epochs: 1").replace("knn_epochs: 0", "knn_epochs: 1")
    )
    minimum = TARGET.replace("value:", "minimum: true, value:")
    Path("easy.yaml").write_text(text.replace("name: tiny", "name: easy") + minimum % 0)
    Path("hard.yaml").write_text(text.replace("name: tiny", "name: hard") + TARGET % 100)
    return Path("easy.yaml")


def test_a_list_is_run_and_judged(moco: Any, easy: Path) -> None:
    """And found as it is the next time; a stale result is run anew."""
    Path("all.yaml").write_text("recipes: [easy.yaml, hard.yaml]\n")
    assert moco("check", "all.yaml").code == 6
    said = moco("check", "all.yaml", "--run", "--json", "x.json", "--junit", "x.xml")
    assert said.code == 6, said.all
    assert "easy  knn/top1  passed" in said.out
    assert "hard  knn/top1  short" in said.out
    found = json.loads(Path("x.json").read_text())
    assert [each["judged"] for each in found["verdicts"]] == ["passed", "short"]
    assert ET.parse("x.xml").getroot().get("failures") == "1"
    Path("band.yaml").write_text(easy.read_text().replace("minimum: true, ", ""))
    band = moco("check", "band.yaml", "--json", "x.json")
    assert band.code == 6, "a result above its band is no better than one below"
    assert "easy  knn/top1  above" in band.out
    assert json.loads(Path("x.json").read_text())["passed"] is False
    again = moco("check", easy, "--run")
    assert again.code == 0
    assert again.idle
    (result,) = Path("runs").glob("easy-s0.pretrain-*/result.json")
    for path in (result, result.parent / "attempts" / "0001" / "attempt.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"edition": "0123456789ab"}))
    stale = moco("check", easy)
    assert stale.code == 6
    assert "easy  knn/top1  stale" in stale.out
    assert moco("check", easy, "--run").code == 0, "the one command of a nightly job"


def test_a_recipe_named_twice_is_judged_once(moco: Any, easy: Path) -> None:
    Path("all.yaml").write_text("recipes: [easy.yaml, hard.yaml]\n")
    said = moco("check", "all.yaml", easy)
    assert said.out.count("easy  knn/top1") == 1


def test_two_recipes_of_one_name_are_refused_and_two_seeds_of_one_are_not(
    moco: Any, easy: Path
) -> None:
    Path("other.yaml").write_text(easy.read_text().replace("lr: 0.06", "lr: 0.05"))
    said = moco("check", easy, "other.yaml")
    assert said.code == 2, said.all
    assert "other.yaml: easy.yaml" in said.err
    seeds = moco("check", easy, "--seeds", "0,1")
    assert seeds.code == 6, seeds.all
    assert "easy  knn/top1  missing  seed 0 not run, seed 1 not run" in seeds.out


def test_a_shipped_recipe_is_checked_by_its_name(moco: Any) -> None:
    said = moco("check", "quickstart")
    assert said.code == 6, said.all
    assert "quickstart/m0.99  knn/top1  missing  seed 200 not run" in said.out


def test_one_recipe_that_cannot_run_does_not_stop_the_others(moco: Any, easy: Path) -> None:
    text = easy.read_text().replace("name: easy", "name: bad")
    Path("bad.yaml").write_text(
        text.replace("{name: embedded, images: 128", "{name: imagefolder, folder: none")
    )
    said = moco("check", "bad.yaml", easy, "--run", "--yes", "--data", "nowhere")
    assert said.code == 6, said.all
    assert "error: bad.yaml: " in said.err
    assert "bad  knn/top1  missing" in said.out
    assert "easy  knn/top1  passed" in said.out


def test_a_baseline_is_written_compared_and_renewed(moco: Any, easy: Path) -> None:
    made = moco("check", easy, "--seeds", "0-2", "--run", "--write-baseline", "base.json")
    assert made.code == 0, made.all
    assert made.out.splitlines()[-1] == "baseline: base.json"
    assert "easy  train/loss" in made.out
    Path("all.yaml").write_text("recipes: [easy.yaml]\nbaseline: base.json\n")
    said = moco("check", "all.yaml", "--seeds", "0,1")
    assert said.code == 0, said.all
    assert "3 comparisons with the baseline find something in 2 % of the calls (0.667 % each)" in (
        said.out
    )
    assert "2 seeds" in said.out
    assert "same seeds" in said.out
    found = json.loads(Path("base.json").read_text())
    loss = found["cells"][0]["metrics"][-1]
    loss["values"] = [value + 100 for value in loss["values"]]
    loss["mean"] += 100
    Path("base.json").write_text(json.dumps(found))
    off = moco("check", easy, "--against", "base.json")
    assert off.code == 6
    assert "easy  train/loss  below" in off.out
    other = moco("check", easy, "--against", "base.json", "--set", "optim.lr=0.05")
    assert other.code == 6
    assert other.out.count("  incomparable  base.json has another protocol") == 3
    renewed = moco("check", easy, "--seeds", "0-2", "--write-baseline", "base.json")
    assert renewed.code == 0
    assert ", before 10" in renewed.out
    assert "no longer" not in renewed.out


def test_a_baseline_says_what_it_no_longer_has(moco: Any, easy: Path) -> None:
    assert moco("check", easy, "--seeds", "0-1", "--run", "--write-baseline", "base.json").code == 0
    found = json.loads(Path("base.json").read_text())
    found["cells"].append(found["cells"][0] | {"recipe": "other", "cell": "other"})
    Path("base.json").write_text(json.dumps(found))
    renewed = moco(
        *("check", easy, "--seeds", "0-1", "--set", "linear=null"),
        *("--write-baseline", "base.json"),
    )
    assert renewed.code == 0, renewed.all
    (said,) = (line for line in renewed.out.splitlines() if "no longer in base.json" in line)
    assert said.endswith("no longer in base.json: linear/top1 of easy, other")


def test_what_a_baseline_needs(moco: Any, easy: Path) -> None:
    assert moco("check", easy, "--run").code == 0
    one = moco("check", easy, "--write-baseline", "base.json")
    assert one.code == 4
    assert "one seed has no deviation" in one.err
    absent = moco("check", easy, "--seeds", "0-1", "--write-baseline", "base.json")
    assert absent.code == 4
    assert "seed 1 not run" in absent.err
    assert not Path("base.json").exists()
    none = moco("check", easy, "--against", "base.json")
    assert none.code == 2
    assert "no such baseline" in none.err
    Path("notes.txt").write_text("mine\n")
    notes = moco("check", easy, "--seeds", "0-1", "--write-baseline", "notes.txt")
    assert notes.code == 2
    assert Path("notes.txt").read_text() == "mine\n"
    assert "notes.txt:1: the file is not a mapping" in notes.err
    both = moco("check", easy, "--against", "base.json", "--write-baseline", "base.json")
    assert both.code == 2


@pytest.mark.parametrize("option", ["--json", "--junit", "--write-baseline"])
def test_a_file_that_cannot_be_written_is_told_before_the_work(
    moco: Any, easy: Path, option: str
) -> None:
    for where, says in (("none/x", "folder none"), (".", "a folder")):
        said = moco("check", easy, "--run", option, where)
        assert said.code == 4
        assert says in said.err
        assert not Path("runs").exists()


@pytest.mark.parametrize("option", ["--json", "--junit"])
def test_a_file_of_another_kind_is_never_replaced(moco: Any, easy: Path, option: str) -> None:
    recipe = easy.read_text()
    for text in (recipe, '{"format": 1}', '{"verdicts": []}', "<testsuites name='pytest'/>"):
        Path("mine").write_text(text)
        said = moco("check", easy, "--run", option, "mine")
        assert said.code == 2, said.all
        assert "error: mine: exists" in said.err
        assert Path("mine").read_text() == text
    assert not Path("runs").exists()
    assert moco("check", easy, option, easy).code == 2
    assert moco("check", easy, option, "/dev/null").code == 2
    Path("mine").write_text("")
    for _ in range(2):  # of nobody, then our own
        assert moco("check", easy, option, "mine").code == 6
    assert Path("mine").read_text().count("knn/top1") == 1


@pytest.mark.parametrize(
    ("option", "code", "says"),
    [
        ("--json", 4, "cannot be read: file name too long"),
        ("--junit", 4, "cannot be read: file name too long"),
        ("--write-baseline", 4, "cannot be read: file name too long"),
        ("--against", 2, "no such baseline"),
    ],
)
def test_a_name_that_no_file_can_have(
    moco: Any, easy: Path, option: str, code: int, says: str
) -> None:
    said = moco("check", easy, option, "x" * 300)
    assert (said.code, said.err.startswith(f"error: {'x' * 300}: {says}")) == (code, True)


@pytest.mark.parametrize("other", ["--junit", "--write-baseline"])
def test_a_file_is_named_once(moco: Any, easy: Path, other: str) -> None:
    said = moco("check", easy, "--json", "x.json", other, "./x.json")
    assert said.code == 2, said.all
    assert "error: x.json: " in said.err
    assert not Path("x.json").exists()


def test_without_recipes_it_says_that_they_are_missing(moco: Any) -> None:
    said = moco("check")
    assert said.code == 2
    assert "Missing argument" in said.err


@pytest.mark.parametrize("seeds", ["", "a", "3-1", "1,,2", "-1", "0-99999999", "1 2", "0-"])
def test_seeds_are_numbers_and_ranges(moco: Any, easy: Path, seeds: str) -> None:
    said = moco("check", easy, f"--seeds={seeds}")
    assert said.code == 2
    assert "0-7 or 3,5" in said.err


def test_a_scale_takes_seeds_as_its_own(moco: Any, easy: Path) -> None:
    Path("scale.yaml").write_text(
        f"ablation: momentum\nrecipe: {easy}\ncells: [m0.9]\nmetric: knn/top1\ncontrol: false\n"
        "targets: {m0.9: [{metric: knn/top1, value: 1, tolerance: 1, source: a guess}]}\n"
    )
    said = moco("check", "scale.yaml", "--seeds", "3,5-6")
    assert (
        "scale/m0.9  knn/top1  missing  seed 3 not run, seed 5 not run, seed 6 not run" in said.out
    )


def test_on_slurm_it_submits_and_says_that_results_are_to_come(
    moco: Any,
    easy: Path,
    slurm: Path,
) -> None:
    words = ["check", easy, "--run", "--site", slurm]
    said = moco(*words)
    assert said.code != 0, "nothing is known yet"
    assert "submitted 3 stages" in said.out, said.all
    listed("PENDING")
    later = moco(*words)
    assert later.code == 7, later.all
    assert "nothing to submit: 3 stages" in later.out
    assert "easy  knn/top1  waiting  seed 0 waits for its turn" in later.out
    assert "1 verdict" in later.out
    assert moco("check", easy, "hard.yaml", "--site", slurm).code == 6, "hard was not submitted"
    listed("CANCELLED")
    assert moco("check", easy, "--site", slurm).code == 6


def test_with_wait_it_looks_until_no_job_is_left(
    moco: Any,
    easy: Path,
    slurm: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "submitted 3 stages" in moco("check", easy, "--run", "--site", slurm).out
    listed("RUNNING")
    naps = []

    def nap() -> None:
        naps.append("a nap")
        if len(naps) == 2:
            listed("FAILED")

    monkeypatch.setattr(checking, "pause", nap)
    said = moco("check", easy, "--wait", "--site", slurm)
    assert said.code == 6
    assert len(naps) == 2
    assert said.out.count("waiting for 3 stages") == 1
    assert "easy  knn/top1  missing" in said.out


def test_stopping_the_wait_leaves_the_jobs(
    moco: Any,
    easy: Path,
    slurm: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "submitted 3 stages" in moco("check", easy, "--run", "--site", slurm).out
    listed("RUNNING")

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checking, "pause", stop)
    said = moco("check", easy, "--wait", "--site", slurm)
    assert said.code == 130
    assert "stopped waiting" in said.out


def test_long_work_is_not_begun_unasked(moco: Any, easy: Path) -> None:
    with easy.open("a") as file:
        file.write("  cost: {hours: 99, on: 8 V100, source: the paper}\n")
    easy.write_text(
        easy.read_text()
        .replace("about: {targets: [", "about:\n  targets: [")
        .replace("}]}\n", "}]\n")
    )
    said = moco("check", easy, "--run")
    assert said.code == 6
    assert "--yes" in said.err
    assert not list(Path("runs").glob("easy*"))
