from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import HarnessError
from harness.spec import registry
from harness.spec.declarations import Tracker
from harness.store import provenance

DATA = {"name": "embedded", "fingerprint": "0123456789ab"}


@pytest.fixture(autouse=True)
def _as_a_new_process() -> Iterator[None]:
    provenance._code_at_start.cache_clear()
    yield
    provenance._code_at_start.cache_clear()


def capture() -> tuple[dict[str, Any], str]:
    return provenance.capture(edition="abc", device="cpu", threads=1, data=DATA)


def test_what_stands_beside_a_number() -> None:
    record, _ = capture()
    assert json.loads(json.dumps(record)) == record
    assert record["data"] == DATA
    assert record["machine"]["device"] == "cpu"
    assert record["machine"]["cores"] >= 1
    assert {"moco-harness", "torch", "torchvision", "pydantic"} <= set(record["packages"])
    assert record["edition"] == "abc"


def test_the_trackers_libraries_are_among_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "wandb" in provenance.packages()

    def broken() -> dict[str, Tracker]:
        raise HarnessError("own (own:TRACKER): cannot be loaded")

    monkeypatch.setattr(registry, "trackers", broken)
    assert "torch" in provenance.packages()


def test_no_secret_of_the_environment_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "SLURM_JWT", "HF_TOKEN", "PASSWORD"):
        monkeypatch.setenv(name, "planted-secret")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    record, diff = capture()
    assert "planted-secret" not in json.dumps(record) + diff
    assert record["slurm"] == {"SLURM_JOB_ID": "4711"}


def test_without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    record, diff = capture()
    why = {"why": "git is not installed"}
    assert (record["code"], diff) == ({"commit": None, "dirty": None, **why}, "")


def test_a_git_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any, **more: Any) -> None:
        raise subprocess.TimeoutExpired("git", more["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    assert capture()[0]["code"]["commit"] is None


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git checkout of one file, which the harness believes it runs from."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    root = tmp_path / "checkout"
    (root / "harness").mkdir(parents=True)
    (root / "harness" / "__init__.py").write_text("one\n")
    git(root, "init", "-q")
    git(root, "config", "user.email", "a@b.c")
    git(root, "config", "user.name", "a")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    monkeypatch.setattr(harness, "__file__", str(root / "harness" / "__init__.py"))
    return root


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_clean_checkout(checkout: Path) -> None:
    code, diff = provenance.code()
    commit = git(checkout, "rev-parse", "HEAD")
    assert code == {"commit": commit, "dirty": False, "diff": None, "untracked": []}
    assert diff == ""


def test_a_dirty_one(checkout: Path) -> None:
    (checkout / "harness" / "__init__.py").write_text("two\n")
    (checkout / "new.py").touch()
    code, diff = provenance.code()
    assert code["dirty"]
    assert code["untracked"] == ["new.py"]
    assert "-one\n+two\n" in diff
    assert provenance.changes(code) == "with uncommitted changes"
    assert code["diff"] == hashlib.sha256(diff.encode()).hexdigest()[:12]


def test_new_code_of_the_harness_is_named_however_many_other_files_are_new(checkout: Path) -> None:
    for n in range(60):
        (checkout / f"a{n}.txt").touch()
    (checkout / "harness" / "größe.py").touch()
    names = provenance.code()[0]["untracked"]
    assert (names[0], len(names)) == ("harness/größe.py", 50)


@pytest.mark.parametrize("fails", ["diff", "ls-files"])
def test_a_state_that_git_does_not_tell_is_not_clean(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    commit, run = git(checkout, "rev-parse", "HEAD"), subprocess.run

    def slow(words: Any, **more: Any) -> Any:
        if fails in words:
            raise subprocess.TimeoutExpired("git", more["timeout"])
        return run(words, **more)

    monkeypatch.setattr(subprocess, "run", slow)
    code, _ = provenance.code()
    assert (code["commit"], code["dirty"]) == (commit, None)
    assert "20 s" in code["why"]
    assert provenance.changes(code).startswith("perhaps")
    assert provenance.why_no_commit() == ""


def test_later_stages_run_the_code_that_was_loaded(checkout: Path) -> None:
    before = capture()[0]["code"]
    (checkout / "harness" / "__init__.py").write_text("two\n")
    assert provenance.code()[0] != before
    assert capture()[0]["code"] == before


def test_a_large_change_is_hashed_only(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "harness" / "__init__.py").write_text("two\n" * 100)
    monkeypatch.setattr(provenance, "DIFF_LIMIT", 50)
    code, diff = provenance.code()
    assert (len(code["diff"]), diff) == (12, "")


def test_a_checkout_around_an_installed_package_is_not_its_source(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / "venv" / "harness" / "__init__.py"
    monkeypatch.setattr(harness, "__file__", str(installed))
    installed.parent.mkdir(parents=True)
    found, diff = provenance.code()
    assert (found["commit"], found["dirty"], diff) == (None, None, "")
    assert found["why"].startswith(f"{installed.parent.parent} is not a git checkout")
    assert not provenance.is_checkout()


def test_a_checkout_that_git_does_not_trust(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or whose .git cannot be read, or that has no commit: why, is said."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    own = {**os.environ}
    run = subprocess.run

    def untrusted(words: Any, **more: Any) -> Any:
        return run(words, **{**more, "env": own})

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", untrusted)
        why = provenance.why_no_commit()
    assert f"safe.directory {checkout}" in why
    assert "belongs to" in why
    assert provenance.is_checkout()
    (checkout / ".git" / "HEAD").unlink()
    assert provenance.why_no_commit().startswith("git says of ")
    shutil.rmtree(checkout / ".git")
    (checkout / ".git").symlink_to(".git")
    assert str(checkout / ".git") in provenance.why_no_commit()
    assert provenance.is_checkout()


def test_git_of_another_checkout_does_not_mislead(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = git(checkout, "rev-parse", "HEAD")
    git(tmp_path, "init", "-q", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert provenance.code()[0]["commit"] == expected


def test_a_users_way_to_show_changes_is_not_in_the_record(checkout: Path) -> None:
    git(checkout, "config", "diff.external", "false")
    git(checkout, "config", "color.ui", "always")
    (checkout / "harness" / "__init__.py").write_text("two\n")
    assert "-one\n+two\n" in provenance.code()[1]
