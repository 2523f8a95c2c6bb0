"""The Python API: typed results, nothing printed, no exit."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from cli.tiny import TINY

import harness
from harness.app import Amount, Progress
from harness.plan import Plan
from harness.preflight.warned import Preflight

ROOT = Path(harness.__file__).parent.parent
EXAMPLE = ROOT / "docs/examples/from_python.py"
TARGET = (
    "about: {targets: [{metric: knn/top1, value: 50, tolerance: 50, source: any accuracy passes}]}"
)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("MOCO_HARNESS_DEVICE", "cpu")
    path = tmp_path / "tiny.yaml"
    path.write_text(f"{TINY}{TARGET}\n")
    return path


class Heard(Progress):
    """Notes what it hears, and agrees to no work."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.asked: list[Amount] = []

    def planned(self, *_: object) -> None:
        self.heard.append("planned")

    def warned(self, found: Preflight) -> None:
        self.heard.append("warned")
        assert found.warnings

    def begins(self, *_: object) -> None:
        self.heard.append("begins")

    def nothing_to_do(self, *_: object) -> None:
        self.heard.append("nothing to do")

    def reported(self, *_: object) -> None:
        self.heard.append("reported")

    def confirm(self, _: Plan, amount: Amount) -> bool:
        self.asked.append(amount)
        return False


def test_from_recipe_to_verdict(recipe: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One test, as a run takes seconds."""
    site = harness.load_site(runs=Path("runs"))
    plan = harness.app.plan(recipe, site)
    assert [stage.action for stage in plan.stages] == ["run", "run", "run"]
    assert "rate-for-batch" in {each.key for each in harness.app.preflight(plan, site).warnings}
    assert harness.app.status(site).rows == ()

    heard = Heard()
    ran = harness.app.run(recipe, site, progress=heard)
    assert heard.heard == ["planned", "warned", "begins", "reported"]
    assert ran.exit_code == 0
    assert ran.outcome is not None
    assert ran.outcome.tally is not None
    assert ran.outcome.tally.finished == [stage.id for stage in plan.stages]
    assert ran.report is not None
    assert ran.report.page.is_file()

    rows = {(row.entry.described or {})["kind"]: row for row in harness.app.status(site).rows}
    assert {row.state for row in rows.values()} == {"finished"}
    reached = harness.app.ProgressReader().read(rows["knn"])
    assert 0 < reached.values["knn/top1"] <= 100
    heard = Heard()
    again = harness.app.run(recipe, site, progress=heard)
    assert (again.outcome, heard.heard) == (None, ["planned", "nothing to do", "reported"])

    page = ran.report.page.read_bytes()
    report = harness.app.report(recipe, site, out=Path("elsewhere"))
    assert report.page.read_bytes() == page
    checked = harness.app.check([recipe], site)
    assert checked is not None
    assert [(v.metric, v.judged) for v in checked.verdicts] == [("knn/top1", "passed")]
    assert checked.exit_code == 0

    published = harness.app.publish(recipe, Path("reports"), site)
    assert published.index.is_file()
    assert Path("reports/tiny/runs").is_dir()
    Path("reports/tiny").rename("elsewhere/tiny")
    Path("reports/tiny").symlink_to("../elsewhere/tiny")
    for which in (recipe, None):
        with pytest.raises(harness.HarnessError, match="reports/tiny"):
            harness.app.publish(which, Path("reports"), site)
    out, err = capfd.readouterr()
    assert out + err == ""


def test_the_example(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(recipe), "runs"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    said = capsys.readouterr().out
    assert "to do: 3 of 3 stages" in said
    assert "tiny: knn/top1 passed" in said
    page = next(line for line in said.splitlines() if line.startswith("report: "))
    assert Path(page.removeprefix("report: ")).is_file()


def test_a_mistake_is_an_error(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = harness.load_site(runs=Path("runs"))
    for function in (harness.app.plan, harness.app.run, harness.app.report):
        with pytest.raises(harness.HarnessError, match="bach"):
            function(recipe, site, sets=["optim.bach=3"])
    checked = harness.app.check([recipe], site, sets=["optim.bach=3"])
    assert checked is not None
    assert len(checked.failures) == 1
    with pytest.raises(harness.HarnessError, match="bach"):
        checked.refuse()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(harness.HarnessError, match="local, slurm"):
        harness.app.submit(recipe, site)
    with pytest.raises(harness.HarnessError, match="sbatch"):
        harness.app.submit(recipe, site, on="slurm")
    with pytest.raises(harness.HarnessError):
        harness.app.publish(recipe, Path("reports"), site)


def test_long_work_may_be_declined(recipe: Path) -> None:
    site = harness.load_site(runs=Path("runs"))
    long = ["optim.epochs=100000"]
    heard = Heard()
    with pytest.raises(harness.app.Declined):
        harness.app.run(recipe, site, sets=long, ask=True, progress=heard)
    assert heard.asked == [Amount(None, limit=site.ask_above_hours)]
    assert not Path("runs").exists()
    with pytest.raises(harness.app.Declined):
        harness.app.submit(recipe, site, on="local", sets=long, ask=True, progress=heard)
    assert len(heard.asked) == 2
    assert harness.app.submit(recipe, site, on="local", sets=long, dry=True).why == "dry"
    assert not Path("runs").exists()


def test_every_name_is_there_and_none_is_loaded_early() -> None:
    for name in harness.app.__all__:
        assert getattr(harness.app, name).__name__ == name
    for name in harness.__all__:
        assert getattr(harness, name)
    with pytest.raises(AttributeError):
        _ = harness.app.nothing
    code = (
        "import sys, harness; first = set(sys.modules); harness.app.plan; harness.app.run; "
        "harness.app.check; harness.app.publish; harness.app.submit; harness.app.status; "
        "assert not {'torch', 'pydantic', 'numpy', 'yaml'} & first, first; "
        "assert not {'torch', 'wandb', 'submitit'} & set(sys.modules); "
        "import harness.app.running, harness.app.planning; "
        "assert callable(harness.app.plan) and callable(harness.app.run)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
