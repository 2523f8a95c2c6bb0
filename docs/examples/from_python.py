"""From a recipe to its report and verdicts, from Python.

    python docs/examples/from_python.py quickstart runs

It goes on where it was stopped: what is finished is not run again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import harness
from harness.plan import Plan


class Told(harness.app.Progress):
    """Prints what the functions tell. Leave it out, and nothing is printed."""

    def planned(self, plan: Plan, unfinished: Sequence[str]) -> None:
        del unfinished
        print(f"to do: {len(plan.todo)} of {len(plan.stages)} stages")

    def note(self, text: str) -> None:
        print(f"note: {text}")


def main(recipe: str, runs: Path) -> int:
    """Run what is missing, then tell what was found."""
    site = harness.load_site(runs=runs)
    ran = harness.app.run(recipe, site, progress=Told())
    reader = harness.app.ProgressReader()
    for row in harness.app.status(site).rows:
        print(f"{row.id}: {row.state} at step {reader.read(row).step}")
    report = ran.report or harness.app.report(recipe, site)
    for cell in report.results.cells:
        for run in cell.runs:
            value = report.results.value(run, report.results.metric)
            print(f"{run.name}: {report.results.metric} {value.value}")
    print(f"report: {report.page}")
    checked = harness.app.check([recipe], site)
    for verdict in checked.verdicts if checked else ():
        print(f"{verdict.of}: {verdict.metric} {verdict.judged}")
    return ran.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], Path(sys.argv[2])))
    except harness.HarnessError as error:
        sys.exit(f"error: {error}")
