"""What is pickled for a job, and what it does with the file."""

from __future__ import annotations

import pickle
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from submitit.helpers import DelayedSubmission

from harness.errors import HarnessError
from harness.launch import job_file
from harness.launch.local.job import LocalJob
from harness.launch.slurm.job import ReportJob, StageJob
from harness.spec.declarations import load


@dataclass(frozen=True)
class Adds:
    """A work that can be seen."""

    folder: str
    words: tuple[str, ...]

    def __call__(self) -> str:
        """The words in a file, and joined."""
        text = "+".join(self.words)
        Path(self.folder, "said").write_text(text)
        return text


@pytest.fixture(autouse=True)
def _adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_file, "load", lambda dotted: Adds if dotted == "adds" else load(dotted))
    monkeypatch.setitem(job_file.WORKS, "adds", "adds")


def test_a_function_and_a_path_are_pickled_whatever_the_job(tmp_path: Path) -> None:
    words = {"folder": str(tmp_path), "words": ["a" * 10_000, "b"]}
    path = job_file.write(tmp_path / "job.json", "adds", words)
    data = pickle.dumps(DelayedSubmission(job_file.call, str(path)))
    assert len(data) < 1000
    made = pickle.loads(data)
    assert made.function is job_file.call
    assert made.result() == "a" * 10_000 + "+b"
    assert (tmp_path / "said").read_text().endswith("+b")


def test_a_requeued_job_does_the_same_again(tmp_path: Path) -> None:
    path = str(
        job_file.write(tmp_path / "job.json", "adds", {"folder": str(tmp_path), "words": []})
    )
    again = DelayedSubmission(job_file.call, path)._checkpoint_function()
    assert again is not None
    assert (again.function, again.args) == (job_file.call, (path,))


@pytest.mark.parametrize(
    ("work", "made"),
    [
        ("stage", StageJob("/r/s", "/d", "cpu", "/c", None, 3)),
        ("report", ReportJob("/r/tiny.yaml", ("seed=1",), "/r", "/d", "/c")),
        ("plan", LocalJob("id", "/r/tiny.yaml", ("seed=1",), "/r", "/d", "cpu", 2, True, None)),
    ],
)
def test_a_job_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str, made: object
) -> None:
    found: list[object] = []
    monkeypatch.setattr(type(made), "__call__", lambda self: found.append(self))
    job_file.call(str(job_file.write(tmp_path / "job.json", work, asdict(made))))  # type: ignore[call-overload]
    assert found == [made]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"work": "os:system", "folder": "x"}', "{"])
def test_a_file_that_names_no_work_runs_nothing(tmp_path: Path, text: str) -> None:
    """A run root is data: no name of a module is taken from it."""
    path = tmp_path / "job.json"
    path.write_text(text)
    with pytest.raises(HarnessError, match=r"job\.json"):
        job_file.call(str(path))
    with pytest.raises(HarnessError, match="absent"):
        job_file.call(str(tmp_path / "absent.json"))
