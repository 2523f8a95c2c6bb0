"""pyproject.toml and what stands beside it say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

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


def test_versions_agree() -> None:
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert harness.__version__ == PROJECT["version"] == cited[1].strip('"')
