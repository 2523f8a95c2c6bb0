"""The table that fills: in place on a terminal, line by line elsewhere."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

from report.build import EDITION, Bench
from rich.console import Console

from harness.cli.watch import watch
from harness.report.collect import Results, collect
from harness.store.edition import Editions
from harness.store.liveness import identity

CELLS = {"cells": ["m0.9", "m0.99"], "control": False}


class Steps:
    """What happens between one look and the next; without more to happen, the user stops."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps = list(steps)

    def __call__(self, _: float) -> None:
        if not self.steps:
            raise KeyboardInterrupt
        self.steps.pop(0)()


def looking(bench: Bench) -> Callable[[], Results]:
    return lambda: collect(
        bench.expansion, bench.scale, bench.runs, installed=Editions.same(EDITION), curves=False
    )


def begin(bench: Bench, cell: str) -> None:
    records = [{"step": 62, "epoch": 2.0, "train/loss": 4.321, "pretext/top1": 50.0}]
    folder = bench.stage(cell, 0, "pretrain", None, state=None, records=records)
    (folder.path / "attempts/0001/alive.json").write_text(json.dumps(identity()))


def test_elsewhere_each_change_is_a_line(tmp_path: Path) -> None:
    bench = Bench(tmp_path, (0,), CELLS, recipe_changes={"linear": None})
    console = Console(file=io.StringIO(), width=200)
    steps = Steps(
        lambda: begin(bench, "m0.9"),
        lambda: None,
        lambda: bench.finish("m0.9", 0, 40.0),
        lambda: bench.diverge("m0.99", 0),
    )
    assert watch(looking(bench), console, sleep=steps)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "m0.9 (seed 0): knn/top1 not run",
        "m0.99 (seed 0): knn/top1 not run",
        "m0.9 (seed 0): knn/top1 running",
        "m0.9 (seed 0): knn/top1 40.00",
        "m0.99 (seed 0): knn/top1 diverged",
    ]


def test_on_a_terminal_the_table_is_drawn_in_place(tmp_path: Path) -> None:
    bench = Bench(tmp_path, (0,), CELLS)
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    steps = Steps(
        lambda: begin(bench, "m0.9"),
        lambda: bench.finish("m0.9", 0, 40.0, 50.0),
        lambda: bench.finish("m0.99", 0, 41.0, 51.0),
    )
    assert watch(looking(bench), console, sleep=steps)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "m0.9 (seed 0): pretrain, epoch 2.0, train/loss 4.32" in said
    assert "1 of 2 runs " in said
    last = said[said.rindex("momentum m") :]
    assert "41.00 (1 seed)" in last
    assert "51.00 (1 seed)" in last
    assert "2 of 2 runs " in last


def test_a_run_is_over_with_its_further_tasks(tmp_path: Path) -> None:
    more = {"linear": None, "tasks": {"more": {"kind": "knn", "k": [20], "temperature": 0.2}}}
    bench = Bench(tmp_path, (0,), {**CELLS, "cells": ["m0.9"]}, recipe_changes=more)
    bench.pretrain("m0.9", 0, final=40.0)
    bench.stage("m0.9", 0, "knn", {"knn/top1": 40.0})
    console = Console(file=io.StringIO(), width=200)
    steps = Steps(lambda: bench.stage("m0.9", 0, "more", {"knn/top1": 41.0}))
    assert not watch(looking(bench), console, sleep=Steps())
    assert watch(looking(bench), console, sleep=steps)


def test_a_run_is_over_with_its_last_value(tmp_path: Path) -> None:
    bench = Bench(tmp_path, (0,), {**CELLS, "cells": ["m0.9"]})
    bench.finish("m0.9", 0, 40.0)  # the linear probe is still to come
    console = Console(file=io.StringIO(), width=200)
    assert not watch(looking(bench), console, sleep=Steps())
    assert "linear/top1 not run" in console.file.getvalue()  # type: ignore[attr-defined]
