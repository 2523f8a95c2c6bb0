from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from harness.track.protocol import Mode, TrackedTable
from harness.track.report_run import ReportMirror, names
from harness.track.sync import sync

from .conftest import FakeWandb, Run, Stage, feed, record
from .test_lineage import evaluated, pretrained


def reported(runs: Path, mean: float = 40.0, to_untrained: float = 2.0) -> Path:
    """A report of one stage, as `report` writes it."""
    below = evaluated(runs, pretrained(runs))
    folder = runs / "reports" / "momentum"
    folder.mkdir(parents=True, exist_ok=True)
    cell = {
        "id": "m0.9",
        "metrics": {
            "knn/top1": {"summary": {"mean": mean}, "to_untrained": {"mean": to_untrained}}
        },
    }
    results = {"name": "momentum", "title": "Momentum", "cells": [cell]}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "table.csv").write_text(f"cell,mean,printed\nm0.9,{mean},55.2\nm0,30.5,fail\n")
    line = f"m0.9,0,knn/top1,{below.folder.id}\n"
    (folder / "runs.csv").write_text(f"cell,seed,metric,stage\n{line}{line}m0,0,knn/top1,\n")
    (folder / "report.html").write_text("<p>page</p>")
    return folder


def mirrored(runs: Path, wandb: FakeWandb, mode: Mode = "offline") -> ReportMirror:
    made = ReportMirror(runs, "momentum", feed(wandb, mode))
    made.advance()
    return made


def only(held: dict[str, Run]) -> Run:
    (run,) = held.values()
    return run


def test_it_is_a_run_of_its_own_with_its_table_and_page(runs: Path, wandb: FakeWandb) -> None:
    folder = reported(runs)
    assert names(runs) == ["momentum"]
    assert mirrored(runs, wandb).standing == "complete"
    run = only(wandb.offline)
    assert (run.metadata.job_type, run.metadata.group) == ("report", "momentum")
    assert run.tables["table"] == TrackedTable(
        ("cell", "mean", "printed"), (("m0.9", 40.0, "55.2"), ("m0", 30.5, "fail"))
    )
    assert len(run.tables["runs"].rows) == 3
    assert run.tables["runs"].rows[2][3] is None
    assert run.used == ["result-tiny-s0.knn-0123456789"]
    (page,) = (each for each, made in run.artifacts if made)
    assert page.kind == "report"
    assert page.files["report.html"] == folder / "report.html"
    assert not any(name.startswith("wandb") for name in page.files)
    assert run.summary == {"m0.9/knn/top1": 40.0}
    assert run.closed == [True]
    assert run.alerts == []


def test_the_same_report_is_mirrored_once_and_a_new_one_into_the_same_run(
    runs: Path, wandb: FakeWandb
) -> None:
    reported(runs)
    mirrored(runs, wandb)
    assert mirrored(runs, wandb).standing == "already"
    reported(runs, mean=42.0)
    assert mirrored(runs, wandb).standing == "complete"
    run = only(wandb.offline)
    assert run.summary == {"m0.9/knn/top1": 42.0}
    assert len(run.closed) == 2


@pytest.mark.parametrize(("to_untrained", "alerts"), [(0.1, 0), (0.0, 1), (-3.0, 1)])
def test_a_cell_that_is_not_above_the_untrained_network_is_an_alert_once(
    runs: Path, wandb: FakeWandb, to_untrained: float, alerts: int
) -> None:
    for mean in (40.0, 41.0):
        reported(runs, mean, to_untrained)
        mirrored(runs, wandb)
    assert len(only(wandb.offline).alerts) == alerts


def test_a_large_file_is_named_and_not_uploaded(
    runs: Path, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = reported(runs)
    (folder / "knn.svg").write_text("x" * 5000)
    monkeypatch.setattr("harness.track.report_run.LARGEST", 4000)
    mirrored(runs, wandb)
    (page,) = (each for each, made in only(wandb.offline).artifacts if made)
    assert "knn.svg" not in page.files
    assert page.references["knn.svg"].startswith("moco-harness://reports/momentum/knn.svg/")


def test_sync_uploads_stages_and_reports_with_a_line_each_group(
    runs: Path, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported(runs)
    for n, group in enumerate(("a", "a", "b")):
        each = Stage(runs, f"t{n}-s0.pretrain-0123456789", group=group)
        each.attempt(1, record(1))
        each.finish()
    said: list[str] = []
    outcomes = sync(runs, None, said.append, feeds=[feed(wandb)])
    assert {each.state for each in outcomes} == {"waiting"}
    assert len(said) == 4
    said.clear()
    monkeypatch.setenv("WANDB_API_KEY", "local-" + "5ec4e7" * 7)
    wandb.refuse_artifacts = "no such artifact"
    outcomes = sync(runs, None, said.append, feeds=[feed(wandb)])
    assert {each.state for each in outcomes} == {"failed"}
    assert all("no such artifact" in line for line in said)
    assert {len(run.rows) for run in wandb.online.values()} == {0, 1}, "rows are not left out"

    said.clear()
    wandb.refuse_artifacts = ""
    outcomes = sync(runs, None, said.append, feeds=[feed(wandb)])
    assert {each.state for each in outcomes} == {"uploaded"}
    groups = [line.partition(":")[0] for line in said]
    assert sorted(groups) == ["a", "b", "momentum", "reports/momentum"]
    (line,) = (line for line in said if line.startswith("a: "))
    assert line.startswith("a: wandb: 2 uploaded, 0 rows")
    assert all(len(run.rows) <= 1 for run in wandb.online.values())
    said.clear()
    assert {each.state for each in sync(runs, None, said.append, feeds=[feed(wandb)])} == {
        "already"
    }
    assert said == []


def test_damaged_records_and_links_are_one_line(runs: Path, wandb: FakeWandb) -> None:
    folder = reported(runs)
    (folder / "wandb.json").write_text('{"schema": 1, "id": 3}')
    damaged = mirrored(runs, wandb)
    assert (damaged.standing, "wandb.json" in damaged.trouble) == ("failed", True)
    folder.rename(runs / "elsewhere")
    folder.symlink_to(runs / "elsewhere")
    assert "link" in mirrored(runs, wandb).trouble
    assert wandb.opened == []


def test_no_host_is_named_in_what_is_uploaded(runs: Path, wandb: FakeWandb) -> None:
    """Also docs/tracking.md says so."""
    folder = reported(runs)
    attempt = runs / "tiny-s0.knn-0123456789" / "attempts" / "0001"
    attempt.mkdir(parents=True, exist_ok=True)
    (attempt / "attempt.json").write_text(json.dumps({"machine": {"host": "node-7"}}))
    (folder / "report.html").write_text("<li>node-7, cpu, Linux</li><li>my-node-7, b</li>")
    (folder / "report.md").write_text("nothing of it")
    mirrored(runs, wandb)
    found = only(wandb.offline).uploaded
    assert found["report.html"] == b"<li>cpu, Linux</li><li>my-node-7, b</li>"
    assert found["report.md"] == b"nothing of it"
    assert b"node-7" in (folder / "report.html").read_bytes(), "the report itself stays"


def test_no_place_of_a_stage_that_has_no_result_is_uploaded(runs: Path, wandb: FakeWandb) -> None:
    folder = reported(runs)
    attempt = runs / "tiny-s0.knn-0123456789" / "attempts" / "0001"
    attempt.mkdir(parents=True, exist_ok=True)
    (attempt / "attempt.json").write_text(json.dumps({"machine": {"host": "node-7"}}))
    details = {
        "process 41 on node-8 is stopped": "another process is stopped",
        "/home/ann/my_data/cifar10: no data": "…/cifar10: no data",
        "/x/y_z: belongs to al, uid 1000, mode 0700": "…/y_z: belongs to another user, mode 0700",
    }
    rows = [{"stage": "tiny-s0.knn-0123456789", "detail": detail} for detail in details]
    with (folder / "runs.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["stage", "detail"])
        table.writeheader()
        table.writerows(rows)
    (folder / "report.md").write_text("\n".join(details).replace("_", r"\_"))
    (folder / "report.html").write_text("\n".join(details) + "\nnode-7x base64,/x/y_z/AAA")
    mirrored(runs, wandb)
    found = only(wandb.offline)
    assert found.uploaded["report.md"].decode().splitlines() == [*details.values()]
    *said, kept = found.uploaded["report.html"].decode().splitlines()
    assert said == [*details.values()]
    assert kept == "node-7x base64,/x/y_z/AAA"
    uploaded = found.tables["runs"]
    assert [row[uploaded.columns.index("detail")] for row in uploaded.rows] == [*details.values()]
