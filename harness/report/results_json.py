"""A report's numbers, states and verdicts as plain JSON values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from harness.output import escaped_json
from harness.recipe.claims import Beats, NotWorse
from harness.recipe.identity import specs
from harness.recipe.reported import is_measured
from harness.recipe.schema import Data
from harness.report import provenance
from harness.report.blocks import Figure
from harness.report.claims import Judgement, verdict_counts
from harness.report.collect import CellResult, Results
from harness.report.comparison import JUDGED
from harness.report.corruptions import corruptions
from harness.report.cost import costs
from harness.report.decision_rule import Bounded
from harness.report.deviations import deviations
from harness.report.evidence import outcome
from harness.report.measures import measure
from harness.report.preregistration import preregistration
from harness.report.printed_numbers import printed_numbers
from harness.report.protocol_lines import holds, of_metric, stage_words
from harness.report.results_table import results_table
from harness.report.runs import Run, Stage
from harness.report.scale import is_papers_scale, one_line
from harness.report.sequential_design import design_of
from harness.report.tables import Measured, all_measured
from harness.spec.registry import task, task_of
from harness.store.ledger import OWN_DATA
from harness.store.provenance import changes

FORMAT = 7
"""Version of results.json; raised when the meaning of a key changes."""


Report = dict[str, Any]
"""The content of results.json."""

FILE = "results.json"


def as_json(
    results: Results, judgements: list[Judgement], figures: Sequence[Figure]
) -> dict[str, Any]:
    """The report's numbers, states and verdicts as plain JSON values."""
    table, fixed = results_table(results), preregistration(results)
    return {
        "format": FORMAT,
        "name": results.name,
        "title": results.title,
        "ablation": None if results.ablation is None else results.ablation.name,
        "paper": results.ablation.paper if results.ablation is not None else "",
        "metric": results.metric,
        "printed_metric": results.ablation.metric if results.ablation is not None else None,
        "seeds": list(results.seen_seeds),
        "margin": results.margin,
        "alpha": results.scale.alpha if results.scale is not None else None,
        "looks": list(design_of(results.scale).analyses) if results.scale is not None else [],
        "unit": measure(results.metric).unit,
        "scale": {
            "level": results.scale.level if results.scale is not None else None,
            "papers": is_papers_scale(results),
            "here": one_line(results),
            "data": sorted({stage_data for run in results.runs for stage_data in _data(run)}),
        },
        "preregistered": None if fixed is None else asdict(fixed),
        "basis": None
        if results.comparability is None
        else {
            "edition": str(results.comparability.editions),
            "data": sorted(set(results.comparability.fingerprints.values())),
        },
        "cells": [
            _cell(results, cell, measured)
            for cell, measured in zip(results.cells, all_measured(results, table), strict=True)
        ],
        **({"corruptions": found} if (found := [*map(asdict, corruptions(results))]) else {}),
        "claims": [
            {
                "id": each.claim.id,
                "kind": each.claim.kind,
                "by": each.claim.by,
                "says": each.claim.says,
                "printed": _printed(results, each),
                "verdict": each.verdict,
                "evidence": each.evidence,
                "in_words": each.words,
                "comparisons": _comparisons(each),
                "decisive": _decisive(each),
                "preconditions": _preconditions(each),
            }
            for each in judgements
        ],
        "verdicts": verdict_counts(judgements),
        "discussion": list(results.scale.discussion) if results.scale is not None else [],
        "deviations": deviations(results),
        "cost": [asdict(cost) for cost in costs(results.runs)],
        "commits": _distinct(commit for run in results.runs for commit in _commits(run)),
        "environments": _distinct(
            provenance.environment(stage)
            for run in results.runs
            for stage in run.stages.values()
            if stage.attempt
        ),
        "figures": [f"{figure.name}.svg" for figure in figures],
        "warnings": list(results.warnings),
        "not_of_this_table": list(results.unrelated),
    }


def figure_numbers(figures: Sequence[Figure]) -> str:
    """The numbers in the figures, one series per line, to six digits."""
    lines = []
    for figure in figures:
        for each in figure.data:
            points = [
                [None if value is None else float(f"{value:.6g}") for value in point]
                for point in each.points
            ]
            said = {"figure": figure.name, "series": each.label, "columns": each.columns}
            line = json.dumps({**said, "points": points}, ensure_ascii=False)
            lines.append(escaped_json(line))
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def _commits(run: Run) -> Iterator[str]:
    for stage in run.stages.values():
        commit = _commit(stage.attempt)
        if commit.get("commit"):
            yield f"{commit['commit']} {changes(commit)}".rstrip()


def _data(run: Run) -> Iterator[str]:
    """The names of the data that its stages with a result read."""
    for name, asked in specs(run.recipe).items():
        if run.stages[name].entry.result is None:
            continue
        yield _name(asked.data(run.recipe))
        said = run.recipe.tasks[asked.under].inputs() if asked.under else {}
        yield from (said[field] for field in OWN_DATA if field in said)


def _name(data: Data) -> str:
    return data.folder or data.name


def _printed(results: Results, judged: Judgement) -> dict[str, Any] | None:
    """The paper's numbers of the cells that the claim names, of what it was judged by if the paper
    printed that too; None if it printed none."""
    ablation, claim = results.ablation, judged.claim
    if ablation is None or not ablation.of_paper:
        return None
    own = claim.metric if isinstance(claim, Beats | NotWorse) else None
    own = own or (results.metric if judged.decision is not None else None)
    metric, found = printed_numbers(ablation, [cell for _, cell in claim.named()], own)
    if metric is None or not found:
        return None
    return {
        "metric": measure(metric).label,
        "approximate": bool(ablation.uncertainty),
        "values": found,
    }


def _comparisons(judgement: Judgement) -> list[dict[str, Any]]:
    """What the claim compares, the values by seed, what their interval shows, and what it must show
    for the claim to be reproduced."""
    decision = judgement.decision
    if decision is None:
        return []
    needs = decision.criterion.needs
    return [
        {
            **_compared(decision.evidence[each]),
            "claimed": [finding for stated, finding in needs if stated == each],
        }
        for each in decision.criterion.compared
    ]


def _decisive(judgement: Judgement) -> int | None:
    """The index of the comparison that decides the claim, or would; None without any."""
    decision = judgement.decision
    if decision is None or not decision.evidence:
        return None
    stated = decision.decisive().comparison.statement
    return decision.criterion.compared.index(stated)


def _preconditions(judgement: Judgement) -> list[dict[str, Any]]:
    """The cells that must have learned something, against the untrained network."""
    decision = judgement.decision
    if decision is None:
        return []
    return [_compared(decision.evidence[each]) for each in decision.criterion.learned]


def _compared(found: Bounded) -> dict[str, Any]:
    compared, stated = found.comparison, found.comparison.statement
    low, high = (bound if math.isfinite(bound) else None for bound in (found.low, found.high))
    return {
        "cell": stated.cell,
        "over": stated.over,
        "metric": None if stated.measure == JUDGED else stated.measure,
        "margin": stated.better,
        "alike": stated.within,
        "test": "welch" if stated.welch else "paired",
        "values": [list(pair) for pair in zip(compared.ours, compared.theirs, strict=True)],
        "diverged": {"cell": compared.lost, "over": compared.won},
        "mean": compared.estimate.mean if compared.estimate is not None else None,
        "low": low,
        "high": high,
        "levels": list(found.levels),
        "outcome": outcome(found),
    }


def _cell(results: Results, cell: CellResult, measured: list[Measured]) -> dict[str, Any]:
    further: dict[str, dict[str, Any]] = {}
    for each in measured:
        further.setdefault(each.under, {})[each.metric] = _metric(cell, each)
    metrics = further.pop("", {})
    return {
        "id": cell.id,
        "label": cell.label,
        "printed": cell.printed,
        "data": sorted({_name(run.recipe.data) for run in cell.runs}),
        "metrics": metrics,
        **({"further": further} if further else {}),
        "runs": [_run(results, run) for run in cell.runs],
    }


def _metric(cell: CellResult, measured: Measured) -> dict[str, Any]:
    found, control = measured.ours, measured.control
    words = (of_metric(run, measured.metric, measured.under) for run in cell.runs)
    return {
        "summary": None if found.summary is None else asdict(found.summary),
        "protocol": found.protocol,
        "measured": [*dict.fromkeys(filter(None, words))],
        "to_untrained": None if control is None else asdict(control),
        "seeds": [
            {"seed": v.seed, "state": v.standing, "value": v.value, "detail": v.detail}
            for v in found.seeds
        ],
    }


def _run(results: Results, run: Run) -> dict[str, Any]:
    further = {said.kind for said in run.recipe.tasks.values()}
    return {
        "seed": run.seed,
        "recipe": run.recipe_digest,
        "weights": run.given or None,
        "stages": {
            kind: {
                "id": stage.id,
                "state": stage.state,
                "editions": list(stage.editions),
                "data": stage.data_fingerprint,
                "commit": _commit(stage.attempt),
                "values": stage.values,
                **_measured(results, run, stage),
            }
            for kind, stage in run.stages.items()
        },
        "outcomes": {
            metric: run.outcome(metric).standing
            for metric, kind in task_of().items()
            if is_measured(metric, run.recipe.data) and (task(kind).section or kind in further)
        },
    }


def _measured(results: Results, run: Run, stage: Stage) -> dict[str, str]:
    words = stage_words(run, stage, interval=holds(results, run, stage))
    return {"measured": words} if words else {}


def _commit(attempt: dict[str, Any]) -> dict[str, Any]:
    code = attempt.get("code")
    return {key: code.get(key) for key in ("commit", "dirty")} if isinstance(code, dict) else {}
