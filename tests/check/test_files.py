"""The files for programs: JSON, and JUnit XML as CI systems read it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from harness.check.files import write_json, write_junit
from harness.check.verdict import Judged, Verdict
from harness.errors import StoreError

ONE = Verdict(
    recipe="tiny",
    cell="m0.99",
    metric="knn/top1",
    against="target",
    judged="passed",
    value=41.0,
    low=39.0,
    high=None,
    seeds=2,
    says="41.00 ± 0.10",
    stages={"tiny-s0.pretrain-0a": 10.0, "tiny-s0.knn-0b": 2.34567},
)


def suites(path: Path, *judged: Judged) -> ET.Element:
    write_junit(path, [replace(ONE, judged=each) for each in judged], "abc")
    return ET.parse(path).getroot()


def test_json_holds_every_verdict(tmp_path: Path) -> None:
    short = replace(ONE, judged="short", value=None)
    write_json(tmp_path / "x.json", [ONE, short], "abc")
    found = json.loads((tmp_path / "x.json").read_text())
    assert (found["format"], found["edition"], found["passed"]) == (1, "abc", False)
    first, second = found["verdicts"]
    assert first["judged"] == "passed"
    assert (first["low"], first["high"], first["value"]) == (39.0, None, 41.0)
    assert (first["seconds"], first["stages"]) == (12.34567, ONE.stages)
    assert (second["judged"], second["value"]) == ("short", None)
    write_json(tmp_path / "x.json", [ONE, replace(ONE, judged="skipped")], "abc")
    assert json.loads((tmp_path / "x.json").read_text())["passed"] is True


@pytest.mark.parametrize(
    ("judged", "element", "count"),
    [
        ("short", "failure", "failures"),
        ("below", "failure", "failures"),
        ("above", "failure", "failures"),
        ("stale", "error", "errors"),
        ("missing", "error", "errors"),
        ("incomparable", "error", "errors"),
        ("waiting", "skipped", "skipped"),
        ("skipped", "skipped", "skipped"),
    ],
)
def test_each_judgement_has_its_element_and_is_counted(
    tmp_path: Path, judged: Judged, element: str, count: str
) -> None:
    root = suites(tmp_path / "x.xml", "passed", judged)
    (suite,) = root
    for counted in (root, suite):
        numbers = {name: counted.get(name) for name in ("failures", "errors", "skipped")}
        assert numbers == {"failures": "0", "errors": "0", "skipped": "0"} | {count: "1"}
        assert (counted.get("tests"), counted.get("time")) == ("2", "12.346")
    passed, other = suite.findall("testcase")
    assert passed.find("failure") is None
    assert (passed.get("classname"), passed.get("time")) == ("tiny.m0.99", "12.346")
    assert passed.get("name") == "knn/top1 against target"
    (inner,) = other
    assert inner.tag == element
    assert inner.get("message") == ONE.says
    if element != "skipped":
        assert inner.get("type") == judged


def test_a_suite_for_each_recipe(tmp_path: Path) -> None:
    write_junit(tmp_path / "x.xml", [ONE, replace(ONE, recipe="other")], "abc")
    root = ET.parse(tmp_path / "x.xml").getroot()
    assert [suite.get("name") for suite in root] == ["tiny", "other"]
    assert root[0].find("properties/property").attrib == {"name": "edition", "value": "abc"}  # type: ignore[union-attr]


def test_a_stage_takes_its_time_once(tmp_path: Path) -> None:
    """The pre-training is behind the kNN, the probe and another recipe that reads it."""
    probe = replace(ONE, metric="linear/top1", stages=ONE.stages | {"tiny-s0.linear-0c": 4.0})
    other = replace(ONE, recipe="other", stages={"tiny-s0.pretrain-0a": 10.0, "other-s0.knn": 1.0})
    write_junit(tmp_path / "x.xml", [ONE, other, probe, replace(ONE, against="baseline")], "abc")
    root = ET.parse(tmp_path / "x.xml").getroot()
    times = [[case.get("time") for case in suite.findall("testcase")] for suite in root]
    assert times == [["12.346", "4.000", "0.000"], ["1.000"]]
    assert [suite.get("time") for suite in root] == ["16.346", "1.000"]
    assert root.get("time") == "17.346"


def test_whatever_a_run_said_is_text(tmp_path: Path) -> None:
    """Markup, quotes, a terminal's escapes, a null, half a character."""
    said = "</failure><x a='1'> & \"q\" \x1b[31m \0 \ud800 \uffff ]]> ±"
    verdicts = [replace(ONE, judged="short", says=said, recipe='a<b>"&', cell="c\x07")]
    write_junit(tmp_path / "x.xml", verdicts, "abc")
    (suite,) = ET.parse(tmp_path / "x.xml").getroot()
    assert suite.get("name") == 'a<b>"&'
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert list(failure) == []
    assert failure.text == failure.get("message")
    assert failure.text == "</failure><x a='1'> & \"q\" �[31m � � � ]]> ±"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for write in (write_json, write_junit):
        with pytest.raises(StoreError, match="none/x: "):
            write(tmp_path / "none" / "x", [ONE], "abc")
