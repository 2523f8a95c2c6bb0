"""A report's files: report.md, report.html, its figures, and results.json for other programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from harness.report import figures, html, markdown
from harness.report.blocks import Figure
from harness.report.claims import Judgement, judge
from harness.report.collect import CellResult, Results
from harness.report.document import compose
from harness.report.runs import METRIC_STAGE, Run
from harness.report.tables import measured
from harness.store import atomic

FORMAT = 2
"""Of results.json; raised when the meaning of a key changes."""


def write_report(results: Results, out: Path) -> list[Path]:
    """Write the report into the folder `out`; the same results give the same bytes.

    Returns:
        The files, report.md and report.html first.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    judgements = judge(results)
    document = compose(results, judgements)
    files = {"report.md": markdown.render(document), "report.html": html.render(document)}
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Figure):
                files[f"{block.name}.svg"] = figures.standalone(block.svg, block.alt)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise atomic.explain(error, out) from error
    numbers = as_json(results, judgements)
    files["results.json"] = (
        json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )
    for name, text in files.items():
        # a message may hold half a character; no report is worth losing for it
        atomic.write(out / name, partial(_fill, text.encode(errors="replace")))
    return [out / name for name in files]


def _fill(data: bytes, file: BinaryIO) -> None:
    file.write(data)


def as_json(results: Results, judgements: list[Judgement]) -> dict[str, Any]:
    """The report's numbers, states and verdicts as plain JSON values."""
    return {
        "format": FORMAT,
        "name": results.name,
        "title": results.title,
        "metric": results.metric,
        "seeds": list(results.seeds),
        "margin": results.margin,
        "basis": None
        if results.basis is None
        else {
            "edition": results.basis.edition,
            "data": sorted(set(results.basis.fingerprints.values())),
        },
        "cells": [_cell(results, cell) for cell in results.cells],
        "claims": [
            {
                "id": each.claim.id,
                "kind": each.claim.kind,
                "says": each.claim.says,
                "verdict": each.verdict,
                "evidence": each.evidence,
                "in_words": each.words,
                "comparisons": _comparisons(each),
            }
            for each in judgements
        ],
        "warnings": list(results.warnings),
    }


def _comparisons(judgement: Judgement) -> list[dict[str, Any]]:
    """What the claim says of each pair of cells, and the seed-paired differences found."""
    ruling = judgement.ruling
    if ruling is None:
        return []
    return [
        {
            **asdict(each.statement),
            "differences": list(each.differences),
            "diverged": {"cell": each.lost, "over": each.won},
            "p_if_false": each.p_false,
            "p_if_true": each.p_true,
            "level": ruling.level or None,
        }
        for each in ruling.evidence.comparisons
    ]


def _cell(results: Results, cell: CellResult) -> dict[str, Any]:
    metrics = {}
    for metric in measured(results):
        summary = results.summary(cell, metric)
        difference = results.difference(cell, metric)
        metrics[metric] = {
            "summary": None if summary is None else asdict(summary),
            "to_untrained": None if difference is None else asdict(difference),
            "seeds": [
                {"seed": v.seed, "state": v.standing, "value": v.value, "detail": v.detail}
                for v in results.values(cell, metric)
            ],
        }
    return {
        "id": cell.id,
        "label": cell.label,
        "printed": cell.printed,
        "metrics": metrics,
        "runs": [_run(run) for run in cell.runs],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "seed": run.seed,
        "recipe": run.recipe_digest,
        "stages": {
            kind: {
                "id": stage.id,
                "state": stage.state,
                "editions": list(stage.editions),
                "data": stage.fingerprint,
                "commit": _commit(stage.attempt),
                "values": stage.values,
            }
            for kind, stage in run.stages.items()
        },
        "outcomes": {metric: run.outcome(metric).standing for metric in METRIC_STAGE},
    }


def _commit(attempt: dict[str, Any]) -> dict[str, Any]:
    code = attempt.get("code")
    return {key: code.get(key) for key in ("commit", "dirty")} if isinstance(code, dict) else {}
