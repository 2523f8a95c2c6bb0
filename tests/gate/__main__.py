"""Baseline, trace, fresh seeds, mutants, through `check` as a user calls it; then the report."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from harness.check.baseline import load_baseline, write_baseline

# It runs as tests.gate, and mypy knows it as gate, as pytest does.
from ..mutants.copies import ROOT, copy, python  # type: ignore[import-not-found]
from ..mutants.planted import MUTANTS, Mutant  # type: ignore[import-not-found]
from .report import Asked, render
from .rounding import OTHERS, REFERENCE, SHORT, folder, settings, traced

RECIPE = "recipes/gate.yaml"
FIRST, FRESH, OWN = 1000, 2020, 4000
"""First seed of the baseline and of the fresh runs; the recipe's own, of the trace and of the runs
with a mutant. Seeds 2000 to 2019 were used to choose ALARM: with 5 % and 12 seeds 19 and 17 of them
passed, in two editions."""


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gate", description=__doc__)
    parser.add_argument("out", type=Path, help="the report")
    parser.add_argument("--baseline", type=Path, default=ROOT / "recipes/baselines/gate.json")
    parser.add_argument("--work", type=Path, default=ROOT / "runs/gate", help="where runs go")
    parser.add_argument("--seeds", type=int, default=24, help="of the baseline")
    parser.add_argument("--repeated", type=int, default=20, help="seeds that measure rounding")
    parser.add_argument("--fresh", type=int, default=20, help="fresh seeds held against it")
    parser.add_argument("--mutants", type=int, default=len(MUTANTS), help="how many are planted")
    parser.add_argument("--set", action="append", default=[], help="for a trial: a shorter run")
    return parser.parse_args(words)


class Gate:
    """The gate's recipe, run and judged by trees of the source."""

    def __init__(self, said: argparse.Namespace) -> None:
        self.said = said
        self.work = said.work.absolute()
        self.sets = [word for text in said.set for word in ("--set", text)]
        self.baseline = said.baseline.absolute()

    def tree(self, name: str, mutant: Mutant | None = None) -> Path:
        """A fresh copy of the source: what is edited meanwhile changes no edition half-way."""
        place = self.work / "source" / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return copy(place, mutant)

    def check(self, tree: Path, runs: str, seeds: str, *more: str) -> int:
        """`check` of these seeds; its exit code. What is finished in `runs` is not run again."""
        words = ["harness.cli", "check", RECIPE, "--seeds", seeds, *self.sets, *more]
        done = python(tree, [*words, "--runs", str(self.work / runs), "--device", "cpu", "--yes"])
        if done.returncode not in (0, 6):
            raise SystemExit(f"{' '.join(words)}:\n{done.stdout}{done.stderr}")
        return done.returncode

    def first_steps(self, tree: Path, runs: str, seeds: str, environment: str) -> None:
        """The first steps of these seeds, with these environment variables."""
        sets = [*self.sets, *(word for text in SHORT for word in ("--set", text))]
        words = ["harness.cli", "run", RECIPE, "--seeds", seeds, *sets, "--device", "cpu", "--yes"]
        done = python(tree, [*words, "--runs", str(self.work / runs)], settings(environment))
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}:\n{done.stdout}{done.stderr}")

    def verdicts(self, tree: Path, runs: str, seed: int, *more: str) -> list[dict[str, Any]]:
        out = self.work / "verdicts.json"
        against = ("--against", str(self.baseline), "--json", str(out))
        self.check(tree, runs, str(seed), *against, *more)
        found: list[dict[str, Any]] = json.loads(out.read_text())["verdicts"]
        return found


def main(words: list[str]) -> int:
    said = arguments(words)
    gate = Gate(said)
    gate.work.mkdir(parents=True, exist_ok=True)
    gate.baseline.parent.mkdir(parents=True, exist_ok=True)
    whole = gate.tree("whole")
    last = FIRST + said.seeds - 1
    written = ("--run", "--write-baseline", str(gate.baseline))
    gate.check(whole, "runs", f"{FIRST}-{last}", *written)
    print(f"baseline of {said.seeds} seeds: {gate.baseline}", flush=True)
    _trace(gate, whole)
    print(f"trace of seed {OWN}", flush=True)
    fresh = []
    for seed in range(FRESH, FRESH + said.fresh):
        fresh.append(Asked(str(seed), gate.verdicts(whole, "runs", seed, "--run")))
        print(f"seed {seed}: {'passes' if fresh[-1].passes else fresh[-1].says}", flush=True)
    planted = []
    for n, mutant in enumerate(MUTANTS[: said.mutants]):
        tree = gate.tree(f"mutant-{n}", mutant)
        found = gate.verdicts(tree, f"mutant-{n}", OWN, "--run")
        planted.append(Asked(mutant.name, found))
        print(f"{mutant.name}: {planted[-1].says}", flush=True)
    said.out.parent.mkdir(parents=True, exist_ok=True)
    said.out.write_text(render(load_baseline(gate.baseline), fresh, planted))
    shutil.rmtree(gate.work / "source")
    return 0


def _trace(gate: Gate, whole: Path) -> None:
    """Add a trace to the baseline."""
    seeds = range(OWN, OWN + gate.said.repeated)
    for n, environment in enumerate((REFERENCE, *OTHERS)):
        gate.first_steps(whole, folder(n), f"{seeds[0]}-{seeds[-1]}", environment)
    gate.check(whole, "runs", str(OWN), "--run", "--against", str(gate.baseline))
    made = traced(load_baseline(gate.baseline), ROOT / RECIPE, gate.work, seeds, gate.said.set)
    write_baseline(made, gate.baseline)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
