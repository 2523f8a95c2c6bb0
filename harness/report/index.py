"""The page that a visitor of published reports reads first: every table, its verdicts, its cost."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.report.cost import Cost
from harness.report.markdown import escape
from harness.report.numbers import FORMAT
from harness.report.published import MARK, published
from harness.store import atomic

PAGE = "README.md"

TOP = """\
# Published results

What the papers claim, and what our runs say of it. Each folder holds one table: `report.md` to read
here, `report.html` to read in a browser, `report.tex` for a paper, `table.csv`, `runs.csv` and
`results.json` for programs, and under `runs/` the records that all of it is made from (recipes,
results, provenance, thinned journals; no checkpoints). The report is made again from them, byte for
byte, by the command beside it.

A table stands at the scale that it names. At a scale that is not the paper's, numbers are not to be
compared with the paper's: the claims are what is tested, by a rule that each report prints and that
was fixed before its runs.
"""


def index(reports: Path) -> str:
    """The index of the published reports in the folder, by name; none published: it says so.

    Raises:
        StoreError: a report's results.json or mark is absent, damaged or of another format.
    """
    names = [folder.name for folder in published_reports(reports)]
    if not names:
        return f"{TOP}\nNothing is published yet.\n"
    found = {name: _read(reports / name) for name in names}
    lines = ["| table | scale | claims | cost |", "| --- | --- | --- | --- |"]
    for name, said in found.items():
        cells = (
            f"[{escape(said['title'])}]({name}/report.md)",
            escape(said["scale"]["here"]),
            escape(_verdicts(said)),
            escape(", ".join(Cost(**each).words for each in said["cost"])),
        )
        lines.append(f"| {' | '.join(cells)} |")
    parts = [TOP, "\n".join(lines)]
    parts += [_section(reports, name, said) for name, said in found.items()]
    return "\n".join(parts[:1]) + "\n" + "\n\n".join(parts[1:]) + "\n"


def published_reports(reports: Path) -> list[Path]:
    """The folders of published reports, by name."""
    return sorted(mark.parent.parent for mark in reports.glob(f"*/runs/{MARK}"))


def _read(folder: Path) -> dict[str, Any]:
    said = atomic.read_json(folder / "results.json")
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise StoreError(f"{folder / 'results.json'}: not a report of this version; make it again")
    return said


def _verdicts(said: dict[str, Any]) -> str:
    counts = Counter(claim["verdict"] for claim in said["claims"])
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items())


def _section(reports: Path, name: str, said: dict[str, Any]) -> str:
    lines = [f"## {escape(said['title'])}", ""]
    if drawn := [figure for figure in said["figures"] if (reports / name / figure).is_file()]:
        lines += [f"![{escape(said['title'])}]({name}/{drawn[0]})", ""]
    lines += [f"- **{escape(c['in_words'])}**: {escape(c['says'])}" for c in said["claims"]]
    mark = published(reports / name / "runs") or {}
    words = ["moco-harness", "report", str(mark.get("recipe"))]
    words += [word for text in mark.get("sets", ()) for word in ("--set", text)]
    words += ["--runs", f"{reports.name}/{name}/runs", "--out", f"{reports.name}/{name}"]
    return "\n".join([*lines, "", f"    {shlex.join(words)}"])
