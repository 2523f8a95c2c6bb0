"""`moco-harness bench`: measure one recipe in one process, after a warm-up."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping

import torch

from harness.bench import evaluation, traffic
from harness.bench.clock import Timed, Timing, measure
from harness.bench.result import ALONE, SHARED, Result
from harness.bench.step import Steps, whole_blocks
from harness.bench.task_steps import task_steps, trained_tasks
from harness.bench.tasks import evaluations
from harness.data.datasets import DataSet, open_data
from harness.data.images import Images, Stack
from harness.data_roots import AnyRoot
from harness.errors import HarnessError
from harness.recipe.identity import spec
from harness.recipe.rules import KNOWN_SIZES
from harness.recipe.schema import Knn, Recipe
from harness.runtime.process_setup import set_up_process
from harness.runtime.world import World
from harness.stage.context import Context
from harness.stage.execute import device_name
from harness.stage.reporter import Silent
from harness.store import operating_system
from harness.store.edition import edition
from harness.store.layout import StageFolder
from harness.store.provenance import capture
from harness.temporary import temporary_folder

NOISE_BATCHES = 4
KNN = (10_000, 50_000)
"""Queries and bank of CIFAR-10."""


def of_itself(recipe: Recipe) -> Recipe:
    """The recipe without a run to take weights from, which does not affect its speed."""
    weights = recipe.model.weights
    if weights is not None and weights.run is not None:
        model = recipe.model.model_copy(update={"weights": None})
        recipe = recipe.model_copy(update={"model": model})
    return recipe.model_copy(update={"continue_from": None})


def bench(
    recipe: Recipe,
    data_root: AnyRoot,
    world: World,
    *,
    rounds: int = 7,
    warm_up: int = 2,
    steps: int = 10,
    noise: bool = False,
    knn: tuple[int, int] = KNN,
    tasks: bool = False,
) -> Result:
    """Measure the recipe's training step, input and evaluation in this world; of a recipe without
    pre-training, a step of each task that trains the network further.

    Every process calls it; the times are the caller's own.

    Args:
        steps: steps that are timed as one, so that logging is included; rounded up to whole blocks
            of views.
        noise: use random pixels in memory in place of the data, which need not be there then.
        knn: queries and bank of the kNN that is timed.
        tasks: also evaluate a network on the whole data.

    Raises:
        DataError: the data is missing.
        HarnessError: nothing in the recipe trains, the processes cannot share its groups, or
            `tasks` cannot be measured.
    """
    recipe = of_itself(recipe)
    if tasks:
        _check_evaluations(recipe, world, noise=noise)
    device = world.device
    set_up_process(device)
    trains = recipe.optim.epochs > 0
    if not trains:
        _check_tasks(recipe, world)
    data = (noise_for(recipe) if noise else open_data(recipe.data, data_root)).on(device)
    _forget_peak(device)

    def measure_tasks(result: Result) -> None:
        with temporary_folder() as scratch:
            result.training = task_steps(
                recipe,
                data,
                data_root,
                device,
                scratch,
                steps=steps,
                rounds=rounds,
                warm_up=warm_up,
                left_out=result.facts["left_out"].append,
            )

    if not trains:
        result = _result(recipe, world, None if noise else data)
        measure_tasks(result)
        if not result.training:
            why = "; ".join(result.facts["left_out"]) or "its tasks cannot be measured by the step"
            raise HarnessError(f"{recipe.name}: {why}")
        result.peak_bytes = _peak(device)
        return result
    with temporary_folder() as scratch:

        def context(of: World) -> Context:
            return Context(
                recipe=recipe,
                folder=StageFolder(scratch),
                attempt=None,
                parent=None,
                data=data,
                data_root=data_root,
                world=of,
                reporter=Silent(),
                stopping=lambda: False,
                asked=spec(recipe, "pretrain"),
            )

        measured = Steps(context(world), scratch)
        whole = measured.whole(steps=steps, rounds=rounds, warm_up=warm_up)
        peak = _peak(device)
        parts = measured.parts(rounds=rounds, warm_up=warm_up)
        moved = measured.moved()
        shared: dict[str, Timing] = {}
        if world.size > 1:
            steps_of = {world.size: measured}
            if world.rank == 0:
                steps_of[1] = Steps(context(World.alone(device)), scratch)
            shared = _sharing(steps_of, steps=steps, rounds=rounds, warm_up=warm_up)
        measured.saver.close()
    features = measured.training.mechanism.query.feature_dim
    dim = recipe.model.dim if recipe.reads_output else features
    trained = measured.training.mechanism.parameters()
    parameters = sum(p.numel() for p in trained if p.requires_grad)
    result = _result(recipe, world, None if noise else data)
    result.whole, result.parts, result.sharing = whole, parts, shared
    result.peak_bytes, result.moved = peak, moved
    if world.size > 1:
        result.expected = traffic.sent(recipe, world.size, parameters)
    result.facts |= {
        "parameters": parameters,
        "knn": list(knn),
        "knn_dim": dim,
        "steps_per_epoch": measured.training.per_epoch,
        "steps_per_checkpoint": _steps_per_checkpoint(recipe, None if noise else data),
    }
    if world.rank == 0:
        result.evaluation = evaluation.knn(
            device,
            queries=knn[0],
            bank=knn[1],
            dim=dim,
            k=(recipe.knn or Knn()).k,
            rounds=max(1, rounds // 2),
        )
        result.evaluation |= evaluation.encode(
            measured.training.mechanism.query,
            data,
            recipe,
            world=World.alone(device),
            rounds=rounds,
        )
        if recipe.linear is not None:
            result.evaluation |= evaluation.probe(
                device,
                recipe.linear,
                dim=features,
                classes=data.classes,
                rounds=rounds,
            )
    if world.size == 1:
        measure_tasks(result)
    if tasks:
        with temporary_folder() as scratch:
            result.tasks = evaluations(recipe, data_root, device, scratch)
    return result


def _check_tasks(recipe: Recipe, world: World) -> None:
    """Refuse a recipe without pre-training of which nothing can be measured here."""
    said = f"{recipe.name}: optim.epochs is 0"
    if not trained_tasks(recipe):
        raise HarnessError(
            f"{said} and no task trains the network further, so there is no step to measure"
        )
    if world.size > 1:
        raise HarnessError(f"{said}, and a task's step is measured on one process: --processes 1")


def _check_evaluations(recipe: Recipe, world: World, *, noise: bool) -> None:
    """Refuse `--tasks` where the whole data cannot be evaluated."""
    if not recipe.optim.epochs:
        raise HarnessError(
            f"{recipe.name}: --tasks evaluates a pre-training, and optim.epochs is 0"
        )
    if noise:
        raise HarnessError("--tasks evaluates all of the data; leave out --noise")
    if world.size > 1:
        raise HarnessError("--tasks is measured with one process: --processes 1")
    if not recipe.data.labelled:
        raise HarnessError(
            f"{recipe.name}: --tasks needs labels, and the {recipe.data.name} of "
            f"{recipe.data.folder} have none; leave it out"
        )


def _result(recipe: Recipe, world: World, data: DataSet | None) -> Result:
    """A result without measurements; `data` is None for random pixels."""
    kind = "pretrain" if recipe.optim.epochs else spec(recipe, trained_tasks(recipe)[0]).task.kind
    own = edition(kind, recipe.contrast.kind, recipe.optim.kind)
    device, threads = device_name(world.device), torch.get_num_threads()
    made, _ = capture(edition=own, device=device, threads=threads, data={})
    return Result(
        recipe=recipe.name,
        device=device,
        processes=world.size,
        batch=recipe.optim.batch,
        precision=recipe.precision,
        whole={},
        parts={},
        facts={
            "edition": own,
            "backbone": recipe.model.backbone,
            "size": recipe.data.size,
            "data": data.name if data is not None else "noise",
            "images": data and {name: len(each) for name, each in _parts(data)},
            "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "threads": threads,
            "recipe": recipe.model_dump(mode="json"),
            "left_out": [],
            **{name: made[name] for name in ("packages", "python", "machine", "code")},
        },
    )


def noise_for(recipe: Recipe) -> DataSet:
    """Random pixels at the recipe's size: a few batches, of the classes that it learns, or ten."""
    size = recipe.data.size
    generator = torch.Generator().manual_seed(0)
    most = max((recipe.knn or Knn()).k)
    classes = recipe.model.dim if recipe.contrast.labels else 10
    shape = (max(NOISE_BATCHES * recipe.optim.batch, most, classes), 3, size, size)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    images = Stack(pixels, torch.arange(len(pixels)) % classes)
    grey = (0.5, 0.5, 0.5)
    return DataSet("noise", images, images, images, classes, grey, grey, "0" * 12)


def _steps_per_checkpoint(recipe: Recipe, data: DataSet | None) -> int:
    """Steps between checkpoints, at most an epoch; with random pixels, of the recipe's data set."""
    known = recipe.data.images or KNOWN_SIZES.get(recipe.data.name)
    images = len(data.train) if data is not None else known
    every = recipe.watch.checkpoint_steps
    return min(every, images // recipe.optim.batch) if images else every


def _parts(data: DataSet) -> Iterator[tuple[str, Images]]:
    yield from (("train", data.train), ("bank", data.bank), ("test", data.test))


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def _sharing(
    made: Mapping[int, Steps], *, steps: int, rounds: int, warm_up: int
) -> dict[str, Timing]:
    """Seconds per step of the loop, with its input, in turns: ALONE, by the first process on all
    cores while the others wait, and SHARED, by all.

    Every process calls it; only the first one's times are meaningful.

    Args:
        made: by number of processes: the steps that all of them share and, in the first process,
            those that it makes alone.
    """
    everyone = made[max(made)].context.world
    cores, own = operating_system.cores(), torch.get_num_threads()

    def begin(threads: int) -> None:
        everyone.barrier()
        if everyone.device.type == "cpu":
            torch.set_num_threads(threads)

    counts = {n: whole_blocks(each.training.loader, steps) for n, each in made.items()}

    def loop(processes: int) -> None:
        if processes in made:
            made[processes].loop(counts[processes])

    found = measure(
        {
            ALONE: Timed(lambda: loop(1), lambda: begin(max(cores, own))),
            SHARED: Timed(lambda: loop(everyone.size), lambda: begin(own)),
        },
        everyone.device,
        rounds=rounds,
        warm_up=warm_up,
    )
    of = {ALONE: counts.get(1, steps), SHARED: counts[everyone.size]}
    return {name: timing.over(of[name]) for name, timing in found.items()}
