"""What the guides list is what the program has: commands, exit codes, settings, citation."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer
import yaml

import harness
from harness import errors
from harness.cli.app import app
from harness.launch.slurm.site import SlurmSite
from harness.site import site_file

ROOT = Path(harness.__file__).parent.parent
STOPPED, CLOSED_PIPE = 130, 141


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def part(text: str, heading: str) -> str:
    """The text under a heading, up to the next one of any level."""
    return re.split(r"^#+ .*$", text.split(f"\n## {heading}\n")[1], flags=re.MULTILINE)[0]


def first_columns(text: str) -> list[str]:
    """Everything between backticks in the first column of the tables in `text`."""
    rows = [re.split(r"(?<!\\)\|", line)[1] for line in text.splitlines() if line.startswith("| ")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


COMMANDS = read("docs/commands.md")


def test_every_command_is_listed() -> None:
    listed = {name.split()[0] for name in first_columns(COMMANDS.split("\n## ")[0])}
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert len(commands) > 10
    assert set(commands) <= listed
    groups = {"new", "list", "show", "validate", "diff", "schema"}
    assert listed - groups == set(commands)
    assert set(commands["recipes"].commands) == groups


def test_every_exit_code_is_listed() -> None:
    rows = re.findall(r"^\| (\d+) \|", part(COMMANDS, "Exit codes"), re.MULTILINE)
    raised = {
        each.exit_code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.HarnessError)
    }
    assert {int(row) for row in rows} == {0, *raised, STOPPED, CLOSED_PIPE}
    assert len(rows) == len(set(rows))


def test_every_field_of_the_site_file_is_listed() -> None:
    section = part(COMMANDS, "Site file")
    assert set(first_columns(section)) - {"slurm:"} == set(SlurmSite.model_fields)
    example = re.findall(r"^(\w+):", section, re.MULTILINE)
    assert {*example, "slurm"} == set(site_file().model_fields)


@pytest.mark.parametrize("option", ["timeouts", "signal_s", "max_array", "cpus_per_process"])
def test_defaults_of_slurms_fields_are_the_codes(option: str) -> None:
    (line,) = [row for row in COMMANDS.splitlines() if row.startswith(f"| `{option}` |")]
    assert line.split("|")[2].strip() == str(SlurmSite.model_fields[option].default)


def test_every_nox_session_is_listed() -> None:
    decorated = [
        each.name
        for each in ast.parse(read("noxfile.py")).body
        if isinstance(each, ast.FunctionDef)
        and any("session" in ast.unparse(decorator) for decorator in each.decorator_list)
    ]
    assert len(decorated) > 5
    assert sorted(set(first_columns(read("docs/tests.md")))) == sorted(decorated)


def test_the_citation_is_that_of_the_citation_file() -> None:
    entries = read("README.md").split("```bibtex")[1].split("```")[0]
    cited = yaml.safe_load(read("CITATION.cff"))
    assert f"{{{cited['title']}}}" in entries
    papers = [each for each in cited["references"] if "year" in each]
    assert len(papers) == 2
    for paper in papers:
        assert f"{{{paper['title']}}}" in entries
        assert paper["url"] in entries
        for author in paper["authors"]:
            assert f"{author['family-names']}, {author['given-names']}" in entries
    assert f"version = {{{harness.__version__}}}" in entries
