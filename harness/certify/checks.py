"""Checks: one process against all, and a run that is stopped, requeued and killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.certify import tiny
from harness.certify.trajectory import STEPS, TOLERANCE
from harness.errors import HarnessError
from harness.launch.protocol import Testbed, Work
from harness.plan import Plan
from harness.site import Site
from harness.store import atomic, journal
from harness.store.certificate import Check
from harness.store.layout import StageFolder, stage_folder

FLOAT32_STEPS, SIZE = 6, 16
FLOAT32 = {"cpu": 1e-4, "cuda": 1e-3}
"""Largest allowed difference of a loss of about 3. In float32 another batch size selects other
kernels, and rounding grows from step to step. In float64 rounding cannot hide a bug."""
LENGTHS_S = (5.0, 40.0, 160.0)
"""Seconds that an undisturbed run should take: long enough to disturb it before its end, even if
the file system shows files late. If it ended too early, the next value is tried."""
EPOCH = 50
MOST_STEPS = 100_000


def float64(testbed: Testbed, site: Site, folder: Path) -> Check:
    """Compare all mechanisms, on one process and on all, in float64."""
    name = "1 = N processes, float64"
    if testbed.processes == 1:
        return _alone(name)
    words = {"folder": str(folder.absolute()), "device": site.device}
    testbed.call("trajectories", words, site, folder)
    answer = atomic.read_json(folder / "answer.json")
    found: dict[str, float] = answer["differences"]
    worst = max(found, key=lambda contrast: found[contrast])
    says = (
        f"{len(found)} mechanisms, {STEPS} steps, 1 and {answer['processes']} processes "
        f"({answer['backend']}): at most {found[worst]:.1e} apart ({worst}), {TOLERANCE:g} allowed"
    )
    fine = found[worst] <= TOLERANCE and answer["device"] == ("cuda" if testbed.cuda else "cpu")
    fine = fine and answer["processes"] == testbed.processes
    figures = {**found, "backend": answer["backend"]}
    return Check(name, "passed" if fine else "failed", says, figures)


def float32(testbed: Testbed, site: Site, folder: Path) -> Check:
    """Compare the stages themselves, as jobs of one process and of all."""
    name = "1 = N processes, stages"
    if testbed.processes == 1:
        return _alone(name)
    plans = [_plan(f"{who}_", testbed.processes, folder, site) for who in ("one", "all")]
    with begun(testbed, site, plans, (1, testbed.processes)) as works:
        wait(works, partial(_all_finished, plans, site))
    kind = "cuda" if testbed.cuda else "cpu"
    found = {}
    for mechanism, first, second in zip(tiny.MECHANISMS, *(p.stages for p in plans), strict=True):
        one, other = stage_folder(site.runs, first.id), stage_folder(site.runs, second.id)
        _check_place(testbed, other)
        apart = zip(losses(one), losses(other), strict=True)
        found[mechanism] = max(abs(mine - theirs) for (_, mine), (_, theirs) in apart)
    worst = max(found, key=lambda mechanism: found[mechanism])
    says = (
        f"{len(found)} mechanisms, {FLOAT32_STEPS} steps in float32, jobs of 1 and of "
        f"{testbed.processes} processes: losses at most {found[worst]:.1e} apart ({worst}), "
        f"{FLOAT32[kind]:g} allowed"
    )
    return Check(name, "passed" if found[worst] <= FLOAT32[kind] else "failed", says, found)


def requeue(testbed: Testbed, site: Site, folder: Path) -> Check:
    """Compare a run that was stopped with a warning, then killed by SIGKILL, and restarted each
    time, with an undisturbed run."""
    name = "kill and requeue"
    speed = _speed(site, testbed) or 16.0
    for n, seconds in enumerate(LENGTHS_S):
        steps = seconds * speed / tiny.batch(testbed.processes)
        steps = min(MOST_STEPS, max(EPOCH, round(steps / EPOCH) * EPOCH))
        plans = [
            tiny.plan([_long(f"{who}_{n}", testbed, steps)], folder, site.runs)
            for who in ("alone", "disturbed")
        ]
        alone, disturbed = (stage_folder(site.runs, plan.stages[0].id) for plan in plans)
        with begun(testbed, site, plans, (testbed.processes,) * 2) as works:
            caught = _disturb(works, disturbed)
            if caught:
                wait(works, partial(_all_finished, plans, site))
        if caught:
            return _compared(name, alone, disturbed, steps)
    return Check(name, "failed", "the run always ended before it could be interrupted")


def _disturb(works: Sequence[Work], folder: StageFolder) -> bool:
    """Warn the second work's processes, and kill the restarted ones; False if it ended before."""
    for attempts, act in enumerate((works[1].warn, works[1].kill), start=1):
        wait(works, partial(_has_run, folder, attempts))
        if folder.result is not None:
            return False
        act()
    return True


def _has_run(folder: StageFolder, attempts: int) -> bool:
    """Whether this many attempts have made a step, or the stage has ended."""
    paths = (attempt / "metrics.jsonl" for attempt in folder.attempts())
    made = sum(path.exists() and path.stat().st_size > 0 for path in paths)
    return folder.result is not None or made >= attempts


def _compared(name: str, alone: StageFolder, disturbed: StageFolder, steps: int) -> Check:
    attempts = len(disturbed.attempts())
    unlike = differing(alone, disturbed)
    once = [step for step, _ in losses(disturbed)] == list(range(1, steps + 1))
    equal = losses(alone) == losses(disturbed)
    says = f"{steps} steps in {attempts} attempts, warned once and killed once: "
    wrong = [f"{len(unlike)} tensors differ ({', '.join(unlike[:3])})"] if unlike else []
    wrong += [] if once else ["the journal does not have each step exactly once"]
    wrong += [] if equal else ["losses differ"]
    wrong += [] if attempts >= 3 else ["it was not restarted twice"]
    ended = [(attempt / "ended.json").exists() for attempt in disturbed.attempts()]
    wrong += ["the killed process still wrote a record"] if all(ended) else []
    says += "; ".join(wrong) or "weights and losses bit-identical to an uninterrupted run"
    figures = {"steps": steps, "lives": attempts, "differing": len(unlike)}
    return Check(name, "failed" if wrong else "passed", says, figures)


@contextlib.contextmanager
def begun(
    testbed: Testbed, site: Site, plans: Sequence[Plan], processes: Sequence[int]
) -> Iterator[list[Work]]:
    """Start the plans' stages, and close them when the block ends."""
    works: list[Work] = []
    try:
        for plan, count in zip(plans, processes, strict=True):
            works.append(testbed.start(plan, site, count))
        yield works
    finally:
        for work in works:
            work.close()


def wait(works: Sequence[Work], until: Callable[[], bool]) -> None:
    """Wait until `until()` is true; no time limit as long as no work is lost.

    Raises:
        HarnessError: one of them will not finish.
    """
    while not until():
        for work in works:
            work.check()
        time.sleep(0.2)


def _plan(prefix: str, processes: int, folder: Path, site: Site) -> Plan:
    recipes = [
        tiny.recipe(prefix + m, m, processes=processes, steps=FLOAT32_STEPS, size=SIZE)
        for m in tiny.MECHANISMS
    ]
    return tiny.plan(recipes, folder, site.runs)


def _long(name: str, testbed: Testbed, steps: int) -> dict[str, object]:
    return tiny.recipe(
        name, "moco", processes=testbed.processes, steps=steps, size=SIZE, epoch=EPOCH
    )


def _all_finished(plans: Sequence[Plan], site: Site) -> bool:
    """Whether all stages of the plans have a result.

    Raises:
        HarnessError: one has diverged.
    """
    for stage in (stage for plan in plans for stage in plan.stages):
        result = stage_folder(site.runs, stage.id).result
        if result is None:
            return False
        if result["state"] != "finished":
            raise HarnessError(f"{stage.id}: {result['state']}, {result.get('message')}")
    return True


def _speed(site: Site, testbed: Testbed) -> float | None:
    """Images per second in the stages of `float32`, for all processes together."""
    for path in site.runs.glob("all_moco-s*.pretrain-*"):
        result = StageFolder(path).result or {}
        if result.get("processes") == testbed.processes and result.get("images_per_s"):
            return float(result["images_per_s"])
    return None


def _check_place(testbed: Testbed, folder: StageFolder) -> None:
    result = folder.result or {}
    if testbed.cuda and result.get("device") == "cpu":
        raise HarnessError(f"{folder.id} ran on the CPU, though GPUs were asked for")
    if result.get("processes") != testbed.processes:
        raise HarnessError(f"{folder.id} was run by {result.get('processes')} processes")


def _alone(name: str) -> Check:
    return Check(name, "skipped", "one process has nothing to share")


def attempt(site: Site) -> dict[str, object]:
    """Provenance of a stage that all processes shared; {} if none was started."""
    for pattern in ("all_*.pretrain-*", "alone_*.pretrain-*"):
        for path in site.runs.glob(pattern):
            for attempt in StageFolder(path).attempts():
                found = atomic.read_json(attempt / "attempt.json")
                if isinstance(found, dict):
                    return found
    return {}


def losses(folder: StageFolder) -> list[tuple[int, float]]:
    """(step, training loss) of each step, in order of writing."""
    records = journal.series(journal.read(folder), "train/loss")
    return [(step, loss) for step, _, loss in records]


def differing(one: StageFolder, other: StageFolder) -> list[str]:
    """Names of the parts in which the two last checkpoints are not bit-identical.

    Raises:
        HarnessError: a stage has no checkpoint.
    """
    first, second = _state(one), _state(other)
    return sorted(_unlike(first, second, ""))


def _state(folder: StageFolder) -> dict[str, Any]:
    from harness.runtime import checkpoint

    found = checkpoint.newest(folder.checkpoints, lambda _: None)
    if found is None:
        raise HarnessError(f"{folder.checkpoints}: no checkpoint")
    return {name: value for name, value in found[1].items() if name != "stage"}


def _unlike(one: Any, other: Any, place: str) -> list[str]:
    import torch

    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [name for k in one for name in _unlike(one[k], other[k], f"{place}.{k}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return _unlike(dict(enumerate(one)), dict(enumerate(other)), place)
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [place]
    return [] if type(one) is type(other) and one == other else [place]
