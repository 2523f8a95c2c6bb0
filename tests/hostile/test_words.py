"""No word of a run's does anything in what is made of it: terminal, pages, tables, figures."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report.build import EDITION, Bench, target

from harness.check.cells import CurrentState, read_cells
from harness.check.files import write_json, write_junit
from harness.check.targets import against_targets
from harness.cli.status import status_command
from harness.output import inert
from harness.recipe.schema import About
from harness.report import spreadsheet
from harness.report.collect import Results, collect
from harness.report.markdown import escape
from harness.report.publish import publish
from harness.report.write import write_report
from harness.site import load_site
from harness.store.edition import Editions

COMMANDS = (
    "\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\x00", "\x08\x08gone", "\x7f", "\x85next",
    "\u202egnp.exe", "\u2066in\u2069", "\u200fright", "\u061cletter", "zero\u200bwidth",
    "\ufeffmark", "join\u2060er", "tag\U000e0041", "line\u2028end",
)  # fmt: skip
MARKUP = (
    "<script>alert(1)</script> <img src=x onerror=alert(1)> \"><b> &lt; ' onclick=x",
    "[a](javascript:x) ![i](http://x/y.png) `code` **bold** a | b ~~gone~~ $x^2$",
    "\\input{/etc/passwd} 100 % & more_than {this} #1 ~ ^ $x$",
)
FORMULAS = ("=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1+1", " =1+1", "\r=1", "＝1+1")
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f]"
)


def filled(runs: Path, words: str) -> Results:
    """A table whose runs say the words wherever a run says anything."""
    made = Bench(runs, (0, 1), {"cells": ["m0.9", "m0"], "control": False})
    for seed in (0, 1):
        about = {"machine": {"host": words, "cpu": words, "device": words, "threads": 1}}
        code = {"commit": words, "dirty": False}
        made.finish("m0.9", seed, 40.0 + seed, provenance={**about, "code": code})
        made.diverge("m0", seed, message=words)
    for path in runs.glob("*/result.json"):
        found = json.loads(path.read_text())
        path.write_text(json.dumps(found | {"device": words, "images_per_s": 5.0}))
        for noted in path.parent.glob("attempts/*/attempt.json"):
            about = json.loads(noted.read_text())
            about.setdefault("machine", {})["device"] = words
            noted.write_text(json.dumps(about))
    return collect(made.expansion, made.scale, runs, installed=Editions.same(EDITION))


class Seen(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The elements and attributes of a page of harmless words."""
    place = tmp_path_factory.mktemp("plain")
    write_report(filled(place / "runs", "words"), place / "out")
    return elements(place / "out/report.html")


def elements(page: Path) -> set[str]:
    seen = Seen()
    seen.feed(page.read_text())
    return seen.found


@pytest.mark.parametrize("words", [" ".join(COMMANDS), *MARKUP], ids=ascii)
def test_reports_and_records(tmp_path: Path, plain: set[str], words: str) -> None:
    results = filled(tmp_path / "runs", words)
    out = tmp_path / "out"
    write_report(results, out)
    publish(results, tmp_path / "published", recipe="r.yaml")
    files = [path for at in (out, tmp_path / "published") for path in at.rglob("*.*")]
    assert {path.suffix for path in files} >= {".md", ".html", ".csv", ".tex", ".svg", ".json"}
    for path in files:
        if path.is_file():
            assert not UNSAFE.search(path.read_text()), path.name
        if path.suffix == ".svg":
            ET.parse(path)
        if path.suffix == ".json":
            json.loads(path.read_text())
    assert elements(out / "report.html") == plain


@pytest.mark.parametrize("words", FORMULAS)
def test_a_spreadsheet_computes_nothing(tmp_path: Path, words: str) -> None:
    results = filled(tmp_path / "runs", words)
    fields = [
        field
        for text in (spreadsheet.runs(results), spreadsheet.table(results))
        for row in csv.reader(io.StringIO(text))
        for field in row
    ]
    assert f"'{words.strip()}" in fields
    for field in fields:
        number = re.fullmatch(r"-?[\d.]+(e[-+]\d+)?", field)
        assert number or not field.startswith(tuple("=+-@\t\r＝＋－＠")), field


@pytest.mark.parametrize("write", [write_json, write_junit])
@pytest.mark.parametrize("words", [" ".join(COMMANDS), *MARKUP[:1]], ids=ascii)
def test_verdicts(tmp_path: Path, write: Callable[..., None], words: str) -> None:
    made = Bench(tmp_path / "runs", (0,), {"cells": ["m0.99"], "control": False})
    made.diverge("m0.99", 0, message=words)
    recipe = made.recipe("m0.99", 0).model_copy(update={"about": About(targets=(target(1.0),))})
    cells = read_cells("tiny", made.expansion.members, made.runs)
    runs = tuple(replace(run, recipe=recipe) for run in cells[0].runs)
    verdicts = against_targets([replace(cells[0], runs=runs)], CurrentState(Editions.same(EDITION)))
    assert len(verdicts) == 1
    write(tmp_path / "out", verdicts, EDITION)
    text = (tmp_path / "out").read_text()
    assert not UNSAFE.search(text)
    if write is write_junit:
        ET.parse(tmp_path / "out")
    else:
        assert words.split()[0] in json.loads(text)["verdicts"][0]["says"]


def test_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = "\n".join(COMMANDS)
    filled(tmp_path / "runs", words)
    lines = []
    for said in ("fine", words):
        for path in (tmp_path / "runs").glob("*/result.json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | {"message": said}))
        status_command(load_site(runs=tmp_path / "runs"), every=True)
        out = capfd.readouterr().out
        assert not UNSAFE.search(out)
        lines.append(len(out.splitlines()))
    assert lines[0] == lines[1], "no message makes a line of its own"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1. one", r"1\. one"),
        ("12) x", r"12\) x"),
        ("===", r"\==="),
        ("---", r"\---"),
        ("- x", r"\- x"),
        ("-0.5 points", "-0.5 points"),
        ("$x$", r"\$x\$"),
        ("a\u200bb", "a\ufffdb"),
        ("2.5 epochs", "2.5 epochs"),
    ],
)
def test_markdown(text: str, wanted: str) -> None:
    assert escape(text) == wanted


@pytest.mark.parametrize("words", COMMANDS)
def test_inert(words: str) -> None:
    assert not UNSAFE.search(inert(words))
    assert len(inert(words)) == len(words)
