"""Comparability: the code edition, data and device that values in one comparison must share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.recipe.ablation import Metric
from harness.report.measures import COSTS
from harness.report.runs import LOSS, Run, RunOutcome
from harness.spec.registry import task_of
from harness.store.edition import Editions


@dataclass(frozen=True)
class Comparability:
    """What values must have in common to be averaged or compared."""

    editions: Editions
    fingerprints: dict[str, str]
    """The recipe's data section (as canonical text) -> fingerprint of the data found for it."""
    own_fingerprints: dict[str, str] = field(default_factory=dict)
    """A task's sections that name data of its own (Stage.own_section) -> fingerprint of that."""
    device: str = ""
    """The device of most pre-training runs in the table: a cost is only valid for one device."""

    def why_not_comparable(self, run: Run, outcome: RunOutcome, metric: Metric) -> str:
        """Why a stage behind the outcome has other code, data, device or weights, or is a copy; ""
        if none is."""
        if outcome.copied:
            return outcome.copied
        if metric in COSTS and self.device and run.device != self.device:
            return f"on {run.device}, but the column is from {self.device}"
        data = self.fingerprints.get(run.data_key, "")
        others = not set(outcome.fingerprints) <= {data} or any(
            self.own_fingerprints.get(section) != found
            for section, found in outcome.own_fingerprints
        )
        return outcome.why_stale(self.editions) or ("of other data" if others else "")


def choose_comparability(
    runs: Sequence[Run], installed: Editions, beside: Sequence[Run] = ()
) -> Comparability | None:
    """The code and data that a table's numbers must share; None while there is no result.

    For each task, the installed edition if any result has it, else the most frequent edition. For
    each data section of a recipe or a task, the most frequent data among results of these editions;
    the same for devices. A tie goes to the run that started last, then to the greater name.

    Args:
        beside: runs that decide only the editions, and the data of tasks, that no other run has.
    """
    if beside and (shared := choose_comparability(runs, installed)) is not None:
        theirs = choose_comparability(beside, installed)
        more = theirs.editions.by_subject if theirs is not None else {}
        own = {**(theirs.own_fingerprints if theirs is not None else {}), **shared.own_fingerprints}
        editions = Editions({**more, **shared.editions.by_subject})
        return replace(shared, editions=editions, own_fingerprints=own)
    # Metrics of pre-training itself count only until there is an evaluation result.
    found = _results(runs, tuple(task_of())) or _results(runs, (*COSTS, LOSS))
    if not found:
        return None
    of_subject: dict[str, list[tuple[str, str]]] = {}
    for run, outcome in found:
        for stage in filter(lambda stage: stage.editions, outcome.stages):
            of_subject.setdefault(stage.subject, []).append((stage.editions[0], run.started))
    chosen = Editions(
        {
            what: installed[what] if any(e == installed[what] for e, _ in seen) else _most(seen)
            for what, seen in of_subject.items()
        }
    )
    prints: dict[str, list[tuple[str, str]]] = {}
    devices = []
    for run, outcome in found:
        if outcome.is_of(chosen):
            devices.append((run.device, run.started))
            if len(outcome.fingerprints) == 1:
                prints.setdefault(run.data_key, []).append((outcome.fingerprints[0], run.started))
    return Comparability(
        editions=chosen,
        fingerprints={key: _most(named) for key, named in prints.items()},
        own_fingerprints=_own_fingerprints(runs, chosen),
        device=_most(devices) if devices else "",  # no run has all the chosen editions
    )


def _own_fingerprints(runs: Iterable[Run], chosen: Editions) -> dict[str, str]:
    """See Comparability.own_fingerprints: of all tasks, as a metric may be measured by several."""
    found: dict[str, list[tuple[str, str]]] = {}
    for run in runs:
        for stage in run.stages.values():
            if stage.own_section and stage.entry.result and stage.is_of(chosen):
                named = found.setdefault(stage.own_section, [])
                named.append((stage.data_fingerprint, run.started))
    return {section: _most(named) for section, named in found.items()}


def mixed_threads(runs: Sequence[Run]) -> list[str]:
    """A note if the runs on the CPU did not all compute with the same number of threads."""
    named: dict[int, list[str]] = {}
    for run in runs:
        for stage in run.stages.values():
            machine = stage.attempt.get("machine")
            machine = machine if isinstance(machine, dict) else {}
            if machine.get("device") == "cpu" and isinstance(count := machine.get("threads"), int):
                named.setdefault(count, []).append(run.name)
    if len(named) < 2:
        return []
    usual = max(named, key=lambda count: (len(named[count]), count))
    others = "; ".join(
        f"{count} in {', '.join(dict.fromkeys(names))}"
        for count, names in sorted(named.items())
        if count != usual
    )
    return [
        f"The numbers of CPU threads differ: {usual} in most runs, {others}. Another number of "
        "threads rounds differently, so the last digits of these runs cannot be repeated together."
    ]


def _results(
    runs: Iterable[Run], metrics: Sequence[Metric | Literal["train/loss"]]
) -> list[tuple[Run, RunOutcome]]:
    """Every result whose stages each have only one edition."""
    return [
        (run, outcome)
        for run in runs
        for metric in metrics
        for outcome in _outcomes(run, metric)
        if outcome.standing in ("finished", "diverged", "probe diverged") and not outcome.mixed
    ]


def _outcomes(run: Run, metric: Metric | Literal["train/loss"]) -> Iterator[RunOutcome]:
    """The run's outcome for a metric, or one of each task that measures it if there are several."""
    several = [name for name in run.recipe.tasks if run.behind(metric, name)]
    if len(several) > 1 and not run.behind(metric):
        yield from (run.outcome(metric, name) for name in several)
    else:
        yield run.outcome(metric)


def _most(named: Iterable[tuple[str, str]]) -> str:
    """The most frequent name in (name, time). A tie goes to the newest, then to the greatest
    name."""
    seen = list(named)
    counts = Counter(name for name, _ in seen)
    return max(seen, key=lambda one: (counts[one[0]], one[1], one[0]))[0]
