"""Provenance of every number in a report: run folders, code, data, machine, jobs, cost."""

from __future__ import annotations

from collections.abc import Iterable

from harness.report.collect import CellResult, Results
from harness.report.runs import WORDS, Run, Stage
from harness.report.table import Column, Row, Table, Text
from harness.report.table_text import NOTHING
from harness.spec.registry import launchers, task_of
from harness.store import certificate
from harness.store.edition import subject
from harness.store.provenance import changes


def provenance_table(results: Results, environments: list[str]) -> Table:
    """One row for each run: the folders, code, data, machine and jobs behind its numbers.

    `environments` collects the descriptions of machines and packages, which rows refer to by
    number.
    """
    head = ("cell, seed, recipe", "state, values in %", "stages", "code", "data, machine", "jobs")
    rows = tuple(
        _provenance_row(results, cell, run, environments)
        for cell in results.cells
        for run in cell.runs
    )
    return Table(tuple(map(Column, head)), rows, cards=True)


def _provenance_row(results: Results, cell: CellResult, run: Run, environments: list[str]) -> Row:
    present = [stage for stage in run.stages.values() if stage.state != "absent"]
    seconds = sum(stage.seconds for stage in run.stages.values())
    stale = any(results.value(run, metric).standing == "stale" for metric in task_of())
    numbers = [
        f"{metric} {value:.2f}"
        for metric in task_of()
        if (value := run.outcome(metric).value) is not None
    ]
    time = [duration(seconds)] if seconds else []
    state = "\n".join([*_states(run), *numbers, *time, *(["stale"] if stale else [])])
    machines = [_number(environment(stage), environments) for stage in present if stage.attempt]
    return Row(
        (
            Text(f"{cell.id}, seed {run.seed}\n{run.recipe_digest}", target=f"cell-{cell.id}"),
            Text(state, "unsure" if stale or "finished" not in state else "plain"),
            Text("\n".join(stage.id for stage in present) or NOTHING, "code"),
            Text(_distinct(_code(stage) for stage in present), "code"),
            Text(_distinct([*(_data(stage) for stage in present), *machines]), "code"),
            Text(_distinct(job for stage in present for job in _jobs(stage)), "code"),
        ),
        run.anchor,
    )


def _states(run: Run) -> list[str]:
    """The states of the stages, as one word if they are all the same, with the reason of each
    failure."""
    states = {stage.state for stage in run.stages.values()}
    if len(states) == 1 and not any(s.entry.detail for s in run.stages.values()):
        return [WORDS.get(word, word) for word in states]
    lines = []
    for stage in run.stages.values():
        if stage.state == "absent" and run.stages["pretrain"].state != "finished":
            continue  # this stage is not meant to run
        detail = f" ({stage.entry.detail})" if stage.entry.detail else ""
        lines.append(f"{stage.kind}: {WORDS.get(stage.state, stage.state)}{detail}")
    return lines or [WORDS["absent"]]


def _distinct(texts: Iterable[str]) -> str:
    lines = (line for text in texts for line in text.split("\n") if line)
    return "\n".join(dict.fromkeys(lines)) or NOTHING


def _code(stage: Stage) -> str:
    code = stage.attempt.get("code")
    code = code if isinstance(code, dict) else {}
    why = f" ({code['why']})" if code.get("why") else ""
    commit = str(code.get("commit") or "")[:12] or f"no commit known{why}"
    said = "clean" if code.get("dirty") is False else changes(code)
    tree = f", {said}" if said else ""
    return f"edition {' + '.join(stage.editions) or 'unknown'}\n{commit}{tree}"


def _data(stage: Stage) -> str:
    data = stage.entry.data or stage.attempt.get("data")
    name = str(data.get("name", "")) if isinstance(data, dict) else ""
    return " ".join(part for part in (name, stage.data_fingerprint) if part)


def environment(stage: Stage) -> str:
    """Machine, Python and packages of a stage's attempt, in one line."""
    machine = stage.attempt.get("machine")
    machine = machine if isinstance(machine, dict) else {}
    packages = stage.attempt.get("packages")
    packages = packages if isinstance(packages, dict) else {}
    facts = [
        ", ".join(
            str(machine[key]) for key in ("host", "device", "cpu", "system") if machine.get(key)
        ),
        ", ".join(f"{key} {machine[key]}" for key in ("cores", "threads") if machine.get(key)),
        f"Python {stage.attempt['python']}" if stage.attempt.get("python") else "",
        ", ".join(f"{name} {version}" for name, version in sorted(packages.items())),
    ]
    return "; ".join(fact for fact in facts if fact)


def _number(text: str, known: list[str]) -> str:
    if not text:
        return ""
    if text not in known:
        known.append(text)
    return f"E{known.index(text) + 1}"


def _jobs(stage: Stage) -> list[str]:
    """The launcher's job and the trackers' runs, if there are any."""
    found = []
    for kind, each in launchers().items():
        said = stage.attempt.get(kind)
        if each.variables and isinstance(said, dict) and (job := said.get(each.variables[0])):
            found.append(f"{each.title} {job}")
    return [*found, *stage.mirrors]


def duration(seconds: float) -> str:
    """Seconds in a readable unit, e.g. "2.5 h"."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (float("inf"), "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}" if size == 1 else f"{seconds / size:.1f} {unit}"
    raise AssertionError("unreachable")


def certificates(results: Results) -> list[str]:
    """One sentence for each certificate of the table's edition, or a sentence that there is
    none."""
    what = subject("pretrain", "moco")
    known = results.comparability.editions[what] if results.comparability is not None else ""
    edition = known or results.installed[what]
    stages = [stage for run in results.runs for stage in run.stages.values()]
    found = certificate.of(stages[0].entry.folder.path.parent, edition) if stages else []
    if not found:
        return [f"Edition {edition} is uncertified: moco-harness certify was not run here."]
    words = {True: "is certified", False: "is not certified"}
    return [f"Edition {edition} {words[each.passed]}: {each.says}." for each in found]


def fingerprints(results: Results) -> list[str]:
    """Fingerprints of the data behind the table's numbers."""
    shared = results.comparability
    if shared is None:
        return []
    keys = dict.fromkeys(run.data_key for run in results.runs)
    return [shared.fingerprints[key] for key in keys if key in shared.fingerprints]
