"""`moco-harness bench`: measure a recipe's step against its floor and keep the result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from harness.bench import evaluation
from harness.bench.result import Result, evaluation_rows, part_rows, rows
from harness.bench.run import KNN, alone, bench
from harness.cli import show
from harness.recipe.load import load_recipe
from harness.site import Site
from harness.store import atomic


@dataclass(frozen=True)
class How:
    """How long to measure, and on what."""

    rounds: int
    steps: int
    noise: bool


def bench_command(path: Path, sets: Sequence[str], site: Site, how: How) -> None:
    """Measure, print, and write RUNS/bench/<recipe>-<time>.json.

    Raises:
        HarnessError: the recipe, the data, the device or the disk do not allow it.
    """
    recipe = load_recipe(path, sets)
    world = alone(site.device)
    show.line(
        f"measuring {recipe.name} on {world.device}, {how.rounds} rounds of {how.steps} steps"
    )
    result = bench(recipe, site.data, world, rounds=how.rounds, steps=how.steps, noise=how.noise)
    _print(result, recipe.optim.epochs)
    folder = site.runs / "bench"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise atomic.explain(error, folder) from error
    file = folder / f"{recipe.name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    atomic.write_json(file, result.record() | {"set": list(sets)})
    show.line(f"kept: {file}")


def _print(result: Result, epochs: int) -> None:
    table = _table("a step of", "ms", "images/s", "of the floor's rate")
    for row in rows(result):
        table.add_row(*row)
    show.console.print(table)
    table = _table("part", "ms", "% of the floor")
    for part in part_rows(result):
        table.add_row(*part)
    show.console.print(table)
    table = _table("evaluation", "ms", "ratio")
    for each in evaluation_rows(result):
        table.add_row(*each)
    show.console.print(table)
    projected = evaluation.projected(result.evaluation["knn"].median, queries=KNN[0], bank=KNN[1])
    show.line(f"kNN on ImageNet (50,000 x 1,281,167) would take {show.duration(projected)} here")
    show.line(f"peak memory: {result.peak_bytes / 2**30:.2f} GiB")
    images = result.facts["steps_per_epoch"] * result.batch * epochs
    hours = images / result.images_per_s("end to end") / 3600
    if result.facts["data"] != "noise":
        show.line(f"the recipe's {epochs} epochs would take {show.duration(3600 * hours)} here")
    for what, count in result.expected.items():
        show.line(f"each process sends {count / 2**20:.2f} MiB a step: {what}")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table
