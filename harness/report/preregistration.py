"""Preregistration: was what decides a table committed before its first run began?

`publish` finds the commit (`harness.report.preregistration_history`) and keeps it with the records.
Whoever makes the report again needs no git: what decides is computed anew and compared with what
was committed, and the starts of the runs are read from the records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import harness
from harness.recipe.ablation import Ablation, Scale
from harness.recipe.identity import canonical, digest, specs, stage_id
from harness.recipe.schema import Recipe
from harness.report.collect import Results
from harness.report.published import published
from harness.report.runs import Run
from harness.report.sequential_design import design_of
from harness.report.testable import printed_rows
from harness.store import atomic
from harness.store.edition import without_words

KEY = "preregistered"
"""In the mark of published records: the record that `preregistration_history.committed` makes."""

RULE = (
    "recipe/judging.py",
    "report/claim_statements.py",
    "report/comparison.py",
    "report/decision_rule.py",
    "report/preconditions.py",
    "report/sequential_design.py",
    "report/statistics.py",
    "report/testable.py",
)
"""The code of the decision rule; paths in the package."""

WHAT = "recipe, claims, margins, seeds and looks"
WITHOUT_CLAIMS = "recipe and seeds"

Standing = Literal["before", "after", "not committed", "unknown"]


@dataclass(frozen=True)
class Preregistration:
    """What a published table shows about the order of its plan and its runs."""

    what: str
    """What decides the table, in words."""
    standing: Standing
    """before: every run began after the commit. after: some run began before it. not committed: no
    commit has what decides this table. unknown: there was no git, or a start is not recorded."""
    why: str
    """Why it is unknown or not committed; "" otherwise."""
    commit: str
    """Since when nothing that decides has changed; "" if there is none."""
    committed: str
    """UTC, ISO 8601, as git has it."""
    first_run: str
    """Start of the first run (UTC, ISO 8601) by the records; "" if not recorded."""
    runs: int
    """How many runs were made; an incomplete table has fewer than its plan."""
    began_before: int
    """How many of them began before the commit."""
    of_runs: Mapping[str, bool | None]
    """Commit that runs were made with -> whether it contains `commit`; None: not in the checkout.
    """
    rule_changed: tuple[str, ...] | None
    """Files of the decision rule whose code is no longer that of the commit; None: there are no
    claims, or the harness is not part of that checkout."""
    reworded: tuple[str, ...]
    """Claims whose words or source are no longer those of the commit. Neither decides a verdict."""


def deciding(
    recipes: Mapping[str, Recipe],
    seeds: tuple[int, ...],
    scale: Scale | None,
    ablation: Ablation | None,
) -> str:
    """Digest of all that decides a table's numbers and verdicts; titles, costs, targets and the
    words of claims and discussions, and whose they are, do not.

    Args:
        recipes: cell -> its recipe, with any seed.
        seeds: of every cell, without those that later looks add.
    """
    stages = {
        cell: {name: _hash(each, name, seeds[0]) for name in specs(each)}
        for cell, each in sorted(recipes.items())
    }
    if scale is None or ablation is None:
        return _sha256({"stages": stages, "seeds": seeds})
    design = design_of(scale)
    claims = {
        each.id: {
            **each.model_dump(mode="json", exclude={"says", "by"}, exclude_defaults=True),
            "judged": [design.better(each.id), design.alike(each.id), design.welch(each.id)],
        }
        for each in ablation.claims
    }
    return _sha256(
        {
            "stages": stages,
            "seeds": design.seeds,
            "analyses": design.analyses,
            "alpha": [design.alpha_at(n) for n in range(len(design.analyses))],
            "metric": scale.metric,
            "level": [scale.level, ablation.printed_at],
            "spread": scale.spread,
            "untestable": sorted(scale.untestable),
            "claims": claims,
            "printed": printed_rows(ablation, scale.metric),
        }
    )


def deciding_results(results: Results) -> str:
    """As `deciding`, of a table's results, so of the recipes as they are now."""
    recipes = {cell.id: cell.runs[0].recipe for cell in results.cells if cell.runs}
    if results.scale is None:  # a recipe of one run, perhaps with its control
        recipes = {"": results.cells[0].runs[0].recipe}
    return deciding(recipes, results.seeds, results.scale, results.ablation)


def words(ablation: Ablation | None) -> dict[str, str]:
    """Claim -> digest of its words, and of whose they are."""
    claims = () if ablation is None else ablation.claims
    return {each.id: digest([each.by, each.says]) for each in claims}


def rule_code(text: str) -> str:
    """Digest of a file of the decision rule, without comments and docstrings."""
    return hashlib.sha256(without_words(text).encode()).hexdigest()[:12]


def commits_of(results: Results) -> list[str]:
    """The commits that the runs' stages were made with, each once."""
    codes = [s.attempt.get("code") for run in results.runs for s in run.stages.values()]
    found = (str(code.get("commit") or "") for code in codes if isinstance(code, dict))
    return sorted({commit for commit in found if commit})


def preregistration(results: Results) -> Preregistration | None:
    """What the published records show; None if the results are not of published records, or of
    records that say nothing about it.

    Raises:
        StoreError: the records' mark is damaged.
    """
    stages = [stage for run in results.runs for stage in run.stages.values()]
    mark = (published(stages[0].entry.folder.path.parent) if stages else None) or {}
    record = mark.get(KEY)
    if not isinstance(record, dict):
        return None
    commit, at = str(record.get("commit") or ""), str(record.get("committed") or "")
    why = str(record.get("why") or "")
    made = [run for run in results.runs if any(s.state != "absent" for s in run.stages.values())]
    starts = [_start(run) for run in made]
    before = sum(1 for start in starts if start and commit and start <= at)
    standing: Standing = "after" if before else "before"
    if not commit:
        standing = "unknown" if record.get("unknown") else "not committed"
    elif record.get("digest") != deciding_results(results):
        standing, why = "not committed", f"it was changed after commit {commit[:7]} ({clock(at)})"
    elif not before and not all(starts):
        missing = sum(1 for start in starts if not start)
        standing, why = "unknown", f"the start of {missing} of {len(starts)} runs is not recorded"
    said = record.get("says") or {}
    now = words(results.ablation)
    return Preregistration(
        what=WHAT if results.scale is not None else WITHOUT_CLAIMS,
        standing=standing,
        why=why,
        commit=commit,
        committed=at,
        first_run=min(filter(None, starts), default=""),
        runs=len(starts),
        began_before=before,
        of_runs=dict(record.get("of_runs") or {}),
        rule_changed=_changed(record.get("rule")) if results.scale is not None else None,
        reworded=tuple(sorted(name for name in said if name in now and said[name] != now[name])),
    )


def statement(found: Preregistration) -> tuple[str, str]:
    """(label, text) of the notice about it."""
    label = {
        "before": "Fixed before the runs",
        "after": "Not fixed before the runs",
        "not committed": "Not fixed before the runs",
        "unknown": "Not known whether this was fixed before the runs",
    }[found.standing]
    return label, " ".join(_sentences(found))


def _sentences(found: Preregistration) -> Iterator[str]:
    close = clock(found.committed) == clock(found.first_run)
    since = f"{found.commit[:7]} ({clock(found.committed, seconds=close)})"
    first = clock(found.first_run, seconds=close)
    if found.standing == "before":
        yield (
            f"This table's {found.what} were committed in {since} before the first run began "
            f"({first}), and have not changed since."
        )
    elif found.standing == "after":
        yield (
            f"This table's {found.what} last changed in commit {since}; {found.began_before} of "
            f"{found.runs} runs began before it, the first {first}."
        )
    else:
        if found.commit:
            yield f"Commit {since} has this table's {found.what}, but {found.why}."
        else:
            yield f"No commit is known that has this table's {found.what}: {found.why}."
        if first:
            yield f"The first run began {first}."
    if found.standing in ("before", "after"):
        yield from _ancestry(found)
        if found.rule_changed:
            files = " ".join(f"harness/{each}" for each in found.rule_changed)
            yield (
                "The code of the decision rule has changed since that commit: "
                f"{', '.join(found.rule_changed)} (git diff {found.commit[:7]} -- {files})."
            )
        elif found.rule_changed is not None:
            yield "The code of the decision rule has not changed since."
        if found.reworded:
            yield (
                "The words of these claims, or whose they are, were changed, which decides no "
                f"verdict: {', '.join(found.reworded)}."
            )


def _ancestry(found: Preregistration) -> Iterator[str]:
    if not found.of_runs:
        yield "The records name no commit that the runs were made with."
        return
    for answer, says in (
        (True, "is contained in the code that the runs were made with"),
        (False, "is not contained in the code that runs were made with"),
        (None, "cannot be compared with code that is not in this history"),
    ):
        if those := [each[:7] for each, is_in in found.of_runs.items() if is_in is answer]:
            yield f"That commit {says} ({', '.join(those)})."


def clock(time: str, *, seconds: bool = False) -> str:
    """E.g. "2026-11-29 08:40 UTC" of 2026-11-29T08:40:12Z."""
    return f"{time[:10]} {time[11 : 19 if seconds else 16]} UTC" if len(time) >= 16 else time


def _sha256(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _hash(recipe: Recipe, name: str, seed: int) -> str:
    return stage_id(recipe.model_copy(update={"seed": seed}), name).rpartition("-")[2]


def _start(run: Run) -> str:
    """Start of the run's first attempt; "" if not recorded."""
    found = []
    for stage in run.stages.values():
        for attempt in stage.entry.folder.attempts():
            said = atomic.read_json(attempt / "attempt.json")
            found.append(str(said.get("started") or "") if isinstance(said, dict) else "")
    return min(filter(None, found), default="")


def _changed(rule: Any) -> tuple[str, ...] | None:
    """The files of the decision rule whose code differs from the recorded digests."""
    if not isinstance(rule, dict):
        return None
    package = Path(harness.__file__).parent
    now = {name: rule_code((package / name).read_text(encoding="utf-8")) for name in RULE}
    return tuple(name for name in RULE if rule.get(name) != now[name])
