"""Where a table's protocol departs from the paper's, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.recipe.schema import Linear, Recipe
from harness.report.collect import Results
from harness.report.facts import NONE, facts, schedule
from harness.report.protocols import Protocol, protocol
from harness.report.setting import NAMES, is_papers_scale, traits


def deviations(results: Results) -> list[str]:
    """The metric, then every property of the runs, then the evaluation, that is not the paper's.

    Cells are held against the same cells at the scale of the printed numbers where there are any:
    what a table varies on purpose is then no deviation, and everything else is one.
    """
    lines = []
    ablation = results.ablation
    if ablation is not None and ablation.metric != results.metric:
        lines.append(f"Judged by {NAMES[results.metric]}; the paper by {NAMES[ablation.metric]}.")
    at_the_papers = ablation is None or ablation.printed_at == "paper"
    if results.pairs:
        lines += _from_counterparts(results)
    elif at_the_papers:
        lines += [
            f"{t.what}: {t.here} (the papers: {t.papers})." for t in traits(results) if t.differs
        ]
    elif ablation is not None and not is_papers_scale(results):
        lines.append(f"The numbers were printed at another scale: {ablation.setting}.")
    if at_the_papers:
        lines += _probe(results)
    lines += _begun(results)
    lines += _packing(results)
    return [line[:1].upper() + line[1:] for line in lines]


def _from_counterparts(results: Results) -> list[str]:
    """Each fact that differs from the same cell's at the paper's scale, with the cells concerned.

    The papers' kNN counts only where their numbers are kNN's.
    """
    assert results.ablation is not None
    told = [(cell, facts(ours), facts(theirs)) for cell, ours, theirs in results.pairs]
    lines = []
    for what in dict.fromkeys(what for _, *both in told for each in both for what in each):
        if "kNN" in what and results.ablation.metric != "knn/top1":
            continue
        differing: dict[str, list[str]] = {}
        for cell, here, there in told:
            ours, theirs = here.get(what, NONE), there.get(what, NONE)
            if ours != theirs:
                words = f"{ours} (paper's scale: {theirs})"
                differing.setdefault(words, []).append(f"“{cell.label}”")
        parts = [
            words + (f" in {_listed(labels)}" if len(labels) < len(told) else "")
            for words, labels in differing.items()
        ]
        if parts:
            lines.append(f"{what}: {'; '.join(parts)}.")
    return lines


def _listed(labels: list[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def _begun(results: Results) -> list[str]:
    """Runs that trained on from given weights or another run: no runs of their epochs."""
    found: dict[str, None] = {}
    for run in results.runs:
        recipe, given, epochs = run.recipe, run.given, run.recipe.optim.epochs
        who = f"“{run.cell or recipe.name}”"
        if epochs and recipe.model.weights is not None:
            named = given.get("file") or given["run"]
            found[f"{who} began with the weights of {named}, not with drawn ones."] = None
        if recipe.continue_from is not None:
            found[
                f"{who} continues {given['run']}{_before(run.continues)}; from there: "
                f"{schedule(recipe)}, learning rate {recipe.optim.lr:g}, to epoch {epochs}. It is "
                f"not a run of {epochs} epochs from the start."
            ] = None
    return list(found)


def _before(continues: Mapping[str, Any]) -> str:
    """How long the run that another continues was, and by which schedule."""
    optim = continues.get("optim")
    if not isinstance(optim, Mapping):
        return ""
    kind = optim["schedule"]["kind"]
    epochs = f"{optim['epochs']} epochs, {kind}, learning rate {optim['lr']:g}"
    return f" from its step {continues['step']} on ({epochs})"


def _packing(results: Results) -> list[str]:
    """Images that were made smaller, or left out, before the runs saw them."""
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
    """The linear probe beside the papers', which the recipe's defaults are."""
    lines: dict[str, None] = {}
    for run in results.runs:
        ours = protocol(run.recipe, "linear/top1")
        theirs = _papers(run.recipe)
        other = {field: value for field, value in ours.items() if theirs[field] != value}
        if other:
            parts = (f"{field} {value} ({theirs[field]})" for field, value in other.items())
            lines[f"linear probe (in brackets the papers'): {', '.join(parts)}."] = None
    return list(lines)


def _papers(recipe: Recipe) -> Protocol:
    return protocol(recipe.model_copy(update={"linear": Linear()}), "linear/top1")


def notes(results: Results) -> list[str]:
    """What the scale and the recipes say of themselves."""
    found = list(results.scale.about.notes) if results.scale is not None else []
    for run in results.runs:
        found += run.recipe.about.notes
    return list(dict.fromkeys(found))
