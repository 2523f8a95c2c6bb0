"""One attempt at one stage, from its folder: what every launcher runs in the end."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from harness.data.datasets import open_data
from harness.errors import HarnessError, StoreError, Superseded
from harness.recipe.schema import Recipe
from harness.runtime.determinism import make_deterministic
from harness.stage import knn, linear, pretrain
from harness.stage.context import Context, Diverged, Interrupted, Outcome
from harness.stage.reporter import Reporter
from harness.store import atomic, provenance
from harness.store.attempt import Attempt, begin
from harness.store.edition import edition
from harness.store.layout import StageFolder

_RUN: dict[str, Callable[[Context], Outcome]] = {
    "pretrain": pretrain.run,
    "knn": knn.run,
    "linear": linear.run,
}


@dataclass(frozen=True)
class Job:
    """What a process needs to know to run a stage: a few paths, so that it pickles small."""

    folder: Path
    """The stage's folder, with its stage.json."""
    data_root: Path
    device: str
    """A torch device such as cpu or cuda; auto: CUDA where there is some."""


def execute(job: Job, reporter: Reporter, stopping: Callable[[], bool]) -> str:
    """Run the stage, or go on with it; returns finished, diverged or interrupted.

    Whatever happens is written to the attempt's ended.json.

    Raises:
        HarnessError: the user's circumstances do not allow it (data, disk, another process).
        Exception: a defect; its traceback is in the attempt's folder.
    """
    folder = StageFolder(job.folder)
    described = folder.described
    if described is None:
        raise StoreError(f"{folder.path}: no stage.json; submit the run again")
    recipe = _recipe(folder, described)
    attempt = begin(folder)
    if attempt is None:
        result = folder.result or {}
        reporter.begin(folder.id, total=1, done=1, steps_per_epoch=1)
        reporter.end(str(result.get("state")), result.get("values", {}))
        return str(result.get("state"))
    try:
        state, figures = _attempt(job, recipe, described["kind"], attempt, reporter, stopping)
    except Interrupted:
        state, figures = "interrupted", {}
        attempt.end("interrupted", "stopped on request; the same command goes on")
    except KeyboardInterrupt:
        attempt.end("interrupted", "stopped at once; the same command goes on from the checkpoint")
        reporter.end("interrupted", {})
        raise
    except HarnessError as error:
        attempt.end("superseded" if isinstance(error, Superseded) else "failed", str(error))
        reporter.end("failed", {})
        raise
    except BaseException as error:
        text = traceback.format_exc()
        with contextlib.suppress(StoreError):  # a full disk must not hide the defect
            atomic.write(attempt.path / "traceback.txt", lambda file: file.write(text.encode()))
        attempt.end("failed", f"{type(error).__name__}: {error}")
        reporter.end("failed", {})
        raise
    reporter.end(state, figures)
    return state


def _attempt(
    job: Job,
    recipe: Recipe,
    kind: str,
    attempt: Attempt,
    reporter: Reporter,
    stopping: Callable[[], bool],
) -> tuple[str, dict[str, float]]:
    began = time.monotonic()
    make_deterministic()
    device = torch.device(job.device)
    data = open_data(recipe.data, job.data_root)
    record, diff = provenance.capture(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        threads=torch.get_num_threads(),
        data=data.described,
    )
    attempt.describe(record)
    if diff:
        atomic.write(attempt.path / "uncommitted.diff", lambda file: file.write(diff.encode()))
    context = Context(
        recipe=recipe,
        folder=attempt.folder,
        attempt=attempt,
        parent=_parent(attempt.folder),
        data=data,
        device=device,
        reporter=reporter,
        stopping=stopping,
    )
    result: dict[str, Any]
    try:
        outcome = _RUN[kind](context)
        result = {"state": "finished", "step": outcome.step, "values": outcome.values}
        result |= {"message": "", **outcome.facts}
    except Diverged as diverged:
        result = {"state": "diverged", "step": diverged.step, "values": diverged.values}
        result |= {"message": str(diverged)}
    editions = _editions(attempt)
    attempt.finish(
        result
        | {
            "edition": edition() if editions == [edition()] else "+".join(editions),
            "data": data.described,
            "attempt": attempt.number,
            "seconds": round(_seconds_before(attempt) + time.monotonic() - began, 2),
            "device": record["machine"]["device"],
        }
    )
    attempt.end(result["state"], result["message"])
    return result["state"], result["values"]


def _parent(folder: StageFolder) -> StageFolder | None:
    parent = (folder.described or {}).get("parent")
    return StageFolder(folder.path.parent / parent) if parent else None


def _recipe(folder: StageFolder, described: dict[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate_json(atomic.dump(described["recipe"]))
    except (ValidationError, KeyError) as error:
        raise StoreError(
            f"{folder.path / 'stage.json'}: not a recipe of this version of the harness ({error}); "
            "move the folder away and run again"
        ) from error


def _editions(attempt: Attempt) -> list[str]:
    """The editions of all attempts that this result rests on, oldest first, each once."""
    seen = []
    for path in attempt.folder.attempts():
        if (path / "metrics.jsonl").exists() and (path / "metrics.jsonl").stat().st_size:
            record = atomic.read_json(path / "attempt.json")
            if record:
                seen.append(str(record.get("edition")))
    return list(dict.fromkeys(seen)) or [edition()]


def _seconds_before(attempt: Attempt) -> float:
    """Seconds that earlier attempts lived, by their journals' last lines."""
    total = 0.0
    for path in attempt.folder.attempts()[:-1]:
        try:
            last = (path / "metrics.jsonl").stat().st_mtime
            total += max(0.0, last - (path / "attempt.json").stat().st_mtime)
        except OSError:
            continue
    return total


def pick_device(wanted: str) -> str:
    """`auto` becomes cuda where there is some, else cpu.

    Raises:
        HarnessError: the device is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=wanted).item()  # meta, for one, can be named but holds nothing
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0] if str(error) else "not available"
        raise HarnessError(f"--device {wanted}: {first}") from error
    return wanted
