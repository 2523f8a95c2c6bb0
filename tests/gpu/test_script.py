"""The prepared GPU command, on a CPU: its limit, its second call, and what comes back."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from harness.errors import NotYet

from . import __main__ as script
from .__main__ import STOPPED, Step, main

WAITS = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n"
"""Ends by itself at the second call, like a run that goes on from its checkpoint."""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(script, "LEAST_S", 0)
    return folder


def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], seconds: float) -> int:
    monkeypatch.setattr(script, "steps", lambda _said: tuple(steps))
    minutes = (seconds + script.GRACE_S) / 60
    runs = ("--runs", str(tmp_path / "runs"))
    return main([str(tmp_path / "out"), *runs, "--minutes", str(minutes)])


def test_what_was_stopped_goes_on_and_what_passed_is_left_out(
    tmp_path: Path, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "called"
    (modules / "quick_one.py").write_text(f"open({str(log)!r}, 'a').write('q')\n")
    (modules / "long_one.py").write_text(
        f"{WAITS}again = 'l' in open({str(log)!r}).read()\n"
        f"open({str(log)!r}, 'a').write('l')\nif not again: time.sleep(600)\n"
    )
    steps = [Step("tests", ("quick_one",)), Step("demo", ("long_one",))]
    assert call(tmp_path, monkeypatch, steps, 3) == NotYet.exit_code
    assert f"| demo | {STOPPED} |" in (tmp_path / "out" / "summary.md").read_text()
    assert call(tmp_path, monkeypatch, steps, 60) == 0
    assert log.read_text() == "qll"


def test_a_step_that_fails_does_not_stop_the_next(
    tmp_path: Path, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (modules / "bad_one.py").write_text("raise SystemExit(3)\n")
    (modules / "good_one.py").write_text("")
    steps = [Step("tests", ("bad_one",)), Step("bench", ("good_one",))]
    assert call(tmp_path, monkeypatch, steps, 60) == 1
    found = (tmp_path / "out" / "summary.md").read_text()
    assert "| tests | 3 |" in found
    assert "| bench | 0 |" in found


def test_records_come_back_without_checkpoints(
    tmp_path: Path, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (modules / "good_one.py").write_text("print('said')\n")
    stage = tmp_path / "runs" / "stage"
    stage.mkdir(parents=True)
    (stage / "00001.pt").write_bytes(b"weights")
    (stage / "metrics.jsonl").write_text("{}\n")
    assert call(tmp_path, monkeypatch, [Step("tests", ("good_one",))], 60) == 0
    with tarfile.open(tmp_path / "out" / "records.tar.gz") as archive:
        names = set(archive.getnames())
    assert {"runs/stage/metrics.jsonl", "runs/tests.log"} <= names
    assert not any(name.endswith(".pt") for name in names)


def test_the_demo_is_the_recipes_own_unless_another_precision_is_said(tmp_path: Path) -> None:
    plain, bf16 = (
        script.steps(script.arguments([str(tmp_path), "--precision", each]))[1].words
        for each in ("fp32", "bf16")
    )
    assert "--set" not in plain
    assert "precision=bf16" in bf16
