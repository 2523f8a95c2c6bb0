"""The installed wandb, offline and before a local server, read back with its own tools and counted
against the journals."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.spec.registry import trackers
from harness.store import journal, pictures
from harness.track import machine_use
from harness.track.feed import Feed, access
from harness.track.follow import Rank, follow
from harness.track.mirror import StageMirror
from harness.track.report_run import ReportMirror
from harness.track.sync import sync
from harness.track.wandb import run as client
from track.conftest import Stage, record
from track.test_lineage import DATA
from track.test_report_run import reported

from . import datastore
from .server import Server, serve

KEY = "local-" + "5ec4e7" * 7
MAIL = "someone@lab.edu"


def png() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (2, 2)).save(made, "PNG")
    return made.getvalue()


@pytest.fixture
def ablation(runs: Path) -> list[Stage]:
    """A pre-training that collapsed, an evaluation with pictures, and their report."""
    reported(runs, to_untrained=-1.0)
    above = Stage(runs, cell="m0.9", varies=["optim.lr"])
    above.attempt(1, record(2, **{"health/collapsed": 1.0}), record(3, loss=9.0))
    above.checkpoint(2)
    above.attempt(2, record(3), record(4))
    below = Stage(runs, "tiny-s0.knn-0123456789", kind="knn", parent=above.folder.id)
    panels = {name: pictures.Panel(png(), f"the {name}") for name in pictures.PANELS}
    kept = pictures.keep(below.folder.path, pictures.Pictures({7: panels}, ()))
    below.finish(values={"knn/top1": 40.0}, weights="a3d518a587b4", data=DATA, pictures=kept)
    return [above, below]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """wandb keeps what it has read of the environment until it is torn down."""
    yield
    if "wandb" in sys.modules and sys.modules["wandb"] is not None:
        client._end_service()


def wandb_feed() -> Feed:
    tracker = trackers()["wandb"]
    return Feed(tracker, access(tracker))


def mirror_all(runs: Path, stages: list[Stage]) -> list[str]:
    """The lines that mirroring the stages and their report said."""
    said: list[str] = []
    given = wandb_feed()
    for stage in stages:
        mirror = StageMirror(stage.folder, given, said.append)
        mirror.advance()
        mirror.close()
    report = ReportMirror(runs, "momentum", given, say=said.append)
    report.advance()
    return [*said, *filter(None, [report.trouble])]


def edges(server: Server) -> dict[str, tuple[Counter[str], Counter[str]]]:
    """Job type -> names of the artifacts that its runs (used, made)."""
    found = {}
    for run, variables in server.variables.items():
        all_of = Counter(each.partition(":")[0] for each in server.of.get(run, []))
        used = Counter(each.partition(":")[0] for each in server.used.get(run, []))
        found[variables["jobType"]] = used, all_of - used
    return found


WEIGHTS, RESULT = "weights-tiny-s0.pretrain-0123456789", "result-tiny-s0.knn-0123456789"


def check_lineage(server: Server) -> None:
    found = edges(server)
    assert found["pretrain"] == (Counter(["data-digits"]), Counter([WEIGHTS]))
    assert found["knn"] == (Counter(["data-digits", WEIGHTS]), Counter([RESULT]))
    used, made = found["report"]
    assert used == Counter([RESULT])
    assert made["report-momentum"] == 1
    assert len([each for each in server.committed if each.startswith("data-digits:")]) == 1
    assert len([each for each in server.committed if each.startswith(WEIGHTS)]) == 1
    assert not any(name.endswith(".pt") for name in server.files)
    assert {"report.html", "table.table.json"} <= set(server.files)


def test_offline_files_hold_every_step_once_and_the_lineage(
    runs: Path, ablation: list[Stage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_EMAIL", MAIL)
    assert mirror_all(runs, ablation) == []
    for stage in ablation:
        kept = journal.read(stage.folder)
        rows = datastore.rows(runs, f"*{stage.cursor['id']}")
        assert [row["global_step"] for row in rows] == [each["step"] for each in kept]
        for row, each in zip(rows, kept, strict=True):
            values = {k: v for k, v in each.items() if "/" in k}
            assert values.items() <= row.items()
    alerts = [each["title"] for each in datastore.of_type(runs, "alert")]
    assert sorted(alerts) == ["collapsed since epoch 1", "m0.9: knn/top1 not above untrained"]
    artifacts = datastore.of_type(runs, "artifact")
    uses = Counter(each["name"] for each in artifacts if each.get("use_after_commit"))
    assert uses == Counter({"data-digits": 2, WEIGHTS: 1, RESULT: 1})
    below = f"*{ablation[1].cursor['id']}"
    *_, shown = datastore.rows(runs, below)
    assert sum(value == "the true" for value in flat(shown)) == 1
    (about,) = datastore.of_type(runs, "run", f"*{ablation[0].cursor['id']}")
    assert about["notes"] == "moco-harness '…/private'"
    assert not about.get("host")
    assert not list(tmp_path.glob("home/.local/**/staging/*")), "all lies in the run root"

    with serve() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        words = [sys.executable, "-m", "wandb", "sync", "--yes", str(runs / "wandb")]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        check_lineage(server)
        counts = {name: len(rows) for name, rows in server.history.items()}
        assert [counts[stage.cursor["id"]] for stage in ablation] == [4, 1]
    assert not [path for path in runs.rglob("*") if holds(path, KEY, MAIL)]
    told = [path for path in runs.glob("wandb/**/*") if holds(path, str(DATA["path"]))]
    assert not told, "the result has it, the tracker does not get it"


def flat(value: Any) -> list[Any]:
    """All leaves of a JSON value."""
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in flat(each)]
    return [leaf for each in value for leaf in flat(each)] if isinstance(value, list) else [value]


def holds(path: Path, *texts: str) -> bool:
    return path.is_file() and any(each.encode() in path.read_bytes() for each in texts)


def test_sync_rebuilds_all_of_it_from_the_run_root(
    runs: Path, ablation: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the server answered nonsense at first, at which wandb's own process crashes."""
    with serve() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setattr(client, "PAUSE_S", 0.0)
        server.garbage = True
        said: list[str] = []
        outcomes = sync(runs, None, said.append)
        assert {each.state for each in outcomes} == {"failed"}
        assert len(said) == 2
        assert all("\n" not in line and len(line) < 1000 for line in said)
        server.garbage = False
        outcomes = sync(runs, None, said.append)
        assert {each.state for each in outcomes} == {"uploaded"}, said
        check_lineage(server)
        assert [len(server.history[stage.cursor["id"]]) for stage in ablation] == [4, 1]
        assert {title for _, title in server.alerts} >= {"m0.9: knn/top1 not above untrained"}
        assert {each.state for each in sync(runs, None, said.append)} == {"already"}


def kept_offline(runs: Path, name: str) -> list[Path]:
    return sorted((runs / "wandb").glob(f"offline-run-*{name}*"))


def synced(runs: Path) -> dict[str, str]:
    """The states in which `sync` leaves what it uploads."""
    return {each.stage_id: each.state for each in sync(runs, None, lambda _: None)}


def test_offline_copies_of_a_report_are_removed_once_replaced_or_uploaded(
    runs: Path, ablation: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mirror_all(runs, ablation) == []
    first = kept_offline(runs, "report-momentum")
    reported(runs, 42.0, -1.0)
    reported_twice = ReportMirror(runs, "momentum", wandb_feed())
    reported_twice.advance()
    assert reported_twice.standing == "complete"
    second = kept_offline(runs, "report-momentum")
    assert len(first) == len(second) == 1
    assert first != second
    name = second[0].name.removeprefix("offline-run-")
    alerts = [each["title"] for each in datastore.of_type(runs, "alert", name)]
    assert alerts == ["m0.9: knn/top1 not above untrained"], "it does not go with the first"
    copies = [path for path in (runs / "wandb").rglob("staging/*") if path.is_file()]
    assert len(copies) >= 3
    folders = {path.relative_to(runs / "wandb").parts[0] for path in copies}
    assert all(each.startswith("offline-run-") for each in folders)
    stages = kept_offline(runs, "tiny-s0")

    client._end_service()
    with serve() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setattr(client, "PAUSE_S", 0.0)
        server.refuse_runs = 500
        assert synced(runs)["reports/momentum"] == "failed"
        assert kept_offline(runs, "report-momentum") == second, "it is not uploaded"
        server.refuse_runs = 0
        client._end_service()  # another command has another one
        assert synced(runs)["reports/momentum"] == "uploaded"
    assert kept_offline(runs, "report-momentum") == []
    assert kept_offline(runs, "tiny-s0") == stages


def test_each_rank_shows_how_its_process_uses_the_machine(
    runs: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_use, "AFTER_S", 0.0)
    stage.attempt(1, record(1))
    stage.checkpoint(1)
    with subprocess.Popen(["sleep", "600"]) as one, subprocess.Popen(["sleep", "600"]) as two:
        alive = stage.folder.path / "attempts" / "0001" / "alive.json"
        alive.write_text(json.dumps({"pid": one.pid}))
        for number, process in enumerate((one, two)):
            looks = iter([True, True, True, False])
            follow(
                runs,
                [stage.folder.id],
                feed=wandb_feed(),
                say=lambda _: None,
                alive=lambda looks=looks: next(looks),  # type: ignore[misc]
                stop=threading.Event(),
                poll_s=0.2,
                rank=Rank(number, 2, process.pid),
            )
            process.kill()
    for number in range(2):
        name = f"*{stage.cursor['id']}-rank{number}"
        found = datastore.of_type(runs, "stats", name)
        assert any("proc.memory.rssMB" in each["item"] for each in found), number
        (about,) = datastore.of_type(runs, "run", name)
        assert (about["run_group"], about["job_type"]) == ("momentum", "system")
        assert datastore.rows(runs, name) == []
    assert len(datastore.rows(runs)) == 1
    stage.finish()
    client._end_service()
    with serve() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        said: list[str] = []
        sync(runs, None, said.append)
        assert len([run for run in server.exits if "-rank" in run]) == 2, said
        said.clear()
        sync(runs, None, said.append)
        assert said == []


@pytest.mark.parametrize(
    "fault", ["not installed", "full disk", "another user's", "a file", "a link"]
)
def test_what_is_wrong_with_the_folder_or_the_library_is_one_line(
    runs: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    stage.attempt(1, record(1))
    stage.finish()

    def fail(_: Path) -> None:
        raise (
            OSError(28, "No space left on device") if fault == "full disk" else PermissionError(13)
        )

    match fault:
        case "not installed":
            monkeypatch.setitem(sys.modules, "wandb", None)
        case "a file":
            (runs / "wandb").touch()
        case "a link":
            (runs / "wandb").symlink_to(runs / "elsewhere")
        case _:
            monkeypatch.setattr(client, "probe", fail)
    before = journal.read(stage.folder)
    said: list[str] = []
    mirror = StageMirror(stage.folder, wandb_feed(), said.append)
    mirror.advance()
    mirror.close()
    assert mirror.standing == "failed"
    (line,) = said
    assert "\n" not in line
    assert ("wandb" in line) or fault == "full disk"
    assert journal.read(stage.folder) == before
    assert not json.loads((stage.folder.path / "wandb.json").read_text())["offline"]["complete"]


@pytest.mark.parametrize("end", ["rank1", "rank1-offline", "rank1-2"])
def test_a_run_that_went_offline_when_it_was_opened_is_delivered_too(
    tmp_path: Path, end: str
) -> None:
    folder = tmp_path / f"offline-run-20260101_000000-mine-{end}"
    folder.mkdir()
    assert client._of(folder, {"mine"})
    assert not client._of(folder, {"other"})
