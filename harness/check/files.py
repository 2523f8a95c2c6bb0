"""The results of `check`, as JSON for programs and as JUnit XML for CI systems."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.check.verdict import ACCEPTED, Failure, Verdict
from harness.output import inert
from harness.store import atomic

SUITES = "moco-harness check"
"""Name of the JUnit file's root element."""

FORMAT = 1
"""Version of the JSON file; raised when the meaning of a key changes."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""

_Timed = tuple[Verdict, float]
"""A verdict, and the seconds of its case."""

_FAILED = ("short", "below", "above")

_SKIPPED = ("waiting", "skipped")


def write_json(
    path: Path, verdicts: Sequence[Verdict], edition: str, failures: Sequence[Failure] = ()
) -> None:
    """Write every verdict, what could not be judged, and whether all passed.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    atomic.write_json(
        path,
        {
            "format": FORMAT,
            "edition": edition,
            "passed": not failures and all(each.judged in ACCEPTED for each in verdicts),
            "verdicts": [asdict(each) | {"seconds": each.seconds} for each in verdicts],
            "errors": [asdict(each) for each in failures],
        },
    )


def write_junit(
    path: Path, verdicts: Sequence[Verdict], edition: str, failures: Sequence[Failure] = ()
) -> None:
    """Write a suite for each recipe and a case for each verdict, in the form that CI systems read.

    A result that is not as required is a failure. What could not be judged (stale, missing,
    incomparable, a wrong recipe) is an error. A result that is still to come is skipped, as is a
    trace that is of another seed or device. A case's
    time is that of its stages, without those counted in an earlier case: several share a
    pre-training.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    suites = {verdict.recipe: list[_Timed]() for verdict in verdicts}
    named: set[str] = set()
    for recipe, timed in suites.items():
        for verdict in verdicts:
            if verdict.recipe == recipe:
                took = (s for stage, s in verdict.stages.items() if stage not in named)
                timed.append((verdict, sum(took)))
                named |= verdict.stages.keys()
    everything = [each for timed in suites.values() for each in timed]
    counts = _counts(everything, len(failures))
    root = ET.Element("testsuites", {"name": SUITES, **counts})
    for recipe, timed in suites.items():
        suite = ET.SubElement(root, "testsuite", {"name": _plain(recipe), **_counts(timed)})
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="edition", value=edition)
        for verdict, seconds in timed:
            _case(suite, verdict, seconds)
    for failure in failures:
        _failed(root, failure)
    ET.indent(root)
    content = ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
    atomic.write(path, lambda file: file.write(content))


def is_json(content: bytes) -> bool:
    """Whether a file's content is what `write_json` writes."""
    found = atomic.json_object(content)
    return "format" in found and isinstance(found.get("verdicts"), list)


def is_junit(content: bytes) -> bool:
    """Whether a file's content is what `write_junit` writes."""
    return f'<testsuites name="{SUITES}"'.encode() in content[:200]


def _case(suite: ET.Element, verdict: Verdict, seconds: float) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=_plain(f"{verdict.recipe}.{verdict.cell}"),
        name=_plain(f"{verdict.metric} against {verdict.against}"),
        time=f"{seconds:.3f}",
    )
    says = _plain(
        f"WARNING: {verdict.warning}\n{verdict.says}" if verdict.warning else verdict.says
    )
    if verdict.passed:
        ET.SubElement(case, "system-out").text = says
    elif verdict.judged in _SKIPPED:
        ET.SubElement(case, "skipped", message=says)
    else:
        what = "failure" if verdict.judged in _FAILED else "error"
        ET.SubElement(case, what, message=says, type=verdict.judged).text = says


def _failed(root: ET.Element, failure: Failure) -> None:
    """Add a separate suite with one case."""
    name, says = _plain(failure.what), _plain(failure.message)
    suite = ET.SubElement(root, "testsuite", {"name": name, **_counts([], 1)})
    case = ET.SubElement(suite, "testcase", classname=name, name="could be judged", time="0.000")
    ET.SubElement(case, "error", message=says, type="error").text = says


def _counts(timed: Sequence[_Timed], errors: int = 0) -> dict[str, str]:
    failed = sum(verdict.judged in _FAILED for verdict, _ in timed)
    skipped = sum(verdict.judged in _SKIPPED for verdict, _ in timed)
    passed = sum(verdict.passed for verdict, _ in timed)
    return {
        "tests": str(len(timed) + errors),
        "failures": str(failed),
        "errors": str(len(timed) - failed - skipped - passed + errors),
        "skipped": str(skipped),
        "time": f"{sum(seconds for _, seconds in timed):.3f}",
    }


def _plain(text: str) -> str:
    """The text without characters that an XML file cannot hold."""
    return _NOT_XML.sub("\ufffd", inert(text))
