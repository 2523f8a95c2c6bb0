"""Submitters that are killed, that SLURM refuses half way, or that it does not answer."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cli.fake_slurm import listed
from harness.launch.slurm import clients
from harness.store import submission

KILLS = """\
#!/bin/sh
[ "$(cat when)" = "before {n}" ] && kill -9 $PPID && exit
sh bin/accepts "$1"
[ "$(cat when)" = "after {n}" ] && kill -9 $PPID
exit 0
"""
COUNTED = "$(ls jobs | wc -l)"


def names() -> dict[str, str]:
    """By the name of an array, the job that the cluster has of it."""
    found = {}
    for job in sorted(Path("jobs").iterdir()):
        line = next(x for x in job.read_text().splitlines() if "--job-name=" in x)
        found[line.partition("--job-name=")[2]] = job.name
    return found


def list_all(state: str) -> None:
    """Let squeue list the jobs that sbatch has made, by their names."""
    lines = []
    for name, job in names().items():
        elements = range(4) if "--array=0-3" in Path("jobs", job).read_text() else ["N/A"]
        lines += [f"{job}|{n}|{state}||{name}|Priority" for n in elements]
    Path("listed").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("n", range(5))
def test_one_that_is_killed_leaves_the_rest_to_the_next(
    moco: Any, spawn: Any, slurm: Path, n: int
) -> None:
    """Once array number n has become a job (4: the report), or before the first."""
    Path("bin/sbatch").rename("bin/accepts")
    when = f"after {n}" if n else "before 0"
    Path("bin/sbatch").write_text(KILLS.format(n=COUNTED))
    Path("bin/sbatch").chmod(0o755)
    Path("when").write_text(when)
    words = ["run", "scale.yaml", "--site", slurm]
    assert spawn(*words).end().code == -signal.SIGKILL
    assert len(names()) == n
    Path("when").write_text("")
    list_all("PENDING")
    said = moco(*words)
    assert said.code == 0, said.all
    jobs = list(names().values())
    texts = [Path("jobs", job).read_text() for job in jobs]
    # each stage's kind has its array once, and a report waits for all of them
    for hours in (1440, 60, 720):
        assert sum(f"--time={hours}\n" in text for text in texts) == 1
    (report,) = [text for text in texts if "--time=30\n" in text]
    behind = report.partition("--dependency=afterany:")[2].partition("\n")[0].split(":")
    assert {*behind} == {*jobs} - {jobs[-1]}
    list_all("PENDING")
    again = moco(*words)
    assert "nothing to submit: 12 stages" in again.out, again.all
    assert len(names()) == 4


def test_a_report_that_was_refused_is_handed_in_later(moco: Any, slurm: Path) -> None:
    words = ["run", "scale.yaml", "--site", slurm]
    Path("refuse").write_text("time=30$")
    assert moco(*words).code == 0
    listed("PENDING")
    Path("refuse").unlink()
    said = moco(*words)
    assert said.code == 0, said.all
    assert "--dependency=afterany:100:101:102\n" in Path("jobs/103").read_text()
    assert "--time=30\n" in Path("jobs/103").read_text()
    listed("PENDING")
    assert "nothing to submit" in moco(*words).out
    assert len(names()) == 4


LIMIT = """\
#!/bin/sh
if [ $(ls jobs | wc -l) -ge 2 ]; then
    echo "sbatch: error: AssocMaxSubmitJobLimit" >&2
    echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy" >&2
    exit 1
fi
exec sh bin/accepts "$1"
"""


def test_a_limit_that_is_reached_half_way(moco: Any, slurm: Path) -> None:
    Path("bin/sbatch").rename("bin/accepts")
    Path("bin/sbatch").write_text(LIMIT)
    Path("bin/sbatch").chmod(0o755)
    said = moco("run", "scale.yaml", "--site", slurm)
    assert said.code == 1
    assert "AssocMaxSubmitJobLimit" in said.err
    assert "2 earlier arrays were submitted (8 stages); 4 stages were not" in said.err
    (record,) = submission.everything(Path("runs"))
    assert [array.job for array in record.arrays] == ["100", "101"]


REFUSES = """\
#!/bin/sh
touch jobs/100
name=$(sed -n 's/^#SBATCH --job-name=//p' "$1")
echo "100|N/A|FAILED||$name|BadConstraints" >> listed
echo "sbatch: error: Memory specification can not be satisfied" >&2
echo "sbatch: error: Batch job submission failed: Requested node configuration" >&2
exit 1
"""


def test_a_refused_job_that_slurm_keeps_as_failed_was_not_submitted(moco: Any, slurm: Path) -> None:
    Path("bin/sbatch").write_text(REFUSES)
    said = moco("run", "scale.yaml", "--site", slurm)
    assert said.code == 1
    assert "Memory specification can not be satisfied" in said.err
    assert "slurm.mem_gb: 500" in said.err
    assert "Nothing was submitted" in said.err
    (record,) = submission.everything(Path("runs"))
    assert record.arrays == ()


def test_a_job_that_will_never_start(moco: Any, slurm: Path) -> None:
    """The partition allows less time, and the cluster finds out when it would start it."""
    reason = "s/.*/100|0|PENDING||&|PartitionTimeLimit/"
    listing = f"#!/bin/sh\nsed -n 's/^#SBATCH --job-name=//p' jobs/100 | sed '{reason}'\n"
    Path("bin/squeue").write_text(listing)
    said = moco("run", "scale.yaml", "--site", slurm)
    assert said.code == 1
    assert "job 100 (pretrain): PartitionTimeLimit; see slurm.hours.pretrain: 24" in said.err
    assert "scancel 100 101 102 103" in said.err
    (record,) = submission.everything(Path("runs"))
    assert [array.job for array in record.arrays] == ["100", "101", "102", "103"]


def test_arrays_longer_than_the_clusters(moco: Any, slurm: Path) -> None:
    Path("bin/scontrol").write_text("#!/bin/sh\necho ClusterName = here\necho MaxArraySize = 3\n")
    said = moco("run", "scale.yaml", "--site", slurm)
    assert said.code == 1
    assert "slurm.max_array" in said.err
    assert "allows 3" in said.err
    assert not Path("runs/submissions").exists() or not submission.everything(Path("runs"))
    slurm.write_text(slurm.read_text().replace("max_array: 4", "max_array: 3"))
    assert moco("run", "scale.yaml", "--site", slurm).code == 0


def test_a_cluster_without_arrays(moco: Any, slurm: Path) -> None:
    Path("bin/scontrol").write_text("#!/bin/sh\necho ClusterName = here\necho MaxArraySize = 0\n")
    assert moco("run", "scale.yaml", "--site", slurm).code == 1
    slurm.write_text(slurm.read_text().replace("max_array: 4", "max_array: 1"))
    assert moco("run", "scale.yaml", "--site", slurm).code == 0
    assert "--array" not in "".join(path.read_text() for path in Path("jobs").iterdir())


@pytest.mark.parametrize(
    "words",
    [
        "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)",
        "scontrol: error: Munge encode failed: Failed to access /m (Did you start munged?)",
    ],
)
def test_a_controller_that_is_dead_before_the_first(moco: Any, slurm: Path, words: str) -> None:
    Path("bin/scontrol").write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    said = moco("run", "scale.yaml", "--site", slurm)
    assert said.code == 1
    assert f"SLURM does not answer: {words}" in said.err
    assert "site file" not in said.err
    assert list(Path("jobs").iterdir()) == []


def test_an_sbatch_that_never_ends(moco: Any, slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job that it may have made is looked for, now and by the next `run`."""
    monkeypatch.setattr(clients, "SUBMIT_S", 0.5)
    real = Path("bin/sbatch").read_text()
    Path("bin/sbatch").write_text("#!/bin/sh\nexec sleep 60\n")
    began = time.monotonic()
    said = moco("run", "scale.yaml", "--site", slurm)
    assert time.monotonic() - began < 30
    assert said.code == 1
    assert "SLURM does not answer (pretrain, 4 stages): sbatch: no answer in 0.5 s" in said.err
    (record,) = submission.everything(Path("runs"))
    assert [array.job for array in record.arrays] == [None] * 4
    lines = [f"77|{n}|PENDING||{record.arrays[0].name}|Priority\n" for n in range(4)]
    Path("listed").write_text("".join(lines))
    Path("bin/sbatch").write_text(real)
    path = Path(f"runs/submissions/{record.id}.json")
    path.write_text(path.read_text().replace('"born": "', '"born": "1'))
    assert moco("run", "scale.yaml", "--site", slurm).code == 0
    assert submission.everything(Path("runs"))[0].arrays[0].job == "77"


@pytest.mark.parametrize("name", ["a\n#SBATCH --uid=0", "100%j", "a:b", "a\\b"])
def test_a_run_root_that_sbatch_would_read_otherwise(moco: Any, slurm: Path, name: str) -> None:
    said = moco("run", "scale.yaml", "--site", slurm, "--runs", name)
    assert said.code == 1
    assert "--runs" in said.err
    assert list(Path("jobs").iterdir()) == []
    assert not Path(name).exists()
    assert moco("run", "scale.yaml", "--site", slurm, "--runs", "it's our runs#1").code == 0
