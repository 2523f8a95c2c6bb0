"""The table of faults: its rows, written by the tests, and the page made from them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.store.provenance import capture

HEAD = """\
# Faults

Faults injected into real runs (pre-training of a miniature network on embedded images, on CPUs),
and how the runs ended. Each run was restarted until it finished, and then compared with an
undisturbed run: weights, optimiser and queue of the last checkpoint, and all results, bit by bit;
the journal, line by line. *Recovered* counts the cases in which the run reported the fault and
then finished; *records lost* counts the journal lines that are missing, duplicated or different.
Random instants are drawn from the seed.

Made by `{command}` at commit {commit}, with torch {torch} and Python {python}.

| fault | cases | recovered | bit-identical | records lost | seed |
| --- | ---: | ---: | ---: | ---: | ---: |
"""
COMMAND = "nox -s faults"


@dataclass
class Row:
    """One fault."""

    fault: str
    seed: int | None = None
    cases: int = 0
    recovered: int = 0
    runs: int = 0
    identical: int = 0
    lost: int = 0

    @property
    def whole(self) -> bool:
        """Whether every case recovered, every run is bit-identical and no record is lost."""
        return (self.cases, self.runs, 0) == (self.recovered, self.identical, self.lost)

    def keep(self) -> None:
        """Write the row into the folder FAULTS_ROWS, if that is set."""
        if folder := os.environ.get("FAULTS_ROWS"):
            name = "".join(sign if sign.isalnum() else "-" for sign in self.fault)
            (Path(folder) / f"{name}.json").write_text(json.dumps(asdict(self)))


def page(rows: list[Row], command: str = COMMAND) -> str:
    """The whole table."""
    lines = [
        f"| {row.fault} | {row.cases} | {row.recovered} | {row.identical} of {row.runs} runs "
        f"| {row.lost} | {'' if row.seed is None else row.seed} |"
        for row in rows
    ]
    total = f"| all | {sum(r.cases for r in rows)} | {sum(r.recovered for r in rows)} "
    total += f"| {sum(r.identical for r in rows)} of {sum(r.runs for r in rows)} runs "
    total += f"| {sum(r.lost for r in rows)} | |"
    made, _ = capture(edition="", device="cpu", threads=1, data={})
    commit = str(made["code"]["commit"] or "unknown")[:12]
    of = {"commit": commit, "torch": made["packages"]["torch"], "python": made["python"]}
    return HEAD.format(command=command, **of) + "\n".join([*lines, total]) + "\n"


def read(folder: Path) -> list[Row]:
    """The rows that were kept, in the order of the faults' names."""
    return [Row(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
