from __future__ import annotations

import os
from pathlib import Path

import pytest
from certify.test_checks import Stage, obedient
from track.lines import installed

from harness.certify import checks, run
from harness.errors import HarnessError
from harness.site import Site
from harness.spec.registry import trackers
from harness.store import certificate
from harness.store.certificate import Check
from harness.store.edition import edition


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "data", tmp_path / "runs", "cpu", 1, 1.0)


def certify(site: Site, monkeypatch: pytest.MonkeyPatch, error: str = "") -> list[Check]:
    """What is told where the two long checks pass, or the last one breaks."""

    def tried(*_: object) -> Check:
        for tracker in trackers().values():
            name, value = tracker.off
            assert os.environ[name] == value
        assert os.environ["WANDB_MODE"] == "disabled"
        if error:
            raise HarnessError(error)
        return Check("kill and requeue", "passed", "")

    monkeypatch.setattr(checks, "float32", lambda *_: Check("stages", "passed", ""))
    monkeypatch.setattr(checks, "requeue", tried)
    monkeypatch.setenv("WANDB_MODE", "offline")
    told: list[Check] = []
    made, path = run.certify(Stage(obedient()), site, told.append)
    assert os.environ["WANDB_MODE"] == "offline"
    assert certificate.of(site.runs, edition("pretrain", "moco")) == [made]
    assert path.exists()
    assert list(made.checks) == told
    return told


def test_all_is_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    told = certify(site, monkeypatch)
    outcomes = [check.outcome for check in told]
    assert outcomes == ["passed", "passed", "passed", "skipped", "skipped"]
    assert not run.work_folder(site.runs).exists()


def test_nothing_goes_to_any_tracker(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with installed(tmp_path / "site"):
        assert "lines" in trackers()
        certify(site, monkeypatch)
    assert "LINES_MODE" not in os.environ


def test_a_check_that_breaks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    told = certify(site, monkeypatch, "job 12: node fail")
    assert (told[2].outcome, told[2].says) == ("failed", "job 12: node fail")
    (made,) = certificate.of(site.runs, edition("pretrain", "moco"))
    assert not made.passed
    assert len(list(run.work_folder(site.runs).iterdir())) == 1
