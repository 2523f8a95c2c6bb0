"""The written report: Markdown, page, figures and numbers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pytest_regressions.file_regression import FileRegressionFixture
from track.lines import installed

from harness.errors import RecipeError, StoreError
from harness.recipe.ablation import CONTROL
from harness.recipe.schema import About
from harness.report.collect import collect_single
from harness.report.markdown import escape
from harness.report.write import write_report
from harness.store import certificate
from harness.store.certificate import Certificate, Check
from harness.store.edition import Editions
from harness.track.mirror_state import MirrorState
from report.build import EDITION, OLDER, Bench, momentum
from report.conftest import Collected

Make = Callable[..., Bench]
FILES = {"report.md", "report.html", "report.tex", "results.json", "table.csv", "runs.csv"}
VOID = {"meta", "br", "link", "img", "hr"}


class Page(HTMLParser):
    """Reads a page, and remembers what is wrong with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.targets: set[str] = set()
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids[str(value)] += 1
            if name in ("href", "src", "action", "xlink:href"):
                assert str(value).startswith("#"), f"{tag} leads out of the page to {value}"
                self.targets.add(str(value)[1:])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def written(bench: Bench, gather: Collected, out: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in write_report(gather(bench), out)}


def read_page(text: str) -> Page:
    page = Page(text)
    assert page.open == []
    assert all(n == 1 for n in page.ids.values()), page.ids
    assert page.targets <= set(page.ids), page.targets - set(page.ids)
    without_title = re.sub(r"arXiv:\S+", "", text)
    assert not re.search(r"https?:|//\w|@import|url\((?!#)|<script|javascript:", without_title)
    return page


def test_the_momentum_ablation_as_markdown(
    runs: Path, gather: Collected, tmp_path: Path, file_regression: FileRegressionFixture
) -> None:
    files = written(momentum(runs), gather, tmp_path / "out")
    file_regression.check(files["report.md"], extension=".md", encoding="utf-8")


def test_the_certificate_of_the_edition(runs: Path, gather: Collected, tmp_path: Path) -> None:
    for edition, device in ((EDITION, "H100"), (OLDER, "V100")):
        hardware: dict[str, str | int] = {
            "device": device,
            "nodes": 2,
            "processes": 16,
            "backend": "nccl",
        }
        checks = (Check("one", "passed", ""), Check("two", "failed", ""))[: 1 + (device == "V100")]
        when = "2026-11-22T10:00:00Z"
        certificate.write(runs, Certificate(edition, hardware, {}, checks, when))
    said = written(momentum(runs), gather, tmp_path / "out")["report.md"]
    assert f"Edition {EDITION} is certified: passed 1 check; H100, 16 processes on 2 nodes" in said
    assert "V100" not in said
    assert "uncertified" not in said


def test_the_page_is_whole_and_leads_nowhere_else(
    runs: Path, gather: Collected, tmp_path: Path
) -> None:
    page = read_page(written(momentum(runs), gather, tmp_path / "out")["report.html"])
    assert page.tags["svg"] == 2
    words = " ".join(page.words)
    for wanted in (
        "Not the paper's scale",
        "diverged (3 seeds)",
        "reproduced",
        "SLURM 4711",
        "wandb moco/w-m0-0 (offline)",
    ):
        assert wanted in words


def test_each_tracker_that_has_a_run_is_named(
    runs: Path, gather: Collected, tmp_path: Path
) -> None:
    bench = momentum(runs)
    MirrorState("own-1", "", mode="online").save(bench.folder("m0", 0), "lines")
    MirrorState("own-2", "").save(bench.folder("m0", 1), "lines")
    with installed(tmp_path / "site"):
        said = written(bench, gather, tmp_path / "out")["report.md"]
    assert said.count("lines own-") == said.count("lines own-1 (online)") == 1
    assert "wandb moco/w-m0-0 (offline)" in said


@pytest.mark.usefixtures("drawn_anew")
def test_the_same_runs_give_the_same_bytes(runs: Path, gather: Collected, tmp_path: Path) -> None:
    bench = momentum(runs)
    first = written(bench, gather, tmp_path / "one")
    assert set(first) == {*FILES, "figures.json", "knn.svg", "loss.svg"}
    assert written(bench, gather, tmp_path / "two") == first
    assert written(bench, gather, tmp_path / "two") == first


def test_figures_are_whole_drawings_of_their_own(
    runs: Path, gather: Collected, tmp_path: Path
) -> None:
    files = written(momentum(runs), gather, tmp_path / "out")
    for name in ("knn.svg", "loss.svg"):
        root = ET.fromstring(files[name])
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        words = " ".join(root.itertext())
        assert "0.999" in words
        assert words.count("untrained network") == (name == "knn.svg")
        assert "epoch" in words
        assert "#010203" not in files[name]


def test_before_the_first_run_there_is_a_report_too(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    files = written(make(), gather, tmp_path / "out")
    assert set(files) == FILES
    assert "No run has a result yet." in files["report.md"]
    assert "3 incomplete, 1 not testable at this scale" in files["report.md"]
    read_page(files["report.html"])


def test_the_numbers_for_programs(runs: Path, gather: Collected, tmp_path: Path) -> None:
    found = json.loads(written(momentum(runs), gather, tmp_path / "out")["results.json"])
    cells = {cell["id"]: cell for cell in found["cells"]}
    assert cells["m0"]["metrics"]["knn/top1"]["summary"] is None
    assert cells["m0"]["runs"][0]["outcomes"]["knn/top1"] == "diverged"
    assert cells["m0.99"]["metrics"]["knn/top1"]["summary"]["mean"] == pytest.approx(44.5)
    assert cells["m0.99"]["runs"][0]["stages"]["pretrain"]["commit"]["dirty"] is False
    assert [claim["verdict"] for claim in found["claims"]] == [
        "reproduced",
        "reproduced",
        "reproduced",
        "not testable at this scale",
    ]
    assert found["basis"] == {"edition": EDITION, "data": ["f1a9"]}


def test_seeds_that_were_added_are_counted(make: Make, gather: Collected, tmp_path: Path) -> None:
    bench = make(scale_changes={"max_seeds": 3})
    one = "With one seed"
    bench.finish("m0.9", 0, 40.0)
    assert one in written(bench, gather, tmp_path / "one")["report.md"]
    for seed in (1, 2):
        bench.finish("m0.9", seed, 40.0)
    files = written(bench, gather, tmp_path / "three")
    assert one not in files["report.md"]
    assert ", 3 seeds" in files["report.md"]
    assert json.loads(files["results.json"])["seeds"] == [0, 1, 2]


HOSTILE = (
    '<script>alert("x")</script> | a*b* _c_ `d` [e](http://evil.example) $\\frac$ &amp; \ud800'
)


def test_strings_from_runs_put_no_markup_into_a_report(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    cells = [
        {"id": "m0", "label": HOSTILE.replace("\ud800", ""), "set": {}, "printed": 1.0},
        {"id": "m0.9", "label": "_hidden $", "set": {}, "printed": None},
    ]
    claims = [{"kind": "fails", "id": "zero", "cell": "m0", "says": HOSTILE.replace("\ud800", "")}]
    bench = make(
        ablation_changes={"cells": cells, "claims": claims},
        scale_changes={"about": {"title": "<b>|</b>", "notes": ["<i>|"]}},
    )
    machine = {"host": HOSTILE, "device": "a\nb"}
    bench.finish("m0", 0, 40.0, provenance={"machine": machine, "slurm": {"SLURM_JOB_ID": HOSTILE}})
    bench.finish("m0.9", 0, 40.0)
    broken = {"how": "failed", "message": HOSTILE}
    folder = bench.stage(CONTROL, 0, "pretrain", None, state=None)
    (folder.path / "attempts/0001/ended.json").write_text(json.dumps(broken))
    files = written(bench, gather, tmp_path / "out")
    page = Page(files["report.html"])
    assert page.tags["script"] == page.tags["b"] == page.tags["i"] == 0
    text = files["report.md"]
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\]\(http", text)
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(bars) == 1, block
    ET.fromstring(files["knn.svg"])
    assert "_hidden $" in files["knn.svg"]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("train_loss and _x_", r"train_loss and \_x\_"),
        ("# no heading", r"\# no heading"),
        ("C ##", r"C \##"),
        ("- no item", r"\- no item"),
        ("one\n\ntwo", "one two"),
        ("-0.5 and #3", "-0.5 and #3"),
    ],
)
def test_escaping_of_markdown(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_stale_cells_say_so_wherever_they_stand(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0)
    bench.finish("m0.99", 0, 50.0, edition=OLDER)
    files = written(bench, gather, tmp_path / "out")
    assert f"stale: 50.00, of edition {OLDER}" in files["report.md"]
    assert "> **Note.** Stale: m0.99 (seed 0)." in files["report.md"]
    assert ">0.9<" in files["knn.svg"]
    assert ">0.99<" not in files["knn.svg"]


def test_a_single_recipe_has_a_page(make: Make, tmp_path: Path) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0, 50.0)
    results = collect_single(bench.recipe("m0.9", 0), bench.runs, installed=Editions.same(EDITION))
    files = {path.name: path.read_text() for path in write_report(results, tmp_path / "out")}
    assert "claim" not in files["report.md"].lower()
    assert "50.00 (1 seed)" in files["report.md"]
    read_page(files["report.html"])


def test_seeds_measured_at_different_epochs_are_drawn_one_by_one(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    bench = make((0, 1))
    bench.finish("m0.9", 0, 40.0)
    records = [{"step": n, "epoch": n / 20, "train/loss": 6.0 - n / 99} for n in range(1, 99)]
    bench.pretrain("m0.9", 1, records=records)
    files = written(bench, gather, tmp_path / "out")
    ET.fromstring(files["loss.svg"])


def test_a_folder_that_cannot_be_made_is_explained(make: Make, gather: Collected) -> None:
    from harness.errors import StoreError

    with pytest.raises(StoreError):
        write_report(gather(make()), Path("/proc/nowhere/report"))


def test_reports_need_no_torch_and_figures_alone_need_matplotlib() -> None:
    program = (
        "import sys, harness.report.write, harness.check\n"
        "print([m for m in ('torch', 'numpy', 'matplotlib', 'wandb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("source", ["", "arXiv:1911.05722"])
def test_a_paper_is_named_where_one_is_concerned(make: Make, tmp_path: Path, source: str) -> None:
    bench = make()
    bench.finish("m0.9", 0, 40.0, 50.0)
    recipe = bench.recipe("m0.9", 0)
    own = recipe.model_copy(update={"about": About(source=source)})
    results = collect_single(own, bench.runs, installed=Editions.same(EDITION))
    pages = {path.suffix: path.read_text() for path in write_report(results, tmp_path / "out")}
    for form in (".md", ".html", ".tex"):
        text = pages[form].lower().replace("&#x27;", "'")
        assert ("not the paper's scale" in text) == bool(source), form
        assert ("the paper's protocol" in text) <= bool(source), form


@pytest.mark.parametrize("name", ["table.csv", "loss.svg", "results.json"])
def test_files_of_the_user_are_not_replaced(
    runs: Path, gather: Collected, tmp_path: Path, name: str
) -> None:
    results, out = gather(momentum(runs)), tmp_path / "paper"
    out.mkdir()
    (out / name).write_text("{}")
    with pytest.raises(RecipeError, match=name):
        write_report(results, out, named=True)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(name, "{}")]
    (out / name).rename(out / "notes.txt")
    for _ in range(2):
        assert write_report(results, out, named=True)[0].name == "report.md"


def test_a_report_that_could_not_be_finished_is_written_again(
    runs: Path, gather: Collected, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(StoreError):
        write_report(gather(momentum(runs)), tmp_path)
    (tmp_path / "table.csv").rmdir()
    assert (tmp_path / "report.md").exists()
    write_report(gather(momentum(runs)), tmp_path, named=True)
