"""The page of all published reports: what was not run, each claim with its verdict, each table."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from harness import command
from harness.errors import StoreError
from harness.recipe.ablation import CONTROL
from harness.recipe.claims import By
from harness.recipe.load import load_ablation
from harness.recipe.printed import FILE as PRINTED
from harness.report.claim_lines import ClaimLine, claim_lines, of_papers, standing
from harness.report.claim_summary import POSSIBLE_REASONS, counted, plural, summary
from harness.report.claims import Verdict
from harness.report.claims_picture import FILE as PICTURE
from harness.report.claims_picture import picture
from harness.report.cost import Cost
from harness.report.markdown import escape
from harness.report.preregistration import clock
from harness.report.published import MARK, above, published
from harness.report.recipe_facts import IMAGENET_FOLDERS
from harness.report.results_json import FORMAT
from harness.store import atomic

PAGE = "README.md"

TITLE = "# What the papers say, and what our runs say"

DRAWN = {"embedded": "images that the harness draws", "scenes": "drawn, with masks and boxes"}
"""What the harness's own data sets are."""

PAPERS_DATA = {"ImageNet": IMAGENET_FOLDERS, "COCO": ("coco", "coco2017")}
"""The papers' largest data sets, and their names."""

HOW = """\
Each line is one statement: what the paper says, the numbers that it prints, and what our runs
say. A difference is that of two cells' means, with the interval that decides; positive means that
the first cell's value is higher. Compare statements, not numbers: our scale is another one. Each
table's report gives the rule, the evidence, and every run behind it. A statement that several
tables judge has one line, and one verdict, per table."""

TABLES = """\
Each folder holds one table: `report.md` to read here, `report.html` for a browser, `report.tex`
for a paper, `table.csv`, `runs.csv` and `results.json` for programs, and under `runs/` the
records behind all numbers (recipes, results, provenance, thinned journals; no checkpoints).
`moco-harness verify` computes all of it again from these records, with every verdict, and
compares it byte for byte."""

ERROR = """\
**Error over all tables.** Within each table the probability of any wrong verdict is at most
{each}. So of the {n} tables with claims, {expected:.2g} or fewer may be expected to contain one,
and the probability that any of them does is at most {any:.0%}. This holds where nothing that
decides was chosen after a look at the results. Shown to be fixed before their runs: {fixed} of
the {n}{since}."""

BESIDE = {
    "bench/README.md": "speed of a training step, relative to its floor",
    "gate.md": "which mistakes the accuracy gate detects at CPU scale",
    "mutants.md": "which test detects each planted flaw of the algorithm",
    "faults.md": "faults injected into real runs, and how the runs ended",
}
"""Other measured pages in the folder, written by other commands."""

ALT = "The papers' statements, our differences with their intervals, and our verdicts; listed below"

WHOSE_CLAIMS: dict[By, str] = {
    "paper": "The papers' claims",
    "read_off": "Claims derived from printed numbers",
}

SEVERAL = "A claim may have one verdict in one table and another in the next."

UNFIXED = {
    "after": "; **not fixed before its runs**",
    "not committed": "; **not fixed before its runs**",
    "unknown": "; not known whether fixed before its runs",
}
"""What a claim's line says of a table whose rules may have followed its results."""

DECIDED = ("reproduced", "not reproduced", "refuted")
ORDER = get_args(Verdict)

DAMAGED = (KeyError, TypeError, AttributeError, ValueError)
"""What a results.json raises that lacks something, or has it of another type."""

Found = Mapping[str, Mapping[str, Any]]
"""Folder -> content of its results.json."""


def overview(reports: Path) -> dict[str, str]:
    """File name -> content of the page and its picture, from the published reports in the folder.

    Raises:
        StoreError: a report's results.json or mark is absent, damaged or of another format.
    """
    found = {folder.name: _read(folder) for folder in published_reports(reports)}
    if not found:
        return {PAGE: f"{TITLE}\n\nNothing is published yet.\n"}
    try:
        return _overview(reports, found)
    except DAMAGED as error:
        for name, said in found.items():
            try:
                _overview(reports, {name: said})
            except DAMAGED as own:
                where = reports / name / "results.json"
                raise StoreError(f"{where}: damaged ({own!r}); publish the report again") from own
        raise StoreError(f"{reports}: a report is damaged ({error!r}); publish again") from error


def _overview(reports: Path, found: Found) -> dict[str, str]:
    lines = claim_lines(found)
    page = _page(reports, found, lines)
    return {PAGE: page, **({PICTURE: picture(of_papers(lines))} if of_papers(lines) else {})}


def published_reports(reports: Path) -> list[Path]:
    """The folders of published reports, sorted by name."""
    return sorted(mark.parent.parent for mark in reports.glob(f"*/runs/{MARK}"))


def _read(folder: Path) -> dict[str, Any]:
    said = atomic.read_json(folder / "results.json")
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise StoreError(f"{folder / 'results.json'}: not a report of this version; write it again")
    return said


def _page(reports: Path, found: Found, lines: Sequence[ClaimLine]) -> str:
    theirs = of_papers(lines)
    ours = [line for line in lines if line not in theirs]
    parts = [TITLE, *_not_run(reports, found)]
    if theirs:
        counts = (_counted(theirs, by, whose) for by, whose in WHOSE_CLAIMS.items())
        parts += [
            " ".join(
                filter(None, (*counts, SEVERAL if _different(theirs) else "", _unfixed(theirs)))
            ),
            f"![{ALT}]({PICTURE})",
            "## The papers' statements",
            HOW,
            _claims(theirs, found),
        ]
    if ours:
        parts += ["## Our own checks", "The papers do not say these.", _claims(ours, found)]
    parts += ["## The tables", TABLES, *_error(found), _tables(found)]
    for name, said in found.items():
        parts += _section(reports, name, said)
    if beside := [
        f"- [{page}]({page}): {what}" for page, what in BESIDE.items() if (reports / page).is_file()
    ]:
        parts += ["## Other measurements", "\n".join(beside)]
    return "\n\n".join(parts) + "\n"


def _not_run(reports: Path, found: Found) -> Iterator[str]:
    """What stands first: how far the runs are from the papers'."""
    data = sorted({each for said in found.values() for each in said["scale"]["data"]})
    used = {each.rpartition("/")[2].lower() for each in data}
    absent = [says for says, names in PAPERS_DATA.items() if used.isdisjoint(names)]
    words = []
    if absent:
        words.append(f"No run here used {' or '.join(absent)}.")
    papers = [
        said["title"] for said in found.values() if said["scale"]["papers"] and _has_runs(said)
    ]
    if papers:
        words.append(f"At the scale of the printed numbers: {escape(', '.join(papers))}.")
    else:
        words.append("No run here is at the scale of the papers' numbers.")
    words.append(f"The runs used these data: {escape(', '.join(map(_dataset, data)))}.")
    yield f"**What was not run.** {' '.join(words)}"
    if missing := list(_not_whole(above(reports) / "ablations", found)):
        title = (
            "Printed tables (of the papers, the official repository and OpenSelfSup) that have a "
            f"recipe and, at no scale, a published report of all their rows ({len(missing)})"
        )
        yield f"<details><summary>{title}</summary>"
        yield "\n".join(f"- {each}" for each in missing)
        yield "</details>"


def _dataset(name: str) -> str:
    return f"{name} ({DRAWN[name]})" if name in DRAWN else name


def _counted(lines: Sequence[ClaimLine], by: By, whose: str) -> str:
    """How many verdicts these claims have, and how many claims have them."""
    asked = [line for line in lines if line.by == by]
    if not asked:
        return ""
    words = [
        f"{counted(len(having), verdict)}{_different(having)}"
        for verdict in ORDER
        if (having := [line for line in asked if line.verdict == verdict])
    ]
    return f"{whose} have {plural(len(asked), 'verdict')}{_different(asked)}: {', '.join(words)}."


def _different(lines: Sequence[ClaimLine]) -> str:
    """How many claims they are, where several tables judge one."""
    n = len({(line.paper, line.id) for line in lines})
    return f" ({plural(n, 'different claim')})" if n < len(lines) else ""


def _unfixed(lines: Sequence[ClaimLine]) -> str:
    """How many of the verdicts are of tables whose rules may have followed their results."""
    decided = [line for line in lines if line.verdict in DECIDED]
    after = [line for line in decided if not line.fixed]
    if not after:
        return ""
    one = len(decided) == 1
    return (
        f"{len(after)} of the {len(decided)} that {'is' if one else 'are'} {_listed(decided)} "
        f"{'is' if len(after) == 1 else 'are'} of tables that are not shown to be fixed before "
        "their runs."
    )


def _listed(lines: Sequence[ClaimLine]) -> str:
    there = {line.verdict for line in lines}
    return " or ".join(verdict for verdict in DECIDED if verdict in there)


def _has_runs(said: Mapping[str, Any]) -> bool:
    """Whether a run of a cell has a result, besides the untrained network's."""
    return any(_ran(cell) for cell in said["cells"] if cell["id"] != CONTROL)


def _ran(cell: Mapping[str, Any]) -> bool:
    return any(
        stage["state"] in ("finished", "diverged")
        for run in cell["runs"]
        for stage in run["stages"].values()
    )


def _not_whole(ablations: Path, found: Found) -> Iterator[str]:
    """The papers' tables in that folder with a row that no published report of them ran, nor one
    of their variants. A row is known by its printed number."""
    tables = [
        load_ablation(path) for path in sorted(ablations.glob("*.yaml")) if path.name != PRINTED
    ]
    whole = {each.name: each.variant_of or each.name for each in tables}
    for table in tables:
        if not table.of_paper or table.variant_of is not None:
            continue
        of = {
            name: said
            for name, said in found.items()
            if whole.get(said["ablation"]) == table.name and _has_runs(said)
        }
        rows = Counter(cell.printed for cell in table.cells if cell.set is not None)
        ran: Counter[Any] = Counter()
        for said in of.values():
            ran |= Counter(cell["printed"] for cell in said["cells"] if _ran(cell))
        if any(row is not None for row in rows - ran):
            links = ", ".join(f"[{escape(name)}]({name}/report.md)" for name in of)
            yield escape(table.title) + (f" (in part: {links})" if of else "")


def _claims(lines: Sequence[ClaimLine], found: Found) -> str:
    rows = ["| statement | verdict | our difference | runs |", "| --- | --- | --- | --- |"]
    for line in lines:
        verdict = escape(line.in_words)
        said = escape(line.says)
        if line.printed and line.by != "ours":
            said += f"<br>*paper: {escape(line.printed)}*"
        cells = (
            said,
            f"**{verdict}**" if line.verdict in DECIDED else verdict,
            "<br>".join(map(escape, _ours(line))),
            f"[{escape(line.scale)}]({line.report}/report.md#claims), table: {escape(line.cost)}"
            f"{UNFIXED.get(standing(found[line.report]), '')}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _ours(line: ClaimLine) -> Iterator[str]:
    effect = line.effect
    if effect is not None:
        seeds = f"{effect.seeds} seed{'s' if effect.seeds != 1 else ''}"
        yield f"{effect.of}"
        yield f"{effect.numbers}, {seeds}"
    if line.why:
        yield line.why


def _tables(found: Found) -> str:
    rows = [
        "| table | scale | claims | fixed before its runs | cost |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, said in found.items():
        cells = (
            f"[{escape(said['title'])}]({name}/report.md) ([page]({name}/report.html))",
            escape(said["scale"]["here"]),
            escape(summary(said["verdicts"])),
            escape(_fixed(said["preregistered"])),
            escape(", ".join(Cost(**each).words for each in said["cost"])),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _fixed(said: Mapping[str, Any] | None) -> str:
    """Whether a table was committed before its runs, in a few words."""
    if said is None:
        return "not known"
    if said["standing"] in ("unknown", "not committed"):
        return f"{'not known' if said['standing'] == 'unknown' else 'no'}: {said['why']}"
    committed, first = clock(said["committed"]), clock(said["first_run"])
    if said["standing"] == "after":
        return (
            f"no: changed in {said['commit'][:7]}, {committed}; {said['began_before']} of "
            f"{said['runs']} runs began before, the first {first}"
        )
    notes = []
    if not said["of_runs"] or not all(said["of_runs"].values()):
        notes.append("by the dates; not shown that the runs' code contains it")
    if said["rule_changed"]:
        notes.append("the rule's code changed since")
    more = f" ({'; '.join(notes)})" if notes else ""
    return f"yes: {said['commit'][:7]}, {committed}; first run {first}{more}"


def _error(found: Found) -> Iterator[str]:
    """The error over all tables with claims."""
    judged = [said for said in found.values() if said["claims"]]
    if judged:
        alphas = [said["alpha"] for said in judged]
        fixed = [said["preregistered"] for said in judged if standing(said) == "before"]
        changed = sum(bool(each["rule_changed"]) for each in fixed)
        since = (
            f"; in {changed} of these, a file of the rule's code changed since: their pages name it"
        )
        yield ERROR.format(
            each=" or ".join(f"{alpha:g}" for alpha in sorted(set(alphas))),
            n=len(judged),
            expected=math.fsum(alphas),
            any=min(1.0, math.fsum(alphas)),
            fixed=len(fixed) or "none",
            since=since if changed else "",
        )


def _section(reports: Path, name: str, said: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {escape(said['title'])}"
    if drawn := [figure for figure in said["figures"] if (reports / name / figure).is_file()]:
        yield f"![{escape(said['title'])}]({name}/{drawn[0]})"
    if said["discussion"]:
        yield POSSIBLE_REASONS
        yield "\n".join(f"- {escape(each)}" for each in said["discussion"])
    mark = published(reports / name / "runs") or {}
    words = ["report", str(mark.get("recipe"))]
    words += [word for text in mark.get("sets", ()) for word in ("--set", text)]
    folder = f"{Path(os.path.abspath(reports)).name}/{name}"  # noqa: PTH100
    words += ["--runs", f"{folder}/runs", "--out", folder]
    yield f"```bash\n{command.line(*words)}\n```"
