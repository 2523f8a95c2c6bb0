"""Runs of a table that may be copies of one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.report.runs import Run
from harness.store.ledger import beside
from harness.store.validity import copies, why_copy


def mark_copies(runs: Sequence[Run]) -> list[Run]:
    """The runs, with a mark on those that share a value unique to one run: one of them is a
    copy."""
    of = {stage.id: run for run in runs for stage in run.stages.values()}
    stages = {stage.id: stage.entry for run in runs for stage in run.stages.values()}
    done = {id_: (entry.described, entry.result) for id_, entry in stages.items() if entry.result}
    for root in {stages[id_].folder.path.parent for id_ in done}:
        done = beside(root, stages) | done
    found = copies(done)
    told = []
    for run in runs:
        shared = (found[stage.id] for stage in run.stages.values() if stage.id in found)
        what, others = next(shared, ("", ()))
        named = dict.fromkeys(of[id_].name if id_ in of else id_ for id_ in others)
        told.append(replace(run, copied=why_copy(what, named)) if what else run)
    return told
