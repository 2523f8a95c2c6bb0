"""The journal of a run of a million steps, in twenty attempts, is read in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli.cells import CellReader
from harness.launch.status import StatusReader
from harness.recipe.schema import Recipe
from harness.report.collect import collect_single
from harness.report.publish import publish
from harness.report.write import write_report
from harness.store import atomic, journal
from harness.store.edition import Editions
from harness.store.layout import StageFolder
from harness.track.tail import Progress, Tail
from report.build import EDITION, Bench

STEPS, BLOCK, ATTEMPTS, BACK = 1_000_000, 50, 20, 500
"""Each attempt goes on `BACK` steps before the last one ended."""


def fill(folder: StageFolder, recipe: Recipe) -> None:
    """Write it as the trainer does: blocks of steps, a monitor now and then."""
    assert recipe.knn is not None
    protocol = recipe.knn.model_dump(mode="json")
    step, per = 0, STEPS // ATTEMPTS
    for number in range(1, ATTEMPTS + 1):
        path = folder.path / "attempts" / f"{number:04d}"
        path.mkdir(exist_ok=True)
        writer = journal.Writer(path / "metrics.jsonl")
        step = max(0, step - BACK)
        while step < number * per:
            records: list[dict[str, Any]] = [
                {
                    "step": n, "epoch": round(n / 5000, 4), "t": 1.7e9 + n, "train/lr": 0.03,
                    "train/loss": 9 - 6 * n / STEPS, "pretext/top1": 50 * n / STEPS,
                }
                for n in range(step + 1, step + BLOCK + 1)
            ]  # fmt: skip
            step += BLOCK
            records[-1]["train/images_per_s"] = 1500.0
            if step % 5000 == 0:
                records.append({"step": step, "epoch": step / 5000, "knn/top1": 40.0,
                                "protocol": protocol})  # fmt: skip
            writer.append(records)
        writer.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(
        tmp_path_factory.mktemp("long"),
        recipe_changes={"optim__epochs": 200, "linear": None},
    )
    losses = [9 - 6 * n / STEPS for n in range(STEPS - 5000 + 1, STEPS + 1)]
    values = {"train/loss": sum(losses) / len(losses)}
    folder = made.stage("m0.9", 0, "pretrain", values, attempt=ATTEMPTS)
    made.stage("m0.9", 0, "knn", {"knn/top1": 40.0})
    fill(folder, made.recipe("m0.9", 0))
    marks = {path.name: journal.mark_of(path) for path in folder.attempts()}
    result = atomic.read_json(folder.path / "result.json")
    atomic.write_json(folder.path / "result.json", result | {"step": STEPS, "journal": marks})
    return made


@pytest.mark.slow
def test_it_is_read_in_seconds(bench: Bench, tmp_path: Path) -> None:
    folder, recipe = bench.folder("m0.9", 0), bench.recipe("m0.9", 0)
    took: dict[str, float] = {}

    def timed(what: str, action: Callable[[], Any]) -> Any:
        began = time.process_time()
        found = action()
        took[what] = round(time.process_time() - began, 2)
        return found

    def report() -> Any:
        results = collect_single(recipe, bench.runs, installed=Editions.same(EDITION))
        write_report(results, tmp_path / "report")
        return results

    results = timed("report", report)
    (run,) = results.runs
    assert len(run.curves.loss) == 200
    assert len(run.curves.knn) == STEPS // 5000
    assert not run.warnings
    timed(
        "status", lambda: [CellReader().cells(row) for row in StatusReader(bench.runs).read().rows]
    )
    timed("publish", lambda: publish(results, tmp_path / "published", recipe="x"))
    records = timed("the whole journal", lambda: journal.read(folder))
    assert [r["step"] for r in records if "train/loss" in r] == list(range(1, STEPS + 1))
    del records
    tail = Tail(folder, Progress())
    timed("the mirror's first look", lambda: tail.settled(STEPS))
    timed("the mirror's next look", lambda: tail.settled(None))
    print("CPU seconds:", took)
