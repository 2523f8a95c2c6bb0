"""Execute one attempt at one stage, from its folder; every launcher calls this."""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from harness.data.datasets import DataSet, open_data
from harness.data_roots import AnyRoot
from harness.errors import DataError, HarnessError, StoreError, Superseded
from harness.inputs import Inputs
from harness.recipe.identity import StageSpec, of_trial, spec, stage_id
from harness.recipe.knn_words import trained_on
from harness.recipe.schema import Recipe
from harness.recipe.task import TaskSection
from harness.redact import redact
from harness.runtime.checkpoint import listed
from harness.runtime.environment import Placement
from harness.runtime.process_setup import set_up_process
from harness.runtime.world import World
from harness.source import of_stage, with_place
from harness.spec.declarations import load
from harness.stage.collective_wait import first_alone
from harness.stage.context import Context, Diverged, Interrupted, StageOutcome
from harness.stage.out_of_memory import enough_memory
from harness.stage.reporter import Reporter, Silent
from harness.store import atomic, journal, provenance
from harness.store.attempt import Attempt, begin
from harness.store.edition import edition
from harness.store.layout import StageFolder


@dataclass(frozen=True)
class Job:
    """What a process needs to run a stage: a few paths, so it pickles small."""

    folder: Path
    """The stage's folder, with its stage.json."""
    data_root: AnyRoot
    device: str
    """A torch device such as cpu or cuda; auto: CUDA if available."""


def execute(
    job: Job, reporter: Reporter, stopping: Callable[[], bool], world: World | None = None
) -> str:
    """Run the stage, or resume it; returns finished, diverged or interrupted.

    Every outcome is written to the attempt's ended.json. With several processes each calls this;
    the first one writes.

    Args:
        world: this process among the others; None: it is the only one.

    Raises:
        HarnessError: something outside the code prevents it (data, disk, another process).
        Exception: a bug; its traceback is in the attempt's folder.
    """
    world = world or World.alone(torch.device(job.device))
    folder = StageFolder(job.folder)
    described = folder.described
    if described is None:
        raise StoreError(f"{folder.path}: no stage.json; run again")
    recipe, asked = _recipe(folder, described)
    attempt = _begin(folder, world)
    watching = reporter if world.rank == 0 else Silent()

    def context(data: DataSet) -> Context:
        parent = folder.parent
        return Context(
            recipe, folder, attempt, parent, data, job.data_root, world, watching, stopping, asked
        )

    try:
        watching.open(folder.id)
        with enough_memory(recipe):
            state, figures = _attempt(
                job, recipe, asked, attempt, world, stopping, watching, context
            )
    except Interrupted:
        _end(attempt, "interrupted", "stopped on request; the same command resumes")
        state, figures = "interrupted", {}
    except KeyboardInterrupt:
        _end(attempt, "interrupted", "stopped at once; the same command resumes")
        watching.end("interrupted", {})
        raise
    except HarnessError as error:
        if isinstance(error, DataError):
            open_data.cache_clear()  # the user may repair them meanwhile
        _end(attempt, "superseded" if isinstance(error, Superseded) else "failed", str(error))
        watching.end("failed", {})
        raise
    except BaseException as error:
        if attempt is not None:
            text = redact(traceback.format_exc()).encode(errors="backslashreplace")
            with contextlib.suppress(StoreError):
                atomic.write(attempt.path / "traceback.txt", lambda file: file.write(text))
        _end(attempt, "failed", f"{type(error).__name__}: {error}")
        watching.end("failed", {})
        raise
    watching.end(state, figures)
    return state


def _begin(folder: StageFolder, world: World) -> Attempt | None:
    """Start the first process's attempt; None on the others, which learn whether it started.

    Raises:
        HarnessError: it could not start; on the first process with the reason.
    """
    attempt, error = None, None
    if world.rank == 0:
        try:
            attempt = begin(folder)
        except HarnessError as refused:
            error = refused
    if world.any(error is not None):
        raise error or HarnessError(f"{folder.path}: the first process could not start")
    return attempt


def _end(attempt: Attempt | None, how: str, message: str) -> None:
    if attempt is not None:
        attempt.end(how, message)


def _attempt(
    job: Job,
    recipe: Recipe,
    asked: StageSpec,
    attempt: Attempt | None,
    world: World,
    stopping: Callable[[], bool],
    watching: Reporter,
    context: Callable[[DataSet], Context],
) -> tuple[str, dict[str, float]]:
    began = time.monotonic()
    set_up_process(world.device)

    def opened() -> tuple[DataSet, dict[str, Any]]:
        found = open_data(asked.data(recipe), job.data_root)
        return found, _inputs(attempt, recipe, asked, job, found) if attempt is not None else {}

    # One process downloads; the others then find the files.
    data, inputs = first_alone(opened, world, stopping)
    own = edition(asked.task.kind, recipe.contrast.kind, recipe.optim.kind)
    world.same(f"the code's edition {own}")
    world.same(f"the data's fingerprint {data.fingerprint}")
    if attempt is not None:
        _describe(attempt, own, data, inputs, world)
        for remark in data.remarks if asked.parent is None or asked.under else ():
            watching.note(remark)
    result: dict[str, Any]
    stage = context(data.on(world.device))
    try:
        outcome: StageOutcome = load(asked.task.function)(stage)
        result = {"state": "finished", "step": outcome.step, "values": outcome.values}
        result |= {"message": "", **outcome.facts}
    except Diverged as diverged:
        result = {"state": "diverged", "step": diverged.step, "values": diverged.values}
        above = stage.parent.result if stage.parent else None
        result |= {"message": str(diverged), "weights": (above or {}).get("weights")}
    finally:
        stage.saver.close()  # before the attempt's end closes its files
    if attempt is not None:
        attempt.finish(
            result
            | {
                "edition": "+".join(_editions(attempt, own)),
                "data": data.described,
                **inputs,
                "attempt": attempt.number,
                "seconds": round(_seconds_before(attempt) + time.monotonic() - began, 2),
                "device": device_name(world.device),
                "processes": world.size,
            }
            | attempt.seal()
        )
        attempt.end(result["state"], result["message"])
    return result["state"], result["values"]


_looked_at: tuple[DataSet, dict[str, dict[str, Any] | None]] | None = None
"""The data that this process opened last, and its files then: a later stage may use the same."""


def _inputs(
    attempt: Attempt, recipe: Recipe, asked: StageSpec, job: Job, data: DataSet
) -> dict[str, Any]:
    """{"inputs": ...} for the attempt's result: the files that it was made from; {} if there are
    none.

    Given weights count as they were when pre-training started: an evaluation does not read them.
    """
    global _looked_at
    here = Inputs(job.data_root, attempt.folder.path.parent)
    if _looked_at is None or _looked_at[0] is not data:
        own = asked.data(recipe)
        _looked_at = data, {"data": here.data(own), "test_data": here.test_data(own)}
    weights: dict[str, Any] | None = None
    more: dict[str, Any] = {}
    source = of_stage(recipe, attempt.folder)
    if asked.parent is None and source is not None:
        # A checkpoint was made from the inputs of its own attempt.
        before = _began_with(attempt.folder) if listed(attempt.folder.checkpoints) else {}
        weights = before.get("inputs", {}).get("weights") or here.source(source)
        more = {"trained_on": before.get("trained_on") or _trained_on(source)}
        if recipe.continue_from is not None:
            said = before.get("continues") or _continues(source)
            more |= {"continues": said} if said else {}
    elif asked.parent is None and recipe.model.weights is not None:
        weights = here.weights(recipe.model.weights)
    elif (above := attempt.folder.parent) is not None:
        said = above.result or {}
        inputs = said.get("inputs")
        weights = inputs.get("weights") if isinstance(inputs, dict) else None
        more = {key: said[key] for key in ("trained_on",) if key in said}
    section = asked.section(recipe)
    further = here.further(section) if isinstance(section, TaskSection) else {}
    found = {**_looked_at[1], **further, "weights": weights}
    found = {what: said for what, said in found.items() if said is not None}
    return ({"inputs": found} if found else {}) | more


def _began_with(folder: StageFolder) -> dict[str, Any]:
    """The inputs that the newest earlier attempt recorded."""
    for path in folder.attempts()[-2::-1]:
        said = atomic.read_json(path / "attempt.json")
        if isinstance(said, dict) and isinstance(said.get("inputs"), dict):
            return said
    return {}


def _trained_on(source: StageFolder) -> list[dict[str, Any] | None]:
    """The data that the source's weights were pre-trained on."""
    result, described = source.result, source.described
    if result is None or described is None:
        return [None]  # reported where the stage loads it
    return trained_on(described["recipe"], result.get("trained_on"))


def _continues(source: StageFolder) -> dict[str, Any] | None:
    """What a result says of the run that it continues: its last step, edition and schedule."""
    result, described = source.result, source.described
    if result is None or described is None:
        return None  # reported where the stage loads it
    optim = described["recipe"]["optim"]
    edition = result.get("edition")
    return {"stage": source.id, "step": result["step"], "edition": edition, "optim": optim}


def _describe(
    attempt: Attempt, edition: str, data: DataSet, inputs: dict[str, Any], world: World
) -> None:
    """Write the attempt's provenance."""
    record, diff = provenance.capture(
        edition=edition,
        device=device_name(world.device),
        threads=torch.get_num_threads(),
        data=data.described,
    )
    attempt.describe(record | inputs | {"processes": world.size})
    if diff:
        atomic.write(attempt.path / "uncommitted.diff", lambda file: file.write(diff.encode()))


def device_name(device: torch.device) -> str:
    """The GPU's name, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _recipe(folder: StageFolder, described: dict[str, Any]) -> tuple[Recipe, StageSpec]:
    """What to run. The folder's name is a digest of it, which a changed stage.json does not match.

    Raises:
        StoreError: stage.json holds no recipe, or another one.
    """
    where = folder.path / "stage.json"
    under, trial = described.get("task"), described.get("trial", 0)
    try:
        recipe = Recipe.model_validate_json(atomic.dump(described["recipe"]))
    except (ValidationError, KeyError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise StoreError(
            f"{where}: not a recipe of this version of the harness ({first}); "
            "move the folder away and run again"
        ) from error
    name = str(described.get("kind"))
    try:
        if under is not None:
            recipe, name = of_trial(recipe, str(under), int(trial))
        asked = spec(recipe, name)
    except (KeyError, TypeError, ValueError):
        asked = None
    if asked is None or stage_id(recipe, name) != folder.id:
        raise StoreError(
            f"{where}: changed, or from another stage: it does not describe {folder.id}; move the "
            "folder away and run again"
        )
    return with_place(recipe, described), asked


def _editions(attempt: Attempt, present: str) -> list[str]:
    """The editions of all attempts that this result depends on, oldest first, each once."""
    seen: list[str] = []
    begun = math.inf  # the first step of later attempts, which replace it from there
    for path in reversed(attempt.folder.attempts()):
        records = journal.read_file(path / "metrics.jsonl")
        first = min((record["step"] for record in records), default=math.inf)
        record = atomic.read_json(path / "attempt.json")
        if first < begun and isinstance(record, dict):
            seen.insert(0, str(record.get("edition")))
        begun = min(begun, first)
    return list(dict.fromkeys([*seen, present]))


def _seconds_before(attempt: Attempt) -> float:
    """Seconds that earlier attempts ran, by their journals' last lines."""
    total = 0.0
    for path in attempt.folder.attempts()[:-1]:
        try:
            last = (path / "metrics.jsonl").stat().st_mtime
            total += max(0.0, last - (path / "attempt.json").stat().st_mtime)
        except OSError:
            continue
    return total


def pick_device(wanted: str, placement: Placement | None = None) -> str:
    """The device to use: `auto` becomes cuda if available, else cpu. Any other is tested, for one
    of several processes on its own GPU.

    Raises:
        HarnessError: the device is not available.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        own = own_device(wanted, placement) if placement is not None else wanted
        refuse_absent(str(own))
        torch.zeros(1, device=own).item()  # e.g. meta is a device, but holds no data
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0] if str(error) else "not available"
        if first.startswith("Expected one of"):
            first = "unknown device; use auto, cpu, cuda, or e.g. cuda:0"
        raise HarnessError(f"--device {wanted}: {first}") from error
    return wanted


def refuse_absent(wanted: str) -> None:
    """Check, without touching a GPU, that this machine has the GPU that is wanted.

    Raises:
        HarnessError: it has not.
    """
    kind, _, index = wanted.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 0
    if kind != "cuda" or int(index or 0) < count:
        return
    if count:
        says = f"the last GPU here is cuda:{count - 1}; name one that exists, or use cpu"
    elif torch.version.cuda is None and torch.version.hip is None:
        says = "this PyTorch supports only CPUs; install one for your GPU, or use cpu"
    else:
        says = "PyTorch finds no GPU here; check with nvidia-smi, or use cpu"
    raise HarnessError(f"--device {wanted}: {says}")


def own_device(wanted: str, placement: Placement) -> torch.device:
    """This process's device. Each of several processes on a machine gets its own GPU, whichever
    the user named (cuda:1 is for a single process)."""
    device = torch.device(wanted)
    shares = placement.local_size > 1 or (placement.size > 1 and device.index is None)
    if device.type == "cuda" and shares and (count := torch.cuda.device_count()):
        return torch.device("cuda", placement.local_rank % count)
    return device
