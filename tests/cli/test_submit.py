"""`run` where SLURM is not, or is played by three small scripts; tests/slurm has the real one."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_regressions.file_regression import FileRegressionFixture

from cli.fake_slurm import listed
from harness.errors import DiskError
from harness.launch import job_file
from harness.launch.local import launcher as local
from harness.launch.slurm import sbatch
from harness.store import submission
from harness.store.submission import Array


def plain(text: str, place: Path) -> str:
    """Without what differs from one machine and moment to the next."""
    text = re.sub(r"/[^ ]*/runs/\.code/[0-9a-f]{12}", "RUNS/.code/DIGEST", text)
    text = re.sub(r"\d{8}-\d{6}-[0-9a-f]{6}", "SUBMISSION", text)
    text = text.replace(sys.executable, "PYTHON").replace(str(place), "PLACE")
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


def test_the_scripts(moco: Any, site: Path, file_regression: FileRegressionFixture) -> None:
    said = moco("run", "scale.yaml", "--on", "slurm", "--site", site, "--dry-run")
    assert said.code == 0, said.all
    assert not Path("runs").exists(), "a dry run makes nothing"
    file_regression.check(plain(said.out, Path.cwd()), extension=".txt")


def test_the_scripts_of_a_single_run_on_a_plain_cluster(
    moco: Any, tiny: Path, site: Path, file_regression: FileRegressionFixture
) -> None:
    site.write_text("slurm: {}\n")
    said = moco("run", tiny, "--on", "slurm", "--site", site, "--dry-run")
    assert said.code == 0, said.all
    file_regression.check(plain(said.out, Path.cwd()), extension=".txt")


def test_where_there_is_no_slurm(
    moco: Any, tiny: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    said = moco("run", tiny, "--on", "slurm", "--site", site)
    assert said.code == 1
    assert "no sbatch on PATH" in said.err
    here = moco("run", tiny, "--site", site, "--dry-run", "--device", "cpu")
    assert here.code == 0
    assert "to SLURM" not in here.out, "auto runs here"
    assert moco("run", tiny, "--on", "there").code == 2
    assert not Path("runs").exists()


def test_a_site_that_says_nothing_of_slurm(moco: Any, tiny: Path) -> None:
    said = moco("run", tiny, "--on", "slurm", "--dry-run")
    assert said.code == 1
    assert " slurm:" in said.err


def test_what_is_written_down(moco: Any, slurm: Path) -> None:
    said = moco("run", "scale.yaml", "--site", slurm, "--set", "optim.epochs=1")
    assert said.code == 0, said.all
    (record,) = submission.everything(Path("runs"))
    assert re.search(rf"submitted 12 stages .*{record.id}", said.out)
    assert [array.job for array in record.arrays] == ["100", "101", "102", "103"]
    assert (record.recipe, record.sets) == ("scale.yaml", ("optim.epochs=1",))
    assert record.cluster == "here"
    for n, job in enumerate(sorted(Path("records").iterdir())):
        known = [array["job"] for array in json.loads(job.read_text())["arrays"]]
        assert known == [str(100 + k) if k < n else None for k in range(4)], "before each sbatch"
    script = Path("jobs/101").read_text()
    assert f"#SBATCH --job-name={record.arrays[1].name}\n" in script
    assert "#SBATCH --dependency=aftercorr:100\n" in script
    folder = submission.folder(Path("runs"), record.id).absolute()
    for stage, element in record.arrays[1].elements():
        named = pickle.loads((folder / f"{element}_submitted.pkl").read_bytes())
        spare = folder / f"{record.arrays[1].name}.{element.partition('_')[2]}.pkl"
        for job in (named, pickle.loads(spare.read_bytes())):
            told = json.loads(Path(*job.args).read_text())
            assert (job.function, told["work"]) == (job_file.call, "stage")
            assert Path(told["folder"]) == Path("runs").absolute() / stage
            assert (job._timeout_min, job._timeout_countdown) == (60, 50)
            assert told["code"] == record.code
        assert (Path("runs") / stage / "stage.json").exists()
        assert spare.stat().st_size < 2000
    report = pickle.loads((folder / "103_submitted.pkl").read_bytes())
    told = json.loads(Path(*report.args).read_text())
    assert (report.function, told["work"]) == (job_file.call, "report")
    assert Path(told["recipe"]).read_text() == Path("scale.yaml").read_text()


def test_what_has_a_job_is_not_submitted_again(moco: Any, slurm: Path) -> None:
    words = ["run", "scale.yaml", "--site", slurm]
    assert moco(*words).code == 0
    listed("PENDING")
    said = moco(*words)
    assert said.code == 0, said.all
    assert "nothing to submit: 12 stages" in said.out
    assert "job 100_0 is pending (Priority)" in said.out
    assert "more" in said.out
    assert len(list(Path("jobs").iterdir())) == 4
    more = moco("run", "scale.yaml", "--site", slurm, "--set", "seeds=[0,1,2]")
    assert "submitted 6 stages" in more.out, more.all
    listed("CANCELLED")
    assert "submitted 12 stages" in moco(*words).out


def test_without_an_answer_nothing_is_submitted(moco: Any, slurm: Path) -> None:
    words = ["run", "scale.yaml", "--site", slurm]
    assert moco(*words).code == 0
    Path("silent").touch()
    Path("bin/sacct").write_text("#!/bin/sh\nexit 1\n")
    said = moco(*words)
    assert said.code == 1
    assert "SLURM" in said.err
    assert len(list(Path("jobs").iterdir())) == 4


def test_what_sbatch_refuses(moco: Any, slurm: Path) -> None:
    Path("refuse").write_text("time=720")  # the probes
    said = moco("run", "scale.yaml", "--site", slurm)
    assert said.code == 1
    assert "linear, 4 stages: sbatch: error: Invalid qos" in said.err
    (record,) = submission.everything(Path("runs"))
    assert [array.job for array in record.arrays] == ["100", "101"]
    listed("PENDING")
    Path("refuse").unlink()
    again = moco("run", "scale.yaml", "--site", slurm)
    assert again.code == 0, again.all
    assert "submitted 4 stages" in again.out
    assert "--dependency=aftercorr:100\n" in Path("jobs/102").read_text(), "behind the older jobs"
    assert "--dependency=afterany:102:100:101\n" in Path("jobs/103").read_text()


@pytest.fixture
def stale(moco: Any, slurm: Path) -> dict[str, str]:
    """All stages have results of another edition; by stage id, what they say."""
    assert moco("run", "scale.yaml", "--site", slurm).code == 0
    listed("CANCELLED")
    found = {}
    for stage in submission.everything(Path("runs"))[0].stages:
        text = json.dumps({"state": "finished", "values": {}, "edition": "old", "of": stage})
        Path("runs", stage, "result.json").write_text(text)
        found[stage] = text
    return found


def results() -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in Path("runs").glob("*/result.json")}


def test_again_sets_the_old_results_aside(moco: Any, slurm: Path, stale: dict[str, str]) -> None:
    said = moco("run", "scale.yaml", "--site", slurm, "--again")
    assert said.code == 0, said.all
    assert "submitted 12 stages" in said.out
    assert results() == {}
    assert len(list(Path("runs/aside").iterdir())) == len(stale) == 12


def test_what_is_refused_again_keeps_its_old_results(
    moco: Any, slurm: Path, stale: dict[str, str]
) -> None:
    Path("refuse").write_text("time=720")  # the linear probes
    said = moco("run", "scale.yaml", "--site", slurm, "--again")
    assert "SLURM refused linear, 4 stages: sbatch: error: Invalid qos" in said.err
    assert results() == {id_: text for id_, text in stale.items() if ".linear-" in id_}
    assert len(list(Path("runs/aside").iterdir())) == 8
    for stage in results():
        assert Path("runs", stage, "stage.json").exists()


def test_on_a_full_disk_it_says_so_and_keeps_the_old_results(
    moco: Any, slurm: Path, stale: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = sbatch.submitted

    def full(executor: Any, array: Array, *more: Any) -> str:
        if array.kind == "linear":
            raise DiskError("submissions/x: the disk is full; free some space")
        return submitted(executor, array, *more)

    monkeypatch.setattr(sbatch, "submitted", full)
    said = moco("run", "scale.yaml", "--site", slurm, "--again")
    assert said.code == 4
    assert "the disk is full" in said.err
    assert "SLURM" not in said.err
    assert "2 earlier arrays were submitted (8 stages)" in said.all
    assert results() == {id_: text for id_, text in stale.items() if ".linear-" in id_}
    newest = submission.everything(Path("runs"))[-1]
    assert [array.kind for array in newest.arrays] == ["pretrain", "knn"]


def test_where_a_job_may_have_been_made_the_old_results_stay_aside(
    moco: Any, slurm: Path, stale: dict[str, str]
) -> None:
    """Or it would find one, and do nothing."""
    Path("bin/sbatch").write_text("#!/bin/sh\ntouch silent\nexit 1\n")
    said = moco("run", "scale.yaml", "--site", slurm, "--again")
    assert said.code == 1
    assert f"old results stay in {Path('runs/aside').absolute()}" in said.err
    assert len(results()) == len(stale) - len(list(Path("runs/aside").iterdir())) == 8


def test_the_background_leaves_slurms_stages_alone(
    moco: Any, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert moco("run", "scale.yaml", "--site", slurm).code == 0
    listed("PENDING")
    began: list[list[str]] = []

    def begin(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        began.append(words)
        return subprocess.CompletedProcess(words, 0, stdout="1\n", stderr="")

    monkeypatch.setattr(local, "subprocess", SimpleNamespace(run=begin, DEVNULL=None))
    more = ["--set", "seeds=[0,1,2]"]
    said = moco("run", "scale.yaml", "--on", "local", "--device", "cpu", *more)
    assert "6 stages" in said.out, said.all
    # of one second, perhaps, in which their order is not told
    first, second = sorted(submission.everything(Path("runs")), key=lambda s: s.on != "slurm")
    assert len(began) == 1
    assert second.id in began[0][3]
    assert not first.stages & second.stages


def test_a_report_that_is_refused_stops_nobody(moco: Any, slurm: Path) -> None:
    Path("refuse").write_text("time=30$")
    said = moco("run", "scale.yaml", "--site", slurm)
    assert said.code == 0, said.all
    assert "report (sbatch: error: Invalid qos)" in said.out
    assert "submitted 12 stages in 3 arrays" in said.out


def test_the_jobs_of_a_submitter_that_died(moco: Any, slurm: Path) -> None:
    """It died after its second sbatch, before it could write down the number."""
    assert moco("run", "scale.yaml", "--site", slurm).code == 0
    listed("PENDING")
    (record,) = submission.everything(Path("runs"))
    arrays = json.loads(Path(f"runs/submissions/{record.id}.json").read_text())
    for array in arrays["arrays"][1:]:
        array["job"] = None
    arrays["submitter"] |= {"born": "1"}
    Path(f"runs/submissions/{record.id}.json").write_text(json.dumps(arrays))
    lines = Path("listed").read_text().splitlines()
    Path("listed").write_text("\n".join(x for x in lines if x.startswith(("100|", "101|"))) + "\n")
    said = moco("run", "scale.yaml", "--site", slurm)
    assert said.code == 0, said.all
    assert "1 job arrays" in said.out
    assert "submitted 4 stages" in said.out, "the probes that never were"
    found = submission.everything(Path("runs"))[0]
    assert [array.job for array in found.arrays] == ["100", "101", None, None]


@pytest.mark.parametrize(("hours", "asks"), [(0.01, False), (30, True)])
def test_above_the_sites_limit_it_asks(moco: Any, slurm: Path, hours: float, asks: bool) -> None:
    cost = {"hours": hours, "on": "8 V100", "gpus": 8, "source": "the paper"}
    with Path("tiny.yaml").open("a") as file:
        file.write(f"about: {{cost: {json.dumps(cost)}}}\n")
    said = moco("run", "tiny.yaml", "--site", slurm)
    assert re.search(r"partition gpu; .*GPU-hours", said.out)
    assert (said.code, bool(list(Path("jobs").iterdir()))) == ((1, False) if asks else (0, True))
    if asks:
        assert "about 240 GPU-hours of work" in said.err
        assert moco("run", "tiny.yaml", "--site", slurm, "--yes").code == 0


def test_in_the_background_of_this_machine(moco: Any, tiny: Path) -> None:
    began, once = time.monotonic(), ["--set", "optim.epochs=1"]
    said = moco("run", tiny, "--on", "local", "--device", "cpu", *once)
    assert said.code == 0, said.all
    (record,) = submission.everything(Path("runs"))
    job = record.arrays[0].job
    assert job is not None
    assert Path(f"/proc/{job}").exists(), "it is on its way"
    other = moco("run", tiny, "--on", "local", *once)
    assert "nothing to submit: 3 stages" in other.out
    page = Path("runs/reports").absolute() / f"{record.name}" / "report.html"
    while not page.exists():
        assert time.monotonic() < began + 100
        time.sleep(0.1)
    who = json.loads(next(Path("runs").glob("*/attempts/0001/alive.json")).read_text())
    assert who["local"]["job"] == job
    assert moco("run", tiny, *once).idle
