"""What only a GPU can show, in one prepared command that keeps to a time limit.

    python -m tests.gpu OUT --data ROOT        (or `nox -s gpu -- OUT --data ROOT`)

In the order of what matters most: the tests marked `gpu`, the official CIFAR-10 demo of 200 epochs,
and the bench of ResNet-50 at 224 px on random pixels. When the time is over the demo writes its
checkpoint; the same command, called again, leaves out what has passed and goes on there. OUT gets
the logs, the records without checkpoints in one archive, and `summary.md`.

`--note-commit` only writes `snapshot.json`, by which a copy of the tree without .git knows its
commit; remove it afterwards. `--stand-in` does it on a CPU, with small things instead.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.bench.suite import CASES
from harness.errors import NotYet
from harness.store import atomic
from harness.store.provenance import SNAPSHOT, code

ROOT = Path(__file__).parents[2]

GRACE_S = 45
"""To write a checkpoint and a report in, of the time limit."""
LEAST_S = 30
"""A step is not begun with less left."""
LIMIT_BYTES = 16 << 20
"""Of one file in OUT."""

STOPPED = 130
STATE = "gpu.json"


@dataclass(frozen=True)
class Step:
    """One command, run until it passes."""

    name: str
    words: tuple[str, ...]
    resumes: bool = False
    """Stopped at the limit, it goes on in the next call; else it begins anew."""


def steps(said: argparse.Namespace) -> tuple[Step, ...]:
    """What is done, the most important first."""
    stand_in, device = said.stand_in, "cpu" if said.stand_in else "cuda"
    recipe = "gate" if stand_in else "cifar10_demo"
    precision = ("--set", f"precision={said.precision}") if said.precision != "fp32" else ()
    where = ("--runs", str(said.runs), "--device", device)
    data = ("--data", str(said.data)) if said.data else ()
    tests = ("tests/stage/test_half_precision.py",) if stand_in else ("-m", "gpu")
    small = ("--rounds", "1", "--steps", "1", "--set", "optim.batch=8", "--set", "model.bn_group=4")
    words = small if stand_in else (CASES[-1].gpu or ())
    case = CASES[0].recipe if stand_in else CASES[-1].recipe
    return (
        Step("tests", ("pytest", "-n", "0", "-rs", "-p", "no:cacheprovider", *tests)),
        Step("demo", ("harness.cli", "run", recipe, *precision, *where, *data, "--yes"), True),
        Step("bench", ("harness.cli", "bench", case, "--noise", *words, *where)),
    )


def run(step: Step, log: Path, seconds: float) -> int:
    """The exit code of `python -m` the step's words; asked to stop when the time is over."""
    env = os.environ | {"WANDB_MODE": "disabled", "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as out:
        started = subprocess.Popen(
            [sys.executable, "-m", *step.words],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return started.wait(seconds)
        except subprocess.TimeoutExpired:
            started.send_signal(signal.SIGTERM)
        try:
            started.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
        return STOPPED


def archive(runs: Path, place: Path) -> None:
    """All of the run root but checkpoints and what is larger than may come back."""

    def keep(found: tarfile.TarInfo) -> tarfile.TarInfo | None:
        heavy = found.name.endswith(".pt") or found.size > LIMIT_BYTES
        return None if heavy else found

    with tarfile.open(place, "w:gz") as out:
        out.add(runs, arcname="runs", filter=keep)
    if (size := place.stat().st_size) > LIMIT_BYTES:
        print(f"{place}: {size >> 20} MiB, more than {LIMIT_BYTES >> 20}")


def summary(state: dict[str, list[float]], names: Sequence[str]) -> str:
    """A table of the steps, with where and of what code they ran."""
    checkout, _ = code()
    cuda = torch.cuda.is_available()
    rows = [
        f"- commit {checkout['commit']}{', with changes' if checkout['dirty'] else ''}",
        f"- torch {torch.__version__}, {torch.cuda.get_device_name() if cuda else 'no GPU'}",
        "",
        "| step | exit codes, a call each | seconds |",
        "| --- | --- | --- |",
    ]
    for name in names:
        ran = state.get(name, [])
        codes = ", ".join(f"{code:.0f}" for code in ran[::2]) or "not begun"
        rows.append(f"| {name} | {codes} | {sum(ran[1::2]):.0f} |")
    return "\n".join(rows) + "\n"


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gpu", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?", default=ROOT / "runs" / "gpu-out")
    parser.add_argument("--data", type=Path, help="where cifar-10-batches-py lies")
    parser.add_argument(
        "--runs", type=Path, default=ROOT / "runs" / "gpu", help="kept for resuming"
    )
    parser.add_argument("--minutes", type=float, default=9.5, help="for all of it")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="the demo's")
    parser.add_argument("--note-commit", action="store_true")
    parser.add_argument("--stand-in", action="store_true")
    said = parser.parse_args(words)
    said.runs, said.out = said.runs.absolute(), said.out.absolute()
    return said


def main(words: Sequence[str]) -> int:
    """0: all have passed; 1: a step failed; 7: some are still to come."""
    ends = time.monotonic()
    said = arguments(words)
    if said.note_commit:
        checkout, diff = code()
        atomic.write_json(ROOT / SNAPSHOT, {"code": checkout, "diff": diff})
        return 0
    ends += 60 * said.minutes - GRACE_S
    said.out.mkdir(parents=True, exist_ok=True)
    said.runs.mkdir(parents=True, exist_ok=True)
    kept = said.runs / STATE
    state: dict[str, list[float]] = json.loads(kept.read_text()) if kept.exists() else {}
    todo = steps(said)
    for step in todo:
        ran = state.setdefault(step.name, [])
        left = ends - time.monotonic()
        if (ran and ran[-2] == 0) or left < LEAST_S:
            continue
        began = time.monotonic()
        log = said.runs / f"{step.name}.log"
        code_ = run(step, log, left)
        ran += [code_, round(time.monotonic() - began, 1)]
        atomic.write_json(kept, state)
        print(f"{step.name}: exit {code_} after {ran[-1]:.0f} s, {log}", flush=True)
    (said.out / "summary.md").write_text(summary(state, [step.name for step in todo]))
    archive(said.runs, said.out / "records.tar.gz")
    last = [state[step.name][-2] if state[step.name] else STOPPED for step in todo]
    if any(code_ not in (0, STOPPED) for code_ in last):
        return 1
    return NotYet.exit_code if STOPPED in last else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
