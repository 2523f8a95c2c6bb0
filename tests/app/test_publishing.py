"""Publishing again leaves nothing of what was published before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import harness
from harness.app import publishing
from harness.app.publishing import publish
from harness.report.manifest import MANIFEST, compare, manifest
from harness.report.preregistration import KEY
from harness.report.published import MARK

PUBLISHED = Path(harness.__file__).parent.parent / "reports" / "cifar10_demo_cpu"


def test_pictures_that_a_report_has_no_more_are_removed(tmp_path: Path) -> None:
    """As those of private images are, when they are published without --with-images."""
    report = Path(shutil.copytree(PUBLISHED, tmp_path / "reports" / PUBLISHED.name))
    shown = [report / "pictures-1-5-image.png", report / "pictures" / "neighbours-1-1.png"]
    for path in shown:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"a picture")
    (report / MANIFEST).write_text(manifest(report))
    own = report / "photo-of-the-poster.png"
    own.write_bytes(b"somebody put it there")
    publish(None, report.parent)
    assert not any(path.exists() for path in shown)
    assert own.exists()
    assert not compare(report).differs
    assert (report / "loss.svg").exists()


def test_shown_images_are_removed_though_no_digests_name_them(tmp_path: Path) -> None:
    """A publishing that was stopped wrote its pictures before their digests."""
    report = Path(shutil.copytree(PUBLISHED, tmp_path / "reports" / PUBLISHED.name))
    shown = report / "pictures" / "neighbours-1-1.png"
    shown.parent.mkdir(exist_ok=True)
    shown.write_bytes(b"a picture")
    (report / MANIFEST).unlink()
    publish(None, report.parent)
    assert not shown.exists()
    assert not compare(report).differs


@pytest.mark.parametrize("changed", [False, True])
def test_a_recorded_plan_stands_where_no_history_can_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    report = Path(shutil.copytree(PUBLISHED, tmp_path / "reports" / PUBLISHED.name))
    mark = json.loads((report / "runs" / MARK).read_text())
    noted = mark.pop(KEY)
    (report / "runs" / MARK).write_text(json.dumps(mark))  # as records that were written anew
    unknown = {"digest": noted["digest"], "commit": None, "why": "no git", "unknown": True}
    monkeypatch.setattr(publishing, "committed", lambda *_: unknown)
    publishing._preregister(report, noted | {"digest": "0" * 12} if changed else noted)
    found = json.loads((report / "runs" / MARK).read_text())[KEY]
    assert found == (unknown if changed else noted)
