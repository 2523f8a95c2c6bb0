"""Publishing again leaves nothing of what was published before."""

from __future__ import annotations

import shutil
from pathlib import Path

import harness
from harness.app.publishing import publish
from harness.report.manifest import MANIFEST, compare, manifest

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
