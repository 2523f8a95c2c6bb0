"""pyproject.toml and what stands beside it say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import harness

ROOT = Path(harness.__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_ci_pins_a_version_of_each_dependency_that_is_allowed() -> None:
    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    extras = PROJECT["optional-dependencies"]
    wanted = [
        Requirement(text)
        for text in (
            *PROJECT["dependencies"],
            *(each for extra in extras.values() for each in extra),
        )
    ]
    wanted = [one for one in wanted if one.name != PROJECT["name"]]
    assert len(wanted) > 10
    for one in wanted:
        assert one.specifier.contains(pinned[canonicalize_name(one.name)], prereleases=True), one


def test_constraints_name_no_place() -> None:
    text = (ROOT / ".ci" / "constraints.txt").read_text()
    assert not re.search(r"://|^-|/", "\n".join(text.splitlines()[2:]), re.MULTILINE)


def test_pythons() -> None:
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert named == sorted(named, key=lambda version: int(version.partition(".")[2]))
    assert PROJECT["requires-python"] == f">={named[0]}"


CITED = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_versions_agree() -> None:
    assert harness.__version__ == PROJECT["version"] == CITED["version"]


def test_the_citation_has_the_date_of_the_release_and_none_before() -> None:
    """A version that the changelog calls unreleased has no date."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = re.search(rf"^## {re.escape(PROJECT['version'])} \((\S+)\)$", changes, re.MULTILINE)
    assert dated is not None
    cited = str(CITED["date-released"]) if "date-released" in CITED else "unreleased"
    assert cited == dated[1]


def test_the_citation_says_what_the_project_says() -> None:
    assert CITED["cff-version"] == "1.2.0"
    assert {"message", "title", "type", "abstract", "authors", "references"} <= CITED.keys()
    assert CITED["title"] == PROJECT["name"]
    assert CITED["license"] == PROJECT["license"]
    known = {url.rstrip("/") for url in PROJECT.get("urls", {}).values()}
    assert {CITED[key] for key in ("repository-code", "url") if key in CITED} <= known
    assert {*PROJECT["keywords"]} == {*CITED["keywords"]}, "they are found by the same words"
    for each in CITED["references"]:
        assert {"type", "title", "authors"} <= each.keys(), each
        assert all("name" in one or "family-names" in one for one in each["authors"]), each


def test_the_readme_cites_what_the_citation_file_does() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"version = {{{CITED['version']}}}" in readme
    for each in CITED["references"]:
        if each["type"] != "software-code":
            assert each["title"] in readme
            assert each["url"] in readme
