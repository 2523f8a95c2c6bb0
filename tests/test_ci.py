"""The workflow and the hooks do what nox does, and nothing else."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents.commands import commands_in, sessions, wrong

import harness

ROOT = Path(harness.__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PYTHONS = [
    line.rpartition(" ")[2]
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    if "Python :: 3." in line
]


def loaded(path: Path) -> dict[Any, Any]:
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(said, dict)
    return said


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in loaded(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_sessions_that_exist(path: Path) -> None:
    run = [words for step in steps(path) if "run" in step for words in commands_in(step["run"])]
    ours = [words for words in run if words[0] == ".ci/run"]
    assert ours
    assert all(words[1] == "-s" for words in ours)
    assert [wrong(words) for words in ours if wrong(words)] == []
    assert {words[0] for words in run} <= {".ci/run", "git"}


def test_all_that_nox_runs_by_itself_is_run() -> None:
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    (listed,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]).endswith("options.sessions")
    )
    run = {
        name
        for path in WORKFLOWS
        for step in steps(path)
        for words in commands_in(step.get("run", ""))
        for name in words[2:]
    }
    assert {*listed, "wheel", "coverage"} <= run & sessions()


def test_the_tests_run_on_each_python() -> None:
    (job,) = (loaded(path)["jobs"]["tests"] for path in WORKFLOWS)
    assert job["strategy"]["matrix"]["python"] == PYTHONS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_uses_official_actions(path: Path) -> None:
    said = loaded(path)
    assert said["permissions"] == {"contents": "read"}
    assert not [name for name, job in said["jobs"].items() if "permissions" in job]
    assert said["concurrency"]["cancel-in-progress"] is True
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert [action for action in used if not re.fullmatch(r"actions/[\w-]+@v\d+", action)] == []
    assert "://" not in path.read_text(encoding="utf-8")


def test_the_hooks_call_what_nox_calls() -> None:
    (local,) = loaded(ROOT / ".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    nox = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    calls = re.findall(r"_run\(session, ((?:\"[^\"]+\"(?:, )?)+)\)", nox)
    commands = [[word.strip('" ') for word in call.split(",")] for call in calls]
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        python, dash, *words = hook["entry"].split()
        assert (python, dash) == ("python", "-m")
        files = [] if hook.get("pass_filenames") is False else ["."]
        assert [word for word in words if word != "--force-exclude"] + files in commands


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_is_one(path: Path) -> None:
    said = loaded(path)
    assert {"name", "description", "body"} <= set(said)
    for field in said["body"]:
        assert field["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert field["attributes"]
    ids = [field["id"] for field in said["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0
