"""`moco-harness check`: targets and baselines held against runs, for people and for CI."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from harness.check.baseline import Baseline, load_baseline, make_baseline, write_baseline
from harness.check.cells import CellRuns, Now, merged, read_cells
from harness.check.compare import ALARM, Pair, against_baselines, comparisons
from harness.check.files import is_json, is_junit, write_json, write_junit
from harness.check.targets import against_targets
from harness.check.verdict import Judged, Verdict
from harness.cli import show
from harness.cli.check_run import INTERRUPTED, Task, run_missing, wait, waiting
from harness.cli.replace import refuse_others
from harness.errors import NotYet, RecipeError, TargetMissed
from harness.inputs import Inputs
from harness.plan import Plan, make_plan
from harness.recipe.ablation import Scale
from harness.recipe.load import is_list, load, load_list
from harness.recipe.schema import Recipe, Watch
from harness.report.runs import LOSS
from harness.site import Site
from harness.store.edition import edition
from harness.store.stale import Look

_STYLE: dict[Judged, str] = {
    "passed": "green",
    "short": "red",
    "below": "red",
    "above": "red",
    "stale": "yellow",
    "missing": "yellow",
    "incomparable": "yellow",
    "waiting": "blue",
}


@dataclass(frozen=True)
class How:
    """What `check` is asked to do besides looking."""

    run: bool = False
    wait: bool = False
    ask: bool = True
    seeds: tuple[int, ...] = ()
    """In place of the recipes' own; () leaves those."""
    against: Path | None = None
    write: Path | None = None
    """A baseline to write."""
    json: Path | None = None
    junit: Path | None = None


def check_command(paths: Sequence[Path], sets: Sequence[str], site: Site, how: How) -> int:
    """Judge the recipes' results, run first if asked for; returns the exit code.

    0: all passed. TargetMissed's: some result is not as wanted, stale, missing or incomparable.
    NotYet's: what is not there is still to come. 130: stopped on request.

    Raises:
        RecipeError: a file cannot be accepted, or there is nothing to hold a recipe against.
        StoreError: a file cannot be written, or a baseline would lack results.
    """
    _may_write(how)
    tasks = _tasks(paths, sets, how)
    plans = [make_plan(task.path, task.sets, site.runs) for task in tasks]
    _one_recipe_a_name(tasks, plans)
    baselines = _baselines(tasks)
    for task, plan in zip(tasks, plans, strict=True):
        if not (how.write or task.baseline or _has_targets(plan)):
            raise RecipeError(
                f"{task.path}: no targets to check; add some under about.targets or targets, or "
                "name a baseline with --against"
            )
    if how.run and run_missing(tasks, site, ask=how.ask) == INTERRUPTED:
        return INTERRUPTED
    if how.wait and wait(tasks, site) == INTERRUPTED:
        return INTERRUPTED
    now = Now(edition(), waiting(tasks, site))
    inputs = Inputs(site.data, site.runs)
    asked = [
        (task, cell)
        for task, plan in zip(tasks, plans, strict=True)
        for cell in _cells(plan, site.runs, inputs)
    ]
    cells = merged(cell for _, cell in asked)
    verdicts = against_targets(cells, now)
    verdicts += against_baselines(_pairs(asked, baselines), now)
    _show(verdicts)
    show.unfinished(inputs)
    if how.json:
        write_json(how.json, verdicts, now.edition)
    if how.junit:
        write_junit(how.junit, verdicts, now.edition)
    if how.write:
        _write(cells, now, how.write)
    return _code(verdicts)


def _tasks(paths: Sequence[Path], sets: Sequence[str], how: How) -> list[Task]:
    """The recipes, lists opened, each once for each baseline (for each seed, if it has one)."""
    named: list[tuple[Path, Path | None]] = []
    for path in paths:
        files, baseline = load_list(path)[1:] if is_list(path) else ([path], None)
        named += [(file, how.against or (None if how.write else baseline)) for file in files]
    return [
        Task(file, (*sets, *added), baseline)
        for file, baseline in dict.fromkeys(named)
        for added in _seeded(file, sets, how.seeds)
    ]


def _seeded(path: Path, sets: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, ...]]:
    """The settings that make the recipe one of these seeds: several runs of a single recipe."""
    if not seeds:
        return [()]
    if isinstance(load(path, sets), Scale):
        return [(f"seeds=[{', '.join(map(str, seeds))}]",)]
    return [(f"seed={seed}",) for seed in seeds]


def _baselines(tasks: Sequence[Task]) -> dict[Path, Baseline]:
    return {path: load_baseline(path) for task in tasks if (path := task.baseline)}


def _one_recipe_a_name(tasks: Sequence[Task], plans: Sequence[Plan]) -> None:
    """Results are known by their recipe's name: two recipes of one name may differ in seeds only.

    Raises:
        RecipeError: they differ in more.
    """
    seen: dict[tuple[str, str], tuple[Path, Recipe]] = {}
    for task, plan in zip(tasks, plans, strict=True):
        for stage in plan.stages:
            name = plan.scale.name if plan.scale is not None else stage.recipe.name
            recipe = stage.recipe.model_copy(update={"seed": 0, "watch": Watch()})
            path, first = seen.setdefault((name, stage.member.cell), (task.path, recipe))
            if recipe != first:
                raise RecipeError(
                    f"{task.path}: {name} is also the name of {path}, which says something else: "
                    "give one of them another name, or check them in two calls"
                )


def _has_targets(plan: Plan) -> bool:
    return any(stage.recipe.about.targets for stage in plan.stages)


def _may_write(how: How) -> None:
    written = [path for path in (how.write, how.json, how.junit) if path]
    places = [os.path.realpath(path) for path in written]
    for path, place in zip(written, places, strict=True):
        if places.count(place) > 1:
            raise RecipeError(f"{path}: two files are to be written there; name another")
    if baseline := how.write:  # of another file, its own reader says with lines why it is none
        refuse_others(baseline, "a baseline", lambda _: bool(load_baseline(baseline)))
    if how.json:
        refuse_others(how.json, "a file of check --json", is_json)
    if how.junit:
        refuse_others(how.junit, "a file of check --junit", is_junit)


def _cells(plan: Plan, runs: Path, inputs: Look) -> list[CellRuns]:
    members = list({(s.member.cell, s.recipe.seed): s.member for s in plan.stages}.values())
    name = plan.scale.name if plan.scale is not None else members[0].recipe.name
    return read_cells(name, members, runs, inputs)


def _pairs(asked: Sequence[tuple[Task, CellRuns]], baselines: dict[Path, Baseline]) -> list[Pair]:
    """Every cell with its tasks' baseline, all seeds of it together."""
    of: dict[Path, list[CellRuns]] = {}
    for task, cell in asked:
        if task.baseline is not None:
            of.setdefault(task.baseline, []).append(cell)
    return [
        Pair(cell, baselines[path], str(path))
        for path, cells in of.items()
        for cell in merged(cells)
    ]


def _show(verdicts: Sequence[Verdict]) -> None:
    if show.console.is_terminal:
        show.console.print(_table(verdicts))
    else:
        for each in verdicts:
            show.line(f"{each.of}  {each.metric}  {each.judged}  {each.says}")
    for each in verdicts:
        if each.warning:
            show.line(f"WARNING: {each.of}: {each.metric} passes, but {each.warning}", "bold red")
    if shared := comparisons(verdicts):
        level = f"{100 * ALARM / shared:.3g} %"
        show.line(
            f"if nothing has changed, {show.count(shared, 'comparison')} with the baseline find "
            f"something in {100 * ALARM:g} % of the calls ({level} each)"
        )
    if any(verdict.judged in ("missing", "stale") for verdict in verdicts):
        show.line("what is missing or stale is run first with --run")
    waits = sum(verdict.judged == "waiting" for verdict in verdicts)
    if waits:
        show.line(
            f"{show.count(waits, 'verdict')} still to come: call check again when the runs have "
            "ended, or with --wait"
        )


def _table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("of", "metric", "", "why"):
        table.add_column(heading)
    for verdict in verdicts:
        table.add_row(
            escape(verdict.of),
            verdict.metric,
            f"[{_STYLE[verdict.judged]}]{verdict.judged}[/]",
            escape(verdict.says),
        )
    return table


def _write(cells: Sequence[CellRuns], now: Now, path: Path) -> None:
    """Write the baseline, and tell what of an older one it changes."""
    made = make_baseline(cells, now)
    older = load_baseline(path) if path.exists() and path.stat().st_size else None
    write_baseline(made, path)
    for record in made.cells:
        was = older.cell(record.recipe, record.cell) if older else None
        of = record.cell if record.cell == record.recipe else f"{record.recipe}/{record.cell}"
        for sample in record.metrics:
            digits = 4 if sample.metric == LOSS else 2
            words = f"{of}  {sample.metric}  {sample.mean:.{digits}f} ± {sample.sd:.{digits}f}"
            before = was.sample(sample.metric) if was else None
            if before is not None:
                words += f", before {before.mean:.{digits}f} ± {before.sd:.{digits}f}"
            show.line(f"{words} ({len(record.seeds)} seeds)")
    show.line(f"baseline: {path}")


def _code(verdicts: Sequence[Verdict]) -> int:
    left = {verdict.judged for verdict in verdicts} - {"passed"}
    if left - {"waiting"}:
        return TargetMissed.exit_code
    return NotYet.exit_code if left else 0
