from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from track.lines import installed

from harness.doctor import machine, probe
from harness.site import Site

FOUND: dict[str, Any] = {
    "host": "n1",
    "python": "3.11.7",
    "torch": "2.13",
    "gpus": 0,
    "names": [],
    "nccl": False,
    "error": "",
    "cores": 8,
    "cpu": "x86_64",
    "reached": {},
}
GPUS = {"gpus": 8, "names": ["H100"] * 8, "nccl": True}


@pytest.mark.parametrize(
    ("seen", "gpus", "device", "about", "level", "words"),
    [
        ({}, 0, "auto", "devices", "ok", "8 cores"),
        ({}, 0, "cuda", "devices", "problem", "0 GPUs on n1, not 1"),
        ({}, 8, "auto", "devices", "problem", "not 8"),
        ({}, 8, "cpu", "devices", "ok", "the CPU"),
        (GPUS, 8, "auto", "devices", "ok", "8 GPUs: H100"),
        (GPUS, 8, "cuda:7", "devices", "ok", "8 GPUs: H100"),
        (GPUS, 0, "cuda:8", "devices", "problem", "not 9"),
        (GPUS, 8, "auto", "NCCL", "ok", "available"),
        ({**GPUS, "nccl": False}, 8, "auto", "NCCL", "problem", "cannot share a run"),
        ({**GPUS, "gpus": 4}, 8, "auto", "devices", "problem", "sees 4 GPUs"),
        ({"error": "ImportError: no torch"}, 0, "auto", "torch", "problem", "no torch"),
    ],
)
def test_what_the_probe_means(
    seen: dict[str, Any], gpus: int, device: str, about: str, level: str, words: str
) -> None:
    judged = machine.judge({**FOUND, **seen}, gpus=gpus, device=device)
    found = {each.about: each for each in judged}[about]
    assert (found.level, words in found.says) == (level, True), found


def test_the_places(tmp_path: Path) -> None:
    (tmp_path / "data" / "imagenet").mkdir(parents=True)
    site = Site(tmp_path / "data", tmp_path / "runs", "cpu", 1, 1.0)
    found = {each.about: each for each in machine.findings(site)}
    assert "writable" in found["run root"].says
    assert found["data root"].says.endswith("data: imagenet")
    assert found["wandb"].says.startswith("disabled")
    assert list((tmp_path / "runs").iterdir()) == []


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    site = Site(tmp_path / "none", tmp_path / "file" / "runs", "cpu", 1, 1.0)
    found = {each.about: each for each in machine.findings(site)}
    assert found["run root"].level == "problem"
    assert found["data root"].level == "warning"


def test_every_declared_tracker_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path / "data", tmp_path / "runs", "cpu", 1, 1.0)
    monkeypatch.setenv("LINES_SERVER", "http://127.0.0.1:9")
    with installed(tmp_path / "site"):
        found = {each.about: each for each in machine.findings(site)}
        assert (found["wandb"].level, found["lines"].level) == ("ok", "ok")
        assert found["lines"].says == "online, to http://127.0.0.1:9"
        probe.answer(tmp_path, [tmp_path])
        answer = json.loads((tmp_path / "answer.json").read_text())
        assert answer["reached"] == {"lines": False}
        lost = machine.judge_network(answer)
        assert (lost.level, "http://127.0.0.1:9" in lost.says) == ("warning", True)
        reached = machine.judge_network({**answer, "reached": {"lines": True}})
        assert (reached.level, "Lines" in reached.says) == ("ok", True)
        monkeypatch.setenv("LINES_MODE", "maybe")
        wrong = {each.about: each for each in machine.findings(site)}["lines"]
        assert (wrong.level, "LINES_MODE" in wrong.says) == ("problem", True)
        assert machine.judge_network(answer).says == "not needed"
    with installed(tmp_path / "other") as place:
        (place / "lines_tracker.py").write_text("import no_such_library")
        broken = {each.about: each for each in machine.findings(site)}["trackers"]
        assert (broken.level, "no_such_library" in broken.says) == ("problem", True)


def test_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.judge_network(FOUND).level == "ok"
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    found = machine.judge_network(FOUND)
    assert (found.level, "sync" in found.says) == ("warning", True)
    assert machine.judge_network({**FOUND, "reached": {"wandb": True}}).says == "n1 reaches W&B"
