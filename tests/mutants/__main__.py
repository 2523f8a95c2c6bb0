"""Plant each mutant in a copy of the source, run the tests that might see it, write the table."""

from __future__ import annotations

import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .copies import commit, copy, python
from .planted import EVALUATION, MUTANTS, Mutant

SUITES = (
    "tests/methods/test_info_nce.py",
    "tests/methods/test_moco.py",
    "tests/methods/test_queue.py",
    "tests/methods/test_shuffle.py",
    "tests/data/test_augment.py",
    "tests/data/test_parameters.py",
    "tests/evaluate/test_features.py",
    "tests/stage/test_evaluation.py",
)

ALL = (*MUTANTS, *EVALUATION)

TOP = """\
# Mutants: do the tests detect flaws in the algorithm and its evaluation?

Flaws that other implementations have had, planted one at a time in a copy of the source.
"Detected by" names a test that passes without the flaw and fails with it; "others" counts the
further failing tests in the same files. Such flaws may hardly change the accuracy; flaws of MoCo
itself are detected by comparing the training trajectory with an oracle written from the paper.
`gate.md` lists those that the accuracy gate detects.

Made by `nox -s mutants` at commit {commit}.

| mutant | file | detected by | s | others |
| --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Ran:
    """One run of the suites."""

    failed: dict[str, float]
    """Failed tests (file::function), without parameters, and the seconds of the first."""
    tests: int
    failures: int
    said: str


def run(mutant: Mutant | None, suites: Sequence[str]) -> Ran:
    """The suites over a copy of the source."""
    with tempfile.TemporaryDirectory() as folder:
        tree = copy(Path(folder), mutant)
        words = ["pytest", "-n", "0", "-q", "--tb=line", "-p", "no:cacheprovider"]
        done = python(tree, [*words, "--junitxml=found.xml", *suites])
        found = tree / "found.xml"
        if done.returncode not in (0, 1) or not found.exists():
            raise SystemExit(f"the tests did not run:\n{done.stdout}{done.stderr}")
        return _read(ET.parse(found).getroot(), done.stdout)


def _read(root: ET.Element, said: str) -> Ran:
    cases = list(root.iter("testcase"))
    failed: dict[str, float] = {}
    broken = [case for case in cases if case.find("failure") is not None]
    for case in broken:
        file = str(case.get("classname")).replace(".", "/") + ".py"
        name = f"{file}::{str(case.get('name')).partition('[')[0]}"
        failed.setdefault(name, float(case.get("time") or 0))
    errors = [case for case in cases if case.find("error") is not None]
    if errors:
        raise SystemExit(f"{len(errors)} tests could not begin:\n{said}")
    return Ran(failed, len(cases), len(broken), said)


def main(out: Path) -> int:
    whole = run(None, SUITES)
    if whole.failures:
        raise SystemExit(f"the tests fail without a mutant:\n{whole.said}")
    print(f"{whole.tests} tests pass without a mutant", flush=True)
    rows, caught = [], 0
    for mutant in ALL:
        found = run(mutant, SUITES)
        seconds = found.failed.get(mutant.test)
        caught += seconds is not None
        by = f"`{mutant.test}`" if seconds is not None else "**nothing**"
        others = found.failures - (seconds is not None)
        took = "–" if seconds is None else f"{seconds:.1f}"
        rows.append(f"| {mutant.name} | `{mutant.path}` | {by} | {took} | {others} |")
        print(rows[-1], flush=True)
    end = f"\n{caught} of {len(ALL)} detected. {whole.tests} tests were run on each.\n"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(TOP.format(commit=commit()) + "\n".join(rows) + "\n" + end)
    print(end.strip())
    return 0 if caught == len(ALL) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "reports/mutants.md")))
