"""The overview of published reports: every table with its verdicts and cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import command
from harness.errors import StoreError
from harness.report.claim_summary import POSSIBLE_REASONS, said_by, summary
from harness.report.cost import Cost
from harness.report.markdown import escape
from harness.report.published import MARK, published
from harness.report.results_json import FORMAT
from harness.store import atomic

PAGE = "README.md"

TOP = """\
# Published results

What the papers claim, and whether our runs agree. Each folder holds one table: `report.md` to read
here, `report.html` for a browser, `report.tex` for a paper, `table.csv`, `runs.csv` and
`results.json` for programs, and under `runs/` the records behind all numbers (recipes, results,
provenance, thinned journals; no checkpoints). The command beside each table makes the same report
from these records, byte for byte.

Each table names its scale. Do not compare numbers of another scale with the paper's numbers:
compare the claims. They are judged by a rule that each report prints and that was fixed before its
runs.
"""

ERROR = """\
Within each table the probability of any wrong verdict is at most {each}. So of the {n} tables with
claims, {expected:.2g} or fewer may be expected to contain one, and the probability that any of them
does is at most {any:.0%}.
"""


BESIDE = {
    "bench/README.md": "speed of a training step, relative to its floor",
    "gate.md": "which mistakes the accuracy gate detects at CPU scale",
    "mutants.md": "which test detects each planted flaw of the algorithm",
    "faults.md": "faults injected into real runs, and how the runs ended",
}
"""Other measured pages in the folder, written by other commands."""


def index(reports: Path) -> str:
    """The index of the published reports in the folder, sorted by name. It also says if there are
    none.

    Raises:
        StoreError: a report's results.json or mark is absent, damaged or of another format.
    """
    names = [folder.name for folder in published_reports(reports)]
    if not names:
        return f"{TOP}\nNothing is published yet.\n"
    found = {name: _read(reports / name) for name in names}
    beside = [
        f"- [{page}]({page}): {what}" for page, what in BESIDE.items() if (reports / page).is_file()
    ]
    top = TOP + ("\n" + "\n".join(["Other measurements:", "", *beside]) + "\n" if beside else "")
    top += _error([said["alpha"] for said in found.values() if said["claims"]])
    lines = ["| table | scale | claims | cost |", "| --- | --- | --- | --- |"]
    for name, said in found.items():
        cells = (
            f"[{escape(said['title'])}]({name}/report.md) ([page]({name}/report.html))",
            escape(said["scale"]["here"]),
            escape(summary(said["verdicts"])),
            escape(", ".join(Cost(**each).words for each in said["cost"])),
        )
        lines.append(f"| {' | '.join(cells)} |")
    parts = [top, "\n".join(lines)]
    parts += [_section(reports, name, said) for name, said in found.items()]
    return "\n".join(parts[:1]) + "\n" + "\n\n".join(parts[1:]) + "\n"


def _error(alphas: Sequence[float]) -> str:
    """The error over all tables with claims; "" without any."""
    if not alphas:
        return ""
    each = " or ".join(f"{alpha:g}" for alpha in sorted(set(alphas)))
    total = math.fsum(alphas)
    said = ERROR.format(each=each, n=len(alphas), expected=total, any=min(1.0, total))
    return "\n" + said


def published_reports(reports: Path) -> list[Path]:
    """The folders of published reports, sorted by name."""
    return sorted(mark.parent.parent for mark in reports.glob(f"*/runs/{MARK}"))


def _read(folder: Path) -> dict[str, Any]:
    said = atomic.read_json(folder / "results.json")
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise StoreError(f"{folder / 'results.json'}: not a report of this version; write it again")
    return said


def _section(reports: Path, name: str, said: dict[str, Any]) -> str:
    lines = [f"## {escape(said['title'])}", ""]
    if drawn := [figure for figure in said["figures"] if (reports / name / figure).is_file()]:
        lines += [f"![{escape(said['title'])}]({name}/{drawn[0]})", ""]
    lines += [
        f"- **{escape(c['in_words'])}**: {escape(said_by(c['by'], c['says']))}"
        for c in said["claims"]
    ]
    if said["discussion"]:
        lines += ["", POSSIBLE_REASONS, "", *(f"- {escape(each)}" for each in said["discussion"])]
    mark = published(reports / name / "runs") or {}
    words = ["report", str(mark.get("recipe"))]
    words += [word for text in mark.get("sets", ()) for word in ("--set", text)]
    words += ["--runs", f"{reports.name}/{name}/runs", "--out", f"{reports.name}/{name}"]
    return "\n".join([*lines, "", f"    {command.line(*words)}"])
