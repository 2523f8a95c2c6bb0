"""A published report holds if its files are as published and its records give it; torch or not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.app.publishing import recipe_of
from harness.app.verifying import verify
from harness.errors import StoreError
from harness.report.manifest import MANIFEST, manifest

PUBLISHED = Path(harness.__file__).parent.parent / "reports" / "cifar10_demo_cpu"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PUBLISHED, tmp_path / "reports" / PUBLISHED.name))


def test_a_copy_is_verified_with_its_runs_and_files(report: Path) -> None:
    found = verify(report)
    assert found.holds
    assert found.runs == found.planned == 1
    assert found.files.same == len((report / MANIFEST).read_text().splitlines())


def test_a_run_that_was_not_made_is_planned_and_not_counted(report: Path) -> None:
    for record in (report / "runs").glob("*.knn-*"):
        shutil.rmtree(record)
    for record in (report / "runs").glob("*.pretrain-*"):
        shutil.rmtree(record)
    found = verify(report)
    assert (found.runs, found.planned) == (0, 1)
    assert not found.holds


def test_the_recipe_beside_the_reports_is_found_from_any_folder(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "recipes" / f"{report.name}.yaml"
    own.parent.mkdir()
    own.touch()
    for inside, named in ((".", report), ("reports", report.name), (f"reports/{report.name}", ".")):
        monkeypatch.chdir(tmp_path / inside)
        assert recipe_of(Path(named)).resolve() == own


def test_a_file_is_no_report(tmp_path: Path) -> None:
    page = tmp_path / "gate.md"
    page.touch()
    with pytest.raises(StoreError, match="not a published report"):
        verify(page)


def test_a_changed_number_in_a_page_is_found_twice(report: Path) -> None:
    page = report / "table.csv"
    page.write_text(page.read_text().replace("1", "2", 1))
    found = verify(report)
    assert not found.holds
    assert found.files.changed == found.differing == ("table.csv",)


def test_a_page_and_its_digest_changed_together_are_not_what_the_records_give(
    report: Path,
) -> None:
    page = report / "table.csv"
    page.write_text(page.read_text().replace("1", "2", 1))
    (report / MANIFEST).write_text(manifest(report))
    found = verify(report)
    assert not found.files.differs
    assert found.differing == ("table.csv",)
    assert not found.holds


def test_a_changed_result_is_found_in_all_that_shows_it(report: Path) -> None:
    (path,) = report.glob("runs/*.knn-*/result.json")
    result = json.loads(path.read_text())
    result["values"]["knn/top1"] += 10
    path.write_text(json.dumps(result))
    found = verify(report)
    assert found.files.changed == (path.relative_to(report).as_posix(),)
    assert {"results.json", "report.md", "report.html", "table.csv"} <= set(found.differing)


def test_missing_and_further_files_are_named(report: Path) -> None:
    (report / "runs/more.txt").write_text("?")
    (report / "loss.svg").unlink()
    found = verify(report)
    assert found.files.missing == ("loss.svg",)
    assert found.files.unlisted == ("runs/more.txt",)
    assert found.differing == ("loss.svg",)
    assert not found.holds


def test_a_file_that_no_report_of_these_records_has(report: Path) -> None:
    (report / "extra.md").write_text("a better table")
    (report / MANIFEST).write_text(manifest(report))
    assert verify(report).differing == ("extra.md",)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda r: (r / MANIFEST).unlink(), MANIFEST),
        (lambda r: (r / MANIFEST).write_text("a word\n"), f"{MANIFEST}:1"),
        (lambda r: (r / MANIFEST).write_bytes(b"\xff" * 70), f"{MANIFEST}:1"),
        (lambda r: (r / "runs/published.json").unlink(), "runs/published.json"),
        (lambda r: (r / "runs/link").symlink_to("/etc/passwd"), "runs/link"),
    ],
)
def test_what_cannot_be_verified_is_refused_by_name(
    report: Path, spoil: object, named: str
) -> None:
    assert callable(spoil)
    spoil(report)
    with pytest.raises(StoreError, match=named):
        verify(report)


def test_other_programs_read_the_digests(report: Path) -> None:
    subprocess.run(["sha256sum", "--quiet", "-c", MANIFEST], cwd=report, check=True)


def test_without_torch(report: Path) -> None:
    code = (
        "import sys; sys.modules.update(torch=None, torchvision=None, wandb=None, submitit=None)\n"
        f"sys.argv = ['moco-harness', 'verify', {str(report)!r}]\n"
        "from harness.cli import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_exit_code_says_that_a_report_differs(report: Path) -> None:
    (report / "report.md").write_text("better")
    words = [sys.executable, "-m", "harness.cli", "verify", str(report)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 6
    assert "report.md" in ran.stdout
