"""All runs of an ablation, brought together: which may be compared, and what may not be mixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.recipe.ablation import CONTROL, Ablation, Metric, Scale
from harness.recipe.identity import canonical
from harness.recipe.schema import Recipe
from harness.report.runs import METRIC_STAGE, Outcome, Run, Standing, read_run
from harness.report.statistics import Summary, summarise
from harness.store.edition import edition

if TYPE_CHECKING:
    from harness.recipe.expand import Expansion

CONTROL_LABEL = "untrained network"


@dataclass(frozen=True)
class Basis:
    """What values must share to stand in one mean or one comparison."""

    edition: str
    fingerprints: dict[str, str]
    """The recipe's data section (as canonical text) -> fingerprint of the data found for it."""

    def why_not(self, run: Run, outcome: Outcome) -> str:
        """Why a stage behind the outcome has another code, data or weights; "" if none has."""
        data = self.fingerprints.get(data_key(run), "")
        others = not set(outcome.fingerprints) <= {data}
        return outcome.why_stale(self.edition) or ("of other data" if others else "")


@dataclass(frozen=True)
class Value:
    """One seed's outcome for one metric, judged against the table's basis."""

    seed: int
    standing: Standing | Literal["stale"]
    value: float | None
    detail: str
    """Why it is stale, or what the run's end said."""

    @property
    def counts(self) -> bool:
        """Whether it is a result of the table: a finished or diverged run of its basis."""
        return self.standing in ("finished", "diverged")


@dataclass(frozen=True)
class CellResult:
    """One row: the paper's cell and our runs of it."""

    id: str
    label: str
    printed: float | Literal["fail"] | None
    runs: tuple[Run, ...]
    """One per seed of the scale, in its order; empty if the scale leaves the cell out."""

    @property
    def is_control(self) -> bool:
        return self.id == CONTROL


@dataclass(frozen=True)
class Results:
    """Everything that a report says, before it is put into words."""

    name: str
    title: str
    metric: Metric
    seeds: tuple[int, ...]
    margin: float
    cells: tuple[CellResult, ...]
    """The paper's order; the untrained control, if there is one, last."""
    basis: Basis | None
    """What the table's numbers share; None while no run has a result."""
    installed: str
    """Edition of the code that made the report."""
    ablation: Ablation | None
    """None: a single recipe, reported as a table of one cell."""
    scale: Scale | None
    warnings: tuple[str, ...]

    @property
    def runs(self) -> list[Run]:
        return [run for cell in self.cells for run in cell.runs]

    @property
    def recipe(self) -> Recipe:
        """One of the table's recipes: the first trained one."""
        trained = [run.recipe for run in self.runs if run.cell != CONTROL]
        return (trained or [run.recipe for run in self.runs])[0]

    def cell(self, cell_id: str) -> CellResult | None:
        return next((cell for cell in self.cells if cell.id == cell_id), None)

    def values(self, cell: CellResult, metric: Metric | None = None) -> list[Value]:
        """The cell's outcomes seed by seed; those of another code or data are stale."""
        return [self._value(run, run.outcome(metric or self.metric)) for run in cell.runs]

    def summary(self, cell: CellResult, metric: Metric | None = None) -> Summary | None:
        """Over the finished seeds of the table's basis; None if there are none."""
        found = finished(self.values(cell, metric))
        return summarise(list(found.values())) if found else None

    def difference(self, cell: CellResult, metric: Metric | None = None) -> Summary | None:
        """To the untrained control, paired by seed; None if no seed has both."""
        control = self.cell(CONTROL)
        if control is None or cell.is_control:
            return None
        ours, theirs = (finished(self.values(c, metric)) for c in (cell, control))
        pairs = [value - theirs[seed] for seed, value in ours.items() if seed in theirs]
        return summarise(pairs) if pairs else None

    def _value(self, run: Run, outcome: Outcome) -> Value:
        standing: Standing | Literal["stale"] = outcome.standing
        has_result = standing in ("finished", "diverged", "probe diverged")
        why = self.basis.why_not(run, outcome) if has_result and self.basis else ""
        if why:
            standing = "stale"
        return Value(run.seed, standing, outcome.value, why or outcome.detail)


def finished(values: Iterable[Value]) -> dict[int, float]:
    """Seed -> value of those that finished on the table's basis."""
    return {v.seed: v.value for v in values if v.standing == "finished" and v.value is not None}


def collect(
    expansion: Expansion, scale: Scale, runs: Path, *, installed: str | None = None
) -> Results:
    """Read every run of an ablation at one scale from the run root `runs`.

    Args:
        expansion: the ablation and its members, as `harness.recipe.expand` gives them.
        scale: the ablation recipe that was expanded.
        runs: the run root; what is not there is reported as absent.
        installed: edition of the present code; None: compute it.
    """
    ablation = expansion.ablation
    by_cell: dict[str, list[Run]] = {}
    for member in expansion.members:
        by_cell.setdefault(member.cell, []).append(
            read_run(member.cell, member.seed, member.recipe, runs)
        )
    cells = [
        CellResult(cell.id, cell.label, cell.printed, tuple(by_cell.get(cell.id, ())))
        for cell in ablation.cells
    ]
    if CONTROL in by_cell:
        cells.append(CellResult(CONTROL, CONTROL_LABEL, None, tuple(by_cell[CONTROL])))
    return _results(
        name=scale.name,
        title=scale.about.title or ablation.title,
        metric=scale.metric,
        seeds=scale.seeds,
        margin=scale.margin,
        cells=cells,
        installed=installed,
        ablation=ablation,
        scale=scale,
    )


def collect_single(recipe: Recipe, runs: Path, *, installed: str | None = None) -> Results:
    """Read one recipe's run: a table of one cell, without claims.

    Its metric is linear/top1 if the recipe has a linear probe, else knn/top1.
    """
    run = read_run(recipe.name, recipe.seed, recipe, runs)
    return _results(
        name=recipe.name,
        title=recipe.about.title or recipe.name,
        metric="linear/top1" if recipe.linear is not None else "knn/top1",
        seeds=(recipe.seed,),
        margin=0.0,
        cells=[CellResult(recipe.name, recipe.name, None, (run,))],
        installed=installed,
        ablation=None,
        scale=None,
    )


def _results(
    *,
    name: str,
    title: str,
    metric: Metric,
    seeds: tuple[int, ...],
    margin: float,
    cells: Sequence[CellResult],
    installed: str | None,
    ablation: Ablation | None,
    scale: Scale | None,
) -> Results:
    present = installed if installed is not None else edition()
    everything = [run for cell in cells for run in cell.runs]
    basis = choose_basis(everything, present)
    return Results(
        name=name,
        title=title,
        metric=metric,
        seeds=seeds,
        margin=margin,
        cells=tuple(cells),
        basis=basis,
        installed=present,
        ablation=ablation,
        scale=scale,
        warnings=tuple(_warnings(everything, basis, present)),
    )


def choose_basis(runs: Sequence[Run], installed: str) -> Basis | None:
    """The code and data that a table's numbers must share; None while there is no result.

    The installed edition, if any result has it; else the one of most results. Of the data, for
    each recipe's data section, those of most results of that edition. Ties go to the run that
    began last, then to the greater name.
    """
    found = [
        (run, outcome)
        for run in runs
        for outcome in map(run.outcome, METRIC_STAGE)
        if outcome.standing in ("finished", "diverged") and len(outcome.editions) == 1
    ]
    if not found:
        return None
    chosen = _most((o.editions[0], started(run)) for run, o in found)
    if any(o.editions[0] == installed for _, o in found):
        chosen = installed
    prints: dict[str, list[tuple[str, str]]] = {}
    for run, outcome in found:
        if outcome.editions[0] == chosen and len(outcome.fingerprints) == 1:
            prints.setdefault(data_key(run), []).append((outcome.fingerprints[0], started(run)))
    return Basis(chosen, {key: _most(named) for key, named in prints.items()})


def _most(named: Iterable[tuple[str, str]]) -> str:
    """Of (name, when) the most frequent name; of equals the newest, then the greatest."""
    seen = list(named)
    counts = Counter(name for name, _ in seen)
    return max(seen, key=lambda one: (counts[one[0]], one[1], one[0]))[0]


def data_key(run: Run) -> str:
    """Runs with the same data section must have found the same data."""
    return canonical(run.recipe.data.model_dump(mode="json"))


def started(run: Run) -> str:
    """When the run's newest attempt began (UTC, ISO 8601); "" if it did not say."""
    return max((str(stage.attempt.get("started", "")) for stage in run.stages.values()), default="")


def _warnings(runs: list[Run], basis: Basis | None, installed: str) -> list[str]:
    found = [warning for run in runs for warning in run.warnings]
    if basis is None:
        return found
    stale = [
        f"{run.cell} (seed {run.seed})"
        for run in runs
        if any(
            run.outcome(m).standing in ("finished", "diverged", "probe diverged")
            and basis.why_not(run, run.outcome(m))
            for m in METRIC_STAGE
        )
    ]
    if stale:
        found.insert(
            0,
            f"Stale: {', '.join(stale)}. These results come from another edition of the code (the "
            f"table's is {basis.edition}), from other data than the rest of the table or from "
            "other weights than their pre-training now has; they stand in no mean, difference or "
            "verdict.",
        )
    if basis.edition != installed:
        found.insert(
            0,
            f"Every number here was made with edition {basis.edition}; the installed code is "
            f"edition {installed}, for which `check` calls them stale.",
        )
    return found
