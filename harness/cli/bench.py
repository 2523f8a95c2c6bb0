"""`moco-harness bench`: measure a recipe's step against its lower bound and keep the result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from harness import interpreter
from harness.app import planning
from harness.bench import evaluation, scaling
from harness.bench.published import publish, refuse_other_pages
from harness.bench.result import (
    Result,
    evaluation_rows,
    part_rows,
    rows,
    sent,
    sharing_rows,
    stall,
    task_rows,
    tasks_measured,
    training_rows,
)
from harness.bench.run import KNN, bench
from harness.bench.task_steps import trained_tasks
from harness.cli import show
from harness.errors import HarnessError, RecipeError, StoreError
from harness.estimate import Benched
from harness.launch.spawn import COLLECTIVE_WAIT_S, spawned
from harness.launch.threads import use_threads
from harness.recipe.expand import expand
from harness.recipe.load import load
from harness.recipe.schema import Recipe
from harness.recipe.suggest import did_you_mean
from harness.runtime.environment import resolve
from harness.runtime.world import join
from harness.site import Site
from harness.stage.execute import own_device, pick_device
from harness.store import benchmarks


@dataclass(frozen=True)
class BenchOptions:
    """Settings of a measurement."""

    rounds: int
    steps: int
    noise: bool
    scaling: bool
    bandwidth: float
    publish: Path | None
    tasks: bool = False
    cell: str | None = None
    """Of an ablation recipe; None: its first."""


def bench_command(path: Path, sets: Sequence[str], site: Site, options: BenchOptions) -> None:
    """Measure, print, and write RUNS/bench/<recipe>-<time>-<random>.json.

    Raises:
        HarnessError: the recipe, the data, the device or the disk do not allow it.
    """
    recipe, cell = _recipe(path, sets, options.cell)
    if options.publish is not None:
        refuse_other_pages(options.publish)
    planning.writable(site.runs)
    benchmarks.prepare(site.runs)
    placement = resolve(os.environ)
    processes = site.processes if placement.size == 1 else 1
    if processes * placement.size > 1:
        for option, asked in (("--scaling", options.scaling), ("--tasks", options.tasks)):
            if asked:
                raise HarnessError(f"{option} is measured with one process: --processes 1")
    device = pick_device(site.device, placement)
    words = interpreter.command("harness.cli", "bench", str(path))
    words += [word for each in sets for word in ("--set", each)]
    words += ["--data", str(site.data), "--runs", str(site.runs), "--device", device]
    words += ["--site", str(site.file)] if site.file is not None else []
    words += ["--noise"] if options.noise else []
    words += ["--rounds", str(options.rounds), "--steps", str(options.steps)]
    words += ["--cell", cell] if cell else []
    with spawned(words, processes) as (own, lost):
        placement = own if placement.size == 1 else placement
        use_threads(placement)
        own_one = own_device(device, placement)
        with join(
            placement, own_one, timeout=COLLECTIVE_WAIT_S, stopping=lambda: bool(lost())
        ) as world:
            if world.rank == 0:
                show.line(
                    f"measuring {recipe.name} on {world.size} x {world.device}, "
                    f"{options.rounds} rounds of {options.steps} steps"
                )
            result = bench(
                recipe,
                site.data,
                world,
                rounds=options.rounds,
                steps=options.steps,
                noise=options.noise,
                tasks=options.tasks,
            )
    if placement.rank > 0:
        return
    record = result.record() | {"set": list(sets)}
    saved: Path | StoreError
    try:  # before anything is printed, perhaps into a closed pipe
        saved = benchmarks.keep(site.runs, recipe.name, record)
    except StoreError as error:
        saved = error
    _print(result, recipe)
    if options.scaling and result.whole:
        table = _table(*scaling.HEADINGS)
        for row in scaling.table(recipe, result, options.bandwidth):
            table.add_row(*row)
        show.console.print(table)
        for said in scaling.scaling_text(recipe, result, options.bandwidth):
            show.line(said)
    if isinstance(saved, StoreError):
        raise saved
    show.line(f"saved: {saved}")
    if options.publish is not None:
        show.line(f"published: {publish(options.publish, record)}")


def _recipe(path: Path, sets: Sequence[str], cell: str | None) -> tuple[Recipe, str]:
    """The recipe to measure, and its cell; "" for a single recipe.

    Raises:
        RecipeError: the file cannot be accepted, or has no such cell to train.
    """
    found = load(path, sets)
    if isinstance(found, Recipe):
        if cell is not None:
            raise RecipeError(f"{path}: --cell {cell}: a single recipe has no cells; leave it out")
        return found, ""
    cells: dict[str, Recipe] = {}
    for member in expand(found, path).members:
        cells.setdefault(member.cell, member.recipe)
    pretrains = {name: each for name, each in cells.items() if each.optim.epochs}
    cells = pretrains or {name: each for name, each in cells.items() if trained_tasks(each)}
    if not cells:
        raise RecipeError(f"{path}: no cell trains, so that there is no step to measure")
    named = next(iter(cells)) if cell is None else cell
    if named not in cells:
        raise RecipeError(
            f"{path}: --cell {named}: no cell that trains{did_you_mean(named, cells)}"
        )
    return cells[named], named


def _print(result: Result, recipe: Recipe) -> None:
    if result.sharing:
        table = _table("training loop", "ms", "images/s", "relative to one process")
        for row in sharing_rows(result):
            table.add_row(*row)
        show.console.print(table)
    if result.whole:
        table = _table("training step", "ms", "images/s", "relative to the floor")
        for row in rows(result):
            table.add_row(*row)
        show.console.print(table)
    if result.training:
        table = _table("step of a task", "ms", "images/s", "relative to its floor")
        for row in training_rows(result):
            table.add_row(*row)
        show.console.print(table)
    for reason in result.facts["left_out"]:
        show.line(reason, "yellow")
    if not result.whole:
        show.line(f"peak memory: {result.peak_bytes / 2**30:.2f} GiB")
        return
    table = _table("part", "ms", "% of the floor")
    for part in part_rows(result):
        table.add_row(*part)
    show.console.print(table)
    table = _table("evaluation", "ms", "ratio")
    for each in evaluation_rows(result):
        table.add_row(*each)
    show.console.print(table)
    if result.tasks:
        table = _table(tasks_measured(result), "s", "of the extraction")
        for task in task_rows(result):
            table.add_row(*task)
        show.console.print(table)
    projected = evaluation.projected(result.evaluation["knn"].median, queries=KNN[0], bank=KNN[1])
    show.line(f"kNN on ImageNet (50,000 x 1,281,167) would take {show.duration(projected)} here")
    show.line(stall(result))
    show.line(f"peak memory: {result.peak_bytes / 2**30:.2f} GiB")
    measured = recipe.monitor is None or recipe.knn is not None  # of a task's data nothing is
    if result.facts["images"] is not None and measured:
        took = Benched(recipe, result.record()).seconds("pretrain", 0)
        show.line(f"pre-training with its monitor would take {show.duration(took)} here")
    for said in sent(result):
        show.line(said)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table
