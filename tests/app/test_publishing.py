"""Publishing again leaves nothing of what was published before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import harness
from harness.app import publishing
from harness.app.publishing import publish
from harness.errors import RecipeError, StoreError
from harness.report.index import TITLE
from harness.report.manifest import MANIFEST, compare, manifest
from harness.report.preregistration import KEY
from harness.report.published import MARK
from harness.site import load_site

PUBLISHED = Path(harness.__file__).parent.parent / "reports" / "cifar10_demo_cpu"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PUBLISHED, tmp_path / "reports" / PUBLISHED.name))


def test_pictures_that_a_report_has_no_more_are_removed(report: Path) -> None:
    """As those of private images are, when they are published without --with-images."""
    shown = [report / "pictures-1-5-image.png", report / "pictures" / "neighbours-1-1.png"]
    for path in shown:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"a picture")
    (report / MANIFEST).write_text(manifest(report))
    publish(None, report.parent)
    assert not any(path.exists() for path in shown)
    assert not compare(report).differs
    assert (report / "loss.svg").exists()


def test_numbers_of_drawings_that_a_report_has_no_more_are_removed(report: Path) -> None:
    (report / "notes.json").write_text("{}")
    publishing._remove_drawings(report, ["figures.json", "loss.svg", "notes.json"])
    there = [(report / name).exists() for name in ("figures.json", "loss.svg", "notes.json")]
    assert there == [False, False, True]


@pytest.mark.parametrize("name", ["photo-of-the-poster.png", "pictures/own.png"])
def test_a_picture_that_somebody_put_there_is_neither_taken_over_nor_removed(
    report: Path, name: str
) -> None:
    own = report / name
    own.parent.mkdir(exist_ok=True)
    own.write_bytes(b"somebody put it there")
    before = {path: path.stat().st_mtime_ns for path in report.rglob("*")}
    with pytest.raises(StoreError, match=f"{name}.*; move"):
        publish(None, report.parent)
    assert {path: path.stat().st_mtime_ns for path in report.rglob("*")} == before


@pytest.mark.parametrize("name", ["report.tex", "SHA256SUMS", "quickstart.yaml"])
def test_texts_of_the_users_are_not_replaced_where_no_report_was_published(
    tmp_path: Path, name: str
) -> None:
    own = tmp_path / "reports" / "quickstart" / name
    own.parent.mkdir(parents=True)
    own.write_text("my paper")
    with pytest.raises(RecipeError, match=name):
        publish("quickstart", tmp_path / "reports", site=load_site(runs=tmp_path / "runs"))
    assert [*own.parent.iterdir()] == [own]
    assert own.read_text() == "my paper"


def test_a_linked_folder_of_pictures_is_refused(report: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "holiday.png").write_bytes(b"a picture")
    (report / "pictures").symlink_to(mine)
    with pytest.raises(StoreError, match="pictures"):
        publish(None, report.parent)
    assert (mine / "holiday.png").exists()


@pytest.mark.parametrize("changed", [False, True])
def test_a_recorded_plan_stands_where_no_history_can_be_looked_at(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    mark = report / "runs" / MARK
    runs = Path(shutil.copytree(report / "runs", tmp_path / "runs"))
    (runs / MARK).unlink()
    said = json.loads(mark.read_text())
    if changed:
        said[KEY]["digest"] = "0" * 12
        mark.write_text(json.dumps(said))
    unknown = {"digest": "1" * 12, "commit": None, "why": "no git", "unknown": True}
    monkeypatch.setattr(publishing, "committed", lambda *_: unknown)
    publish(PUBLISHED.name, report.parent, site=load_site(runs=runs, data=tmp_path))
    assert json.loads(mark.read_text())[KEY] == (unknown if changed else said[KEY])


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"README.md": "# My project"}, "README.md"),
        ({"README.md": ""}, "README.md"),
        ({"claims.svg": "<svg/>"}, "claims.svg"),
        ({"README.md": f"{TITLE}\n", "claims.svg": "<svg/>"}, "claims.svg"),
    ],
)
def test_a_page_that_somebody_wrote_is_not_replaced(
    report: Path, files: dict[str, str], named: str
) -> None:
    for name, text in files.items():
        (report.parent / name).write_text(text)
    with pytest.raises(RecipeError, match=named):
        publish(None, report.parent)
    assert {name: (report.parent / name).read_text() for name in files} == files


def test_the_page_and_picture_of_before_are_renewed(report: Path) -> None:
    for name in ("README.md", "claims.svg"):
        shutil.copy(PUBLISHED.parent / name, report.parent)
    before = (report.parent / "README.md").read_text()
    publish(None, report.parent)
    assert (report.parent / "README.md").read_text() != before


def test_a_picture_that_shows_nothing_any_more_is_removed(report: Path) -> None:
    shutil.copytree(PUBLISHED.parent / "ablation_cost_cpu", report.parent / "ablation_cost_cpu")
    shutil.copytree(PUBLISHED.parents[1] / "recipes", report.parents[1] / "recipes")
    publish(None, report.parent)
    assert (report.parent / "claims.svg").exists()
    shutil.rmtree(report.parent / "ablation_cost_cpu")
    publish(None, report.parent)
    assert not (report.parent / "claims.svg").exists()
    publish(None, report.parent)


def test_without_a_recipe_there_must_be_a_report(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="name a recipe"):
        publish(None, tmp_path)
    assert not list(tmp_path.iterdir())
