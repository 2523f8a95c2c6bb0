"""Time the training step, whole and in parts, and its floor, using the real training loop."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from harness.bench import scaling
from harness.bench.clock import Act, Timed, Timing, measure
from harness.bench.floor import Floor
from harness.data.loader import Loader
from harness.methods import shuffle
from harness.methods.info_nce import info_nce
from harness.methods.moco.method import MoCo
from harness.runtime import checkpoint
from harness.runtime.precision import autocast
from harness.stage.context import Context
from harness.stage.pretrain import Pretraining
from harness.store.journal import Writer


def whole_blocks(loader: Loader, steps: int) -> int:
    """`steps`, rounded up to fill whole blocks of views. A partial block costs as much as a whole
    one, more than training ever spends."""
    end = 0
    while end < steps:
        end = loader.block(end).stop
    return end


class Steps:
    """A pre-training that is measured, not finished; nothing of it is kept."""

    def __init__(self, context: Context, scratch: Path) -> None:
        self.context = context
        self.training = Pretraining(context)
        self.floor = Floor(context.recipe, context.world)
        self.scratch = scratch
        self.saver = context.saver
        self._next = itertools.count()
        self._batch = next(self.training.loader.batches(0, 1))
        self._pair = self._batch.views[0], self._batch.views[-1]  # one view: the same twice

    def whole(self, *, steps: int, rounds: int, warm_up: int) -> dict[str, Timing]:
        """Seconds per step of: floor, step (data in place), end to end (the loop, with its input,
        stop checks and logging), input (the pipeline alone). At least `steps` steps are timed as
        one, see `whole_blocks`."""
        x1, x2 = self._pair
        steps = whole_blocks(self.training.loader, steps)
        found = measure(
            {
                "floor": lambda: self._repeat(steps, lambda: self.floor.step(x1, x2)),
                "step": lambda: self._repeat(steps, self._step),
                "end to end": Timed(lambda: self.loop(steps), self.training.drain),
                "input": lambda: self._input(steps),
            },
            self.context.device,
            rounds=rounds,
            warm_up=warm_up,
        )
        return {name: timing.over(steps) for name, timing in found.items()}

    def parts(self, *, rounds: int, warm_up: int) -> dict[str, Timing]:
        """Seconds of each part of a step separately. On CUDA each part is waited for. Their sum
        exceeds the step, in which they overlap."""
        training, batch, loader = self.training, self._batch, self.training.loader
        images = loader.images
        index = loader.indices(0)[: len(batch.index)]
        block = [loader.share_of(step) for step in loader.block(0)]
        loaded = images.load(torch.cat([each.index for each in block]))
        share = scaling.share(self.context.recipe)
        floor = Floor(self.context.recipe, self.context.world, share)
        x1, x2 = (view[:share] for view in self._pair)
        things: dict[str, Act | Timed] = {
            "read": lambda: images.load(index),
            "augment": lambda: loader.views_of(loader.cut(block, loaded)),
            **self._mechanism_parts(),
            "backward": Timed(lambda: self._loss.backward(), self._forward),
            **self._gradients_part(),
            "optimiser": training.optimiser.step,
            "follow": Timed(training.mechanism.after_step, self._forward),
            "logging": Timed(self._log, self._step),
            "floor of a share": lambda: floor.step(x1, x2),
            "checkpoint": Timed(self._save, self.saver.wait),
            "checkpoint on disk": Timed(self._save_and_wait, self.saver.wait),
        }
        found = measure(things, self.context.device, rounds=rounds, warm_up=warm_up)
        return found | {"augment": found["augment"].over(len(block))}

    def moved(self) -> dict[str, int]:
        """Bytes that this process sends in one step, by collective; {} for a single process."""
        world = self.context.world
        before = dict(world.moved)
        self._step()
        return {what: n - before.get(what, 0) for what, n in world.moved.items()}

    def _gradients_part(self) -> dict[str, Act | Timed]:
        world, gradient = self.context.world, self.training.optimiser.gradient
        if world.size == 1:
            return {}
        return {"gradients' mean": lambda: world.average_(gradient, "gradients")}

    def _mechanism_parts(self) -> dict[str, Act | Timed]:
        mechanism, world = self.training.mechanism, self.context.world
        x1, x2 = self._pair
        total = len(x2) * world.size
        precision = self.context.recipe.precision

        def query() -> Tensor:
            with autocast(precision, x1.device):
                made: Tensor = mechanism.query(x1)
            return made

        if not isinstance(mechanism, MoCo):
            return {"query forward": query, "whole forward": self._forward}

        @torch.no_grad()
        def key() -> None:
            with autocast(precision, x2.device):
                mechanism.key(x2)

        def move() -> None:
            there, _ = shuffle.order(0, next(self._next), total)
            world.exchange(x2, there)

        dim = mechanism.queue.keys.shape[1]
        q = torch.randn(len(x1), dim, device=x1.device).requires_grad_()
        k = torch.randn(len(x1), dim, device=x1.device)
        return {
            "shuffle": move,
            "query forward": query,
            "key forward": key,
            "logits and loss": lambda: info_nce(q, k, mechanism.queue.keys, mechanism.temperature),
        }

    def _repeat(self, steps: int, act: Act) -> None:
        for _ in range(steps):
            act()

    def _step(self) -> None:
        self.training.train(self._batch)

    def _forward(self) -> None:
        self.training.optimiser.zero_grad()
        batch = self._batch
        self._loss, _ = self.training.mechanism(batch.views, batch.index, next(self._next))

    def loop(self, steps: int) -> None:
        """The real training loop from its first step, with input, stop checks and logging."""
        training, every = self.training, self.context.recipe.watch.log_steps
        for n, batch in enumerate(training.loader.batches(0, steps), 1):
            training.train(batch)
            synchronises = n % every == 0 or n == steps
            self.context.asked_to_stop(synchronising=synchronises)
            if synchronises:
                training.drain()

    def _input(self, steps: int) -> None:
        for _ in self.training.loader.batches(0, steps):
            pass

    def _log(self) -> None:
        with tempfile.NamedTemporaryFile(dir=self.scratch) as file:
            self.training.drain()
            writer = Writer(Path(file.name))
            writer.append([{"step": 1, "train/loss": 1.0}] * self.context.recipe.watch.log_steps)
            writer.close()

    def _save(self) -> None:
        step = next(self._next)
        self.saver.save(
            self.training.state(), lambda state: checkpoint.save(self.scratch, step, state, keep=1)
        )

    def _save_and_wait(self) -> None:
        self._save()
        self.saver.wait()
