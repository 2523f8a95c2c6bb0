"""Deviations of a table's protocol from the paper's, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.recipe.reference import papers
from harness.report.collect import Results
from harness.report.evaluation_protocol import deviation, protocol_of
from harness.report.measures import measure
from harness.report.recipe_facts import differing, facts, schedule
from harness.report.scale import concerns_paper, is_papers_scale, traits


def deviations(results: Results) -> list[str]:
    """Everything that differs from the paper: the metric, the runs' properties, the evaluation. Of
    an ablation without a paper, how its runs began and what was done to their images.

    Cells are compared with the same cells at the scale of the printed numbers, if there are any.
    Then what a table varies on purpose is no deviation, and any other difference is one.
    """
    lines: list[str] = []
    ablation = results.ablation
    if ablation is not None and not ablation.of_paper:
        lines = [*_begun(results), *_packing(results)]
        return [line[:1].upper() + line[1:] for line in lines]
    printed = {column.metric for column in ablation.columns} if ablation is not None else set()
    if ablation is not None and results.metric not in {ablation.metric, *printed}:
        lines.append(
            f"Judged by {measure(results.metric).label}; "
            f"the paper by {measure(ablation.metric or results.metric).label}."
        )
    at_the_papers = concerns_paper(results) and (ablation is None or ablation.printed_at == "paper")
    if results.reference_pairs:
        lines += _from_references(results)
    elif at_the_papers:
        lines += [
            f"{t.what}: {t.here} (the papers: {t.papers})." for t in traits(results) if t.differs
        ]
    elif ablation is not None and not is_papers_scale(results):
        lines.append(f"The numbers were printed at another scale: {ablation.setting}.")
    if at_the_papers:
        lines += _probe(results)
    lines += _task(results)
    lines += _begun(results)
    lines += _packing(results)
    return [line[:1].upper() + line[1:] for line in lines]


def _from_references(results: Results) -> list[str]:
    """Each fact that differs from the same cell at the paper's scale, with the cells concerned.

    The papers' kNN settings count only where their numbers are kNN accuracies.
    """
    assert results.ablation is not None
    pairs = results.reference_pairs
    ours_to_choose = () if results.ablation.metric == "knn/top1" else ("knn",)
    found = [(cell.label, differing(a, b, ours_to_choose)) for cell, a, b in pairs]
    order = dict.fromkeys(what for _, a, b in pairs for each in (a, b) for what in facts(each))
    lines = []
    for what in order:
        cells: dict[str, list[str]] = {}
        for name, differs in found:
            if what in differs:
                ours, theirs = differs[what]
                cells.setdefault(f"{ours} (paper's scale: {theirs})", []).append(f"“{name}”")
        parts = [
            words + (f" in {_listed(names)}" if len(names) < len(found) else "")
            for words, names in cells.items()
        ]
        if parts:
            lines.append(f"{what}: {'; '.join(parts)}.")
    return lines


def _listed(labels: list[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def _begun(results: Results) -> list[str]:
    """Runs that started from given weights or from another run: their epochs are not the whole
    training."""
    found: dict[str, None] = {}
    for run in results.runs:
        recipe, given, epochs = run.recipe, run.given, run.recipe.optim.epochs
        who = f"“{run.cell or recipe.name}”"
        if epochs and recipe.model.weights is not None:
            named = given.get("file") or given["run"]
            found[f"{who} started from the weights of {named}, not from random ones."] = None
        if recipe.continue_from is not None:
            found[
                f"{who} continues {given['run']}{_before(run.continues)}: {schedule(recipe)}, "
                f"learning rate {recipe.optim.lr:g}, to epoch {epochs}. It is not one run of "
                f"{epochs} epochs."
            ] = None
    return list(found)


def _before(continues: Mapping[str, Any]) -> str:
    """Length and schedule of the earlier run that a run continues."""
    optim = continues.get("optim")
    if not isinstance(optim, Mapping):
        return ""
    kind = optim["schedule"]["kind"]
    epochs = f"{optim['epochs']} epochs, {kind}, learning rate {optim['lr']:g}"
    return f" from its step {continues['step']} ({epochs})"


def _packing(results: Results) -> list[str]:
    """Images that were resized or left out before training."""
    found: dict[str, None] = {}
    for run in results.runs:
        data = (run.stages["pretrain"].entry.result or {}).get("data")
        if isinstance(data, dict) and (said := data.get("packing")):
            found[f"images {said}."] = None
        out = data.get("left_out") if isinstance(data, dict) else None
        if isinstance(out, dict) and (count := out.get("images")):
            found[f"broken images left out: {count}."] = None
    return list(found)


def _probe(results: Results) -> list[str]:
    """Differences between the linear probe and the papers'."""
    lines: dict[str, None] = {}
    reference = next(iter(papers().recipes.values()), None)
    if reference is None:
        return []
    theirs = protocol_of(reference, "linear/top1")
    for run in results.runs:
        parts = []
        for field, value in protocol_of(run.recipe, "linear/top1").items():
            # ours may be a task's: tasks.NAME.epochs
            papers_own = theirs.get(f"linear.{field.rpartition('.')[2]}")
            if papers_own != value:
                parts.append(f"{field} {value} ({papers_own})")
        if parts:
            lines[f"linear probe (papers' values in brackets): {', '.join(parts)}."] = None
    return list(lines)


def _task(results: Results) -> list[str]:
    """Where the task under `tasks:` that a table is judged by differs from the same cell's at the
    scale of the printed numbers."""
    found: dict[str, list[str]] = {}
    there = [cell for cell in results.cells if cell.runs and cell.id in results.references]
    for cell in there:
        theirs = protocol_of(results.references[cell.id], results.metric)
        other = deviation(results.protocol(cell), theirs)
        if theirs and other and all(field.startswith("tasks.") for field in theirs):
            parts = (f"{field} {value} ({theirs.get(field)})" for field, value in other.items())
            found.setdefault(", ".join(parts), []).append(f"“{cell.label}”")
    return [
        f"task (paper's values in brackets): {parts}"
        + (f" in {_listed(names)}." if len(names) < len(there) else ".")
        for parts, names in found.items()
    ]


def notes(results: Results) -> list[str]:
    """Notes of the scale and of the recipes."""
    found = list(results.scale.about.notes) if results.scale is not None else []
    for run in results.runs:
        found += run.recipe.about.notes
    return list(dict.fromkeys(found))
