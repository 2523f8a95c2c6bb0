"""Collect all runs of an ablation, and decide which of their values may be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.recipe.ablation import CONTROL, Ablation, Metric, Scale
from harness.recipe.reference import papers, reference_recipes
from harness.recipe.reported import is_measured, judged, reported
from harness.recipe.schema import Recipe
from harness.report.comparability import Comparability, choose_comparability, mixed_threads
from harness.report.curves import share
from harness.report.evaluation_protocol import (
    Protocol,
    compared,
    deviation,
    protocol_of,
    protocol_text,
    usual_protocol,
    varied,
)
from harness.report.published import pinned, published
from harness.report.read_run import mark_copies, read_run
from harness.report.runs import LOSS, Run, Standing
from harness.report.sequential_design import planned_seeds
from harness.report.statistics import Summary, summarise
from harness.report.table import SeedValue, finished
from harness.report.unrelated_runs import unrelated_runs
from harness.spec.registry import task, task_of
from harness.store.edition import Editions, present
from harness.store.stale import CheckInput

if TYPE_CHECKING:
    from harness.recipe.expand import Expansion

CONTROL_LABEL = "untrained network"


@dataclass(frozen=True)
class CellResult:
    """One row: the paper's cell and our runs of it."""

    id: str
    label: str
    printed: float | Literal["fail"] | None
    runs: tuple[Run, ...]
    """One for each seed of the scale, then for added ones; () if the scale leaves the cell out."""
    given: bool = False
    """Whether the cell is given weights, evaluated as they are."""

    @property
    def is_control(self) -> bool:
        """Whether the cell involves no training."""
        return self.given or self.id == CONTROL


@dataclass(frozen=True)
class Results:
    """Everything that a report states, as data."""

    name: str
    title: str
    metric: Metric
    seeds: tuple[int, ...]
    margin: float | None
    """The scale's margin; None: the defaults, or no claims."""
    cells: tuple[CellResult, ...]
    """In the paper's order; then the untrained control and given weights, if there are any."""
    comparability: Comparability | None
    """What all numbers of the table have in common; None while no run has a result."""
    installed: Editions
    """Editions of the code that makes the report."""
    ablation: Ablation | None
    """None: a single recipe, reported as a table of one cell."""
    scale: Scale | None
    warnings: tuple[str, ...]
    unrelated: tuple[str, ...] = ()
    """Stages in the run root with the table's names that do not belong to it."""
    references: Mapping[str, Recipe] = field(default_factory=dict)
    """Cell id -> its recipe at the scale of the printed numbers (`harness.recipe.reference`). {}:
    not searched, or none found."""
    _usual: dict[Metric, Protocol] = field(default_factory=dict, init=False, compare=False)
    """The protocol of most of a column, once asked for: it takes every cell."""

    @property
    def reference_pairs(self) -> list[tuple[CellResult, Recipe, Recipe]]:
        """Each trained cell that is run, its recipe here, and at the scale of the printed numbers.
        [] unless all have one; of a variant of the paper's table, those that have one."""
        run = [cell for cell in self.cells if cell.runs and not cell.is_control]
        there = [cell for cell in run if cell.id in self.references]
        if len(there) < len(run) and not (self.ablation and self.ablation.variant_of):
            return []
        return [(cell, cell.runs[0].recipe, self.references[cell.id]) for cell in there]

    @property
    def runs(self) -> list[Run]:
        return [run for cell in self.cells for run in cell.runs]

    @property
    def seen_seeds(self) -> tuple[int, ...]:
        """The scale's own seeds, then the seeds that were added to decide claims."""
        return tuple(dict.fromkeys((*self.seeds, *(run.seed for run in self.runs))))

    @property
    def recipe(self) -> Recipe:
        """One of the table's recipes: the first trained one."""
        return (self.trained or [run.recipe for run in self.runs])[0]

    @property
    def trained(self) -> list[Recipe]:
        """The table's recipes that train."""
        return [run.recipe for cell in self.cells if not cell.is_control for run in cell.runs]

    def cell(self, cell_id: str) -> CellResult | None:
        return next((cell for cell in self.cells if cell.id == cell_id), None)

    def values(
        self, cell: CellResult, metric: Metric | None = None, under: str = ""
    ) -> list[SeedValue]:
        """The cell's outcomes by seed, stale if of other code or data; `under`: see Run.behind."""
        return [self.value(run, metric or self.metric, under) for run in cell.runs]

    def summary(
        self, cell: CellResult, metric: Metric | None = None, under: str = ""
    ) -> Summary | None:
        """Summary over the finished seeds that may be compared; None without any."""
        found = finished(self.values(cell, metric, under))
        return summarise(list(found.values())) if found else None

    def difference(
        self, cell: CellResult, metric: Metric | None = None, under: str = ""
    ) -> Summary | None:
        """`beside_untrained` as a difference, paired by seed; None if there are no such pairs."""
        pairs = self.beside_untrained(cell, metric, under)
        return summarise([ours - theirs for ours, theirs in pairs]) if pairs else None

    def beside_untrained(
        self, cell: CellResult, metric: Metric | None = None, under: str = ""
    ) -> list[tuple[float, float]]:
        """(ours, the untrained network's) by seed, of one protocol; `under`: see Run.behind."""
        control = self.cell(CONTROL)
        if control is None or cell.is_control or not cell.runs:
            return []
        if self._compared(cell, metric, under) != self._compared(control, metric, under):
            return []
        ours, theirs = (finished(self.values(c, metric, under)) for c in (cell, control))
        return [(value, theirs[seed]) for seed, value in ours.items() if seed in theirs]

    def protocol(self, cell: CellResult, metric: Metric | None = None, under: str = "") -> Protocol:
        """How the cell's values are measured; {} if it is not run. `under`: see Run.behind."""
        return protocol_of(cell.runs[0].recipe, metric or self.metric, under) if cell.runs else {}

    def protocol_deviation(self, cell: CellResult, metric: Metric | None = None) -> Protocol:
        """Where the cell's protocol differs from that of most of the column; {} if nowhere."""
        if (metric := metric or self.metric) not in self._usual:
            each = [self._compared(other, metric) for other in self.cells if other.runs]
            self._usual[metric] = usual_protocol(each)
        return deviation(self._compared(cell, metric), self._usual[metric])

    @cached_property
    def _varied(self) -> frozenset[str]:
        return varied(self.ablation)

    def _compared(self, cell: CellResult, metric: Metric | None, under: str = "") -> Protocol:
        return compared(self.protocol(cell, metric, under), self._varied)

    def stale_training(self, run: Run) -> bool:
        """Whether the pre-training is of other code, data or weights than the table's, or a copy.
        It is checked also before an evaluation has a result."""
        outcome = run.outcome(LOSS)
        has_result = outcome.standing in ("finished", "diverged")
        shared = self.comparability
        return (
            has_result
            and shared is not None
            and bool(shared.why_not_comparable(run, outcome, "knn/top1"))
        )

    def value(self, run: Run, metric: Metric, under: str = "") -> SeedValue:
        """The run's outcome; stale if it is of other code or data than the table's."""
        outcome = run.outcome(metric, under)
        standing: Standing | Literal["stale"] = outcome.standing
        has_result = standing in ("finished", "diverged", "probe diverged")
        shared = self.comparability
        why = shared.why_not_comparable(run, outcome, metric) if has_result and shared else ""
        if why:
            standing = "stale"
        return SeedValue(run.seed, standing, outcome.value, why or outcome.detail)


def collect(
    expansion: Expansion,
    scale: Scale,
    runs: Path,
    *,
    path: Path | None = None,
    installed: Editions | None = None,
    curves: bool = True,
    inputs: CheckInput | None = None,
) -> Results:
    """Read every run of an ablation at one scale from the run root `runs`.

    Args:
        expansion: the ablation and its members, as `harness.recipe.expand` gives them.
        scale: the ablation recipe that was expanded.
        runs: the run root; a run without a folder is reported as absent.
        path: the ablation recipe's file; the recipes at the scale of the printed numbers are
            searched beside it. None: cells are not compared with them.
        installed: editions of the present code. None: compute them or, for published records, read
            them there.
        curves: whether to read the journals, which takes most of the time.
        inputs: checks whether data and weights have changed since; None: no check.
    """
    ablation = expansion.ablation
    lines = share(len(expansion.members)) if curves else 0
    by_cell: dict[str, list[Run]] = {}
    for member in expansion.members:
        by_cell.setdefault(member.cell, []).append(
            read_run(member.cell, member.seed, member.recipe, runs, lines, inputs)
        )
    for first in by_cell.values():
        first += added_runs(first, scale, runs, lines, inputs)
    told = iter(mark_copies([run for found in by_cell.values() for run in found]))
    by_cell = {cell: [next(told) for _ in found] for cell, found in by_cell.items()}
    given = {control.id: control.label for control in scale.controls}
    cells = [
        CellResult(
            cell.id, cell.label, cell.printed, tuple(by_cell.get(cell.id, ())), cell.id in given
        )
        for cell in ablation.cells
    ]
    if CONTROL in by_cell and ablation.cell(CONTROL) is None:
        cells.append(CellResult(CONTROL, CONTROL_LABEL, None, tuple(by_cell[CONTROL])))
    cells += [
        CellResult(name, label, None, tuple(by_cell[name]), given=True)
        for name, label in given.items()
        if ablation.cell(name) is None
    ]
    found = _results(
        name=scale.name,
        title=scale.about.title or ablation.title,
        metric=scale.metric,
        seeds=scale.seeds,
        margin=scale.margin,
        cells=cells,
        installed=installed,
        ablation=ablation,
        scale=scale,
        runs=runs,
    )
    if path is None:
        return found
    references = reference_recipes(ablation, path)
    warnings = (*found.warnings, *references.warnings)
    return replace(found, references=references.recipes, warnings=warnings)


def added_runs(
    there: Sequence[Run], scale: Scale, runs: Path, lines: int = 0, inputs: CheckInput | None = None
) -> list[Run]:
    """A cell's runs in `runs` of planned seeds beyond the scale's own, other than `there`."""
    cell, recipe = there[0].cell, there[0].recipe
    found = []
    for seed in planned_seeds(scale)[len(scale.seeds) :]:
        if any(run.seed == seed for run in there):
            continue
        own = recipe.model_copy(update={"seed": seed})
        run = read_run(cell, seed, own, runs, lines, inputs)
        if run.stages["pretrain"].state != "absent":
            found.append(run)
    return found


def collect_single(
    recipe: Recipe,
    runs: Path,
    *,
    seeds: Sequence[int] = (),
    control: Recipe | None = None,
    installed: Editions | None = None,
    inputs: CheckInput | None = None,
) -> Results:
    """Read one recipe's runs: a table of one cell, without claims, judged by the linear probe if
    the recipe has one, else by kNN, else by its first task under `tasks:`.

    Args:
        seeds: those that were run; (): the recipe's own.
        control: the recipe of the untrained network, a row that published records may lack.
    """
    seeds = tuple(seeds) or (recipe.seed,)
    both = ((recipe.name, recipe, share(len(seeds))), (CONTROL, control, 0))
    found = [
        read_run(cell, seed, each.model_copy(update={"seed": seed}), runs, lines, inputs)
        for cell, each, lines in both
        for seed in seeds
        if each is not None
    ]
    if published(runs) and all(r.stages["pretrain"].state == "absent" for r in found[len(seeds) :]):
        found = found[: len(seeds)]
    told = tuple(mark_copies(found))
    own, more = told[: len(seeds)], told[len(seeds) :]
    untrained = [CellResult(CONTROL, CONTROL_LABEL, None, more)] if more else []
    return _results(
        name=recipe.name,
        title=recipe.about.title or recipe.name,
        metric=judged(recipe),
        seeds=seeds,
        margin=None,
        cells=[CellResult(recipe.name, recipe.name, None, own), *untrained],
        installed=installed,
        ablation=None,
        scale=None,
        runs=runs,
    )


def _results(
    *,
    name: str,
    title: str,
    metric: Metric,
    seeds: tuple[int, ...],
    margin: float | None,
    cells: Sequence[CellResult],
    installed: Editions | None,
    ablation: Ablation | None,
    scale: Scale | None,
    runs: Path,
) -> Results:
    now = installed or pinned(runs) or present()
    own = [run for cell in cells for run in cell.runs]
    control: list[Run] = []
    if ablation is None:  # its control may be that of other recipes
        control = [run for run in own if run.cell == CONTROL]
        own = [run for run in own if run.cell != CONTROL]
    results = Results(
        name=name,
        title=title,
        metric=metric,
        seeds=seeds,
        margin=margin,
        cells=tuple(cells),
        comparability=choose_comparability(own, now, control),
        installed=now,
        ablation=ablation,
        scale=scale,
        warnings=(),
        unrelated=tuple(unrelated_runs(own, runs)),
    )
    return replace(results, warnings=(*_warnings(results), *mixed_threads(own), *papers().warnings))


def _warnings(results: Results) -> list[str]:
    measured = (m for m in task_of() if any(is_measured(m, r.recipe.data) for r in results.runs))
    shared, metrics = results.comparability, dict.fromkeys((*measured, results.metric))
    found = [warning for run in results.runs for warning in run.warnings]
    found += [
        f"{cell.label} has another protocol than most of the column ({metric}: "
        f"{protocol_text(other)}), so it is not compared with other cells."
        for metric in metrics
        for cell in results.cells
        if (other := results.protocol_deviation(cell, metric))
    ]
    if shared is None:
        return found
    stale = []
    for run in results.runs:
        further = [
            name
            for name, said in run.recipe.tasks.items()
            if any(
                results.value(run, m, name).standing == "stale"
                for m in reported(task(said.kind), said.data or run.recipe.data)
            )
        ]
        if results.stale_training(run) or any(
            results.value(run, metric).standing == "stale" for metric in metrics
        ):
            stale.append(run.name)
        elif further:
            stale.append(f"{' and '.join(further)} of {run.name}")
    if stale:
        found.insert(
            0,
            f"Stale: {', '.join(stale)}. These results are copies, or differ from the table in "
            f"edition of the code ({shared.editions}), data, device or schema version, or their "
            "weights or data changed since; they are excluded from means, differences and "
            "verdicts.",
        )
    if any(e != results.installed[what] for what, e in shared.editions.by_subject.items()):
        found.insert(
            0,
            f"All numbers come from edition {shared.editions}; the installed code is edition "
            f"{results.installed}, so `check` reports them as stale.",
        )
    return found
