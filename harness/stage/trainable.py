"""The loop of a task that trains a network further: any model, data and loss, resumable at every
step.

A task supplies a `Trainable`; its section of the recipe is a TrainedTask.
"""

from __future__ import annotations

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from harness.errors import DataError
from harness.evaluate.features import NotFinite
from harness.model.synchronised import set_precise_statistics, synchronise_norms
from harness.recipe.training import TrainedTask
from harness.runtime import checkpoint
from harness.runtime.cores import helpers
from harness.runtime.grouped_sgd import Group, GroupedSgd
from harness.runtime.schedule import stepped
from harness.stage.context import Context, Diverged, Interrupted, StageOutcome, finite, fitting
from harness.store import pictures, precision_recall
from harness.store.pictures import Pictures
from harness.store.precision_recall import PrecisionRecall

AHEAD = 2
"""Batches that are made ahead while a step computes."""

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)

B = TypeVar("B")


class Trainable(ABC, Generic[B]):
    """What a task supplies to TaskTraining.

    Attributes:
        model: the network, with the parent's weights and new layers. Its batch norms are
            GroupedBatchNorm2d. It may be on any device.
        head: the modules of `model` that are new.
        per_epoch: steps in one pass over the training data.
        fingerprint: of data of the task's own, besides the stage's; "": it has none.
    """

    model: nn.Module
    head: Sequence[nn.Module]
    per_epoch: int
    fingerprint: str = ""

    @abstractmethod
    def batches(self, first: int, last: int) -> Iterator[B]:
        """This process's equal share of the batches of steps `first` to `last` - 1. Each is a
        function of the step; steps go on behind the last one for PreciseBN."""

    @abstractmethod
    def loss(self, batch: B) -> Tensor:
        """The loss of the share, a scalar on the device, by one forward pass of `model`. The mean
        over the processes is the loss of the global batch."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """The task's metrics of `model`, the same on every process; `model` is in eval mode.

        Raises:
            NotFinite: the outputs allow no measurement.
        """

    def in_place(self, batch: B) -> B:
        """The batch as `outputs` takes it: on the device, normalised."""
        return batch

    def outputs(self, batch: B) -> Tensor:
        """What the loss is computed from a batch in place. `bench` takes one forward pass of it,
        and the backward pass of its sum, as the floor of a step; without an own definition that is
        the loss."""
        return self.loss(batch)

    def pictures(self) -> Pictures | None:
        """What `model`, in eval mode, predicts for a few test images, the same for every run; None:
        nothing that can be seen. Only the first process calls it, so it uses no collective.

        Raises:
            NotFinite: the outputs allow no prediction.
        """
        return None

    def precision_recall(self) -> PrecisionRecall | None:
        """Precision over recall of `model`, in eval mode, on the test images; None: nothing is
        detected. All processes call it.

        Raises:
            NotFinite: the outputs allow no measurement.
        """
        return None

    def facts(self) -> dict[str, Any]:
        """Further facts for the result."""
        return {}


def ahead(make: Callable[[int], B], first: int, last: int) -> Iterator[B]:
    """make(step) for steps `first` to `last` - 1, each made in a thread while others are used."""
    with helpers(1, "ahead") as pool:
        pending: deque[Future[B]] = deque()
        try:
            for step in range(first, last):
                while len(pending) < AHEAD and (coming := step + len(pending)) < last:
                    pending.append(pool.submit(make, coming))
                yield pending.popleft().result()
        finally:
            for each in pending:
                each.cancel()


def rate(protocol: TrainedTask, step: int, per_epoch: int) -> float:
    """The learning rate at `step`, counted from 0, of `per_epoch` steps a pass."""
    schedule, lr = protocol.schedule, protocol.lr
    if schedule.kind == "step":
        at = step // per_epoch if protocol.epochs is not None else step
        lr *= stepped(schedule.drops, schedule.factor, at)
    elif schedule.kind == "cosine":
        lr *= 0.5 * (1 + math.cos(math.pi * step / protocol.total(per_epoch)))
    warmup = protocol.warmup
    if warmup is not None and step < warmup.steps:
        lr *= warmup.factor + (1 - warmup.factor) * step / warmup.steps
    return lr


def groups(model: nn.Module, head: Sequence[nn.Module], protocol: TrainedTask) -> list[Group]:
    """The parameters of `model` by rate and decay: those of `head` with their own rate, those of
    norms with their own decay."""
    new = {id(p) for module in head for p in module.parameters()}
    norms = {
        id(p)
        for module in model.modules()
        if isinstance(module, NORMS)
        for p in module.parameters(recurse=False)
    }
    found: dict[tuple[float, float], list[Tensor]] = {}
    for p in model.parameters():
        decay = protocol.weight_decay
        if id(p) in norms and protocol.norm_decay is not None:
            decay = protocol.norm_decay
        factor = protocol.head_lr if id(p) in new else 1.0
        found.setdefault((factor, decay), []).append(p)
    return [Group(parameters, *both) for both, parameters in found.items()]


@dataclass
class _Block:
    """Steps whose losses are still on the device."""

    steps: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)


class TaskTraining(Generic[B]):
    """One training of a task in progress; `run` does all of it."""

    def __init__(self, context: Context, work: Trainable[B]) -> None:
        self.context, self.work = context, work
        self.protocol: TrainedTask = context.section
        self.kind = context.asked.task.kind
        if context.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(context.device)
        model = work.model.to(context.device).to(memory_format=torch.channels_last)
        model.train().requires_grad_(True)
        synchronise_norms(model, batch=self.protocol.batch, world=context.world)
        self.per_epoch = work.per_epoch
        self.total = self.protocol.total(self.per_epoch)
        whole = self.per_epoch if self.protocol.epochs is not None else 1
        evaluations = context.recipe.watch.evaluations
        self.period = whole * max(1, self.total // whole // evaluations)
        self.step = 0
        self._block = _Block()
        self._since = time.perf_counter()
        self._speeds: list[float] = []
        self._losses: list[float] = []  # per step of the last epoch
        self._values: dict[str, float] = {}  # of the last evaluation
        self.optimise()

    def optimise(self) -> None:
        """Build the optimiser over the parameters as they are now: their dtype, device, layout."""
        self.optimiser = GroupedSgd(
            groups(self.work.model, self.work.head, self.protocol),
            momentum=self.protocol.sgd_momentum,
            nesterov=self.protocol.nesterov,
        )

    def run(self) -> StageOutcome:
        """Train to the last step, whose evaluation is the one reported.

        Raises:
            Interrupted: asked to stop; the checkpoint is written.
            Diverged: the loss, a weight or an output is no longer finite.
            StoreError, DataError: see Context.restore.
            HarnessError: the processes do not start with the same weights.
        """
        context, watch = self.context, self.context.recipe.watch
        restored = context.restore()
        if restored is not None:
            with fitting(context.folder):
                self._load(*restored)
        context.world.same_tensors(self._tensors(), f"the state at step {self.step}")
        context.reporter.begin(
            context.folder.id, total=self.total, done=self.step, steps_per_epoch=self.per_epoch
        )
        self._since = time.perf_counter()
        for batch in self.work.batches(self.step, self.total):
            self.train(batch)
            last = self.step == self.total
            ends_epoch = self.protocol.epochs is not None and self.step % self.per_epoch == 0
            evaluates = last or self.step % self.period == 0
            saves = last or ends_epoch or self.step % watch.checkpoint_steps == 0
            synchronises = saves or evaluates or self.step % watch.log_steps == 0
            stops = context.asked_to_stop(synchronising=synchronises)
            if synchronises or stops:
                self.drain()
            if last:
                self.finish()
            if evaluates:
                self._evaluate()
            if saves or stops:
                self._save()
            if stops and not last:
                context.wait_for_checkpoint()
                raise Interrupted
            if evaluates or saves or stops:
                self._since = time.perf_counter()
        context.wait_for_checkpoint()
        return self._outcome()

    def train(self, batch: B) -> Tensor:
        """One step; returns this process's loss, on the device; `drain` reads it later."""
        self.optimiser.zero_grad()
        loss = self.work.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        for gradient in self.optimiser.gradients:
            self.context.world.average_(gradient, "gradients")
        lr = rate(self.protocol, self.step, self.per_epoch)
        self.optimiser.step(lr)
        self.step += 1
        self._block.steps.append(self.step)
        self._block.rates.append(lr)
        self._block.losses.append(loss.detach())
        return self._block.losses[-1]

    def finish(self) -> None:
        """After the last step: PreciseBN, if the recipe wants it."""
        if count := self.protocol.precise_bn:
            further = self.work.batches(self.total, self.total + count)
            set_precise_statistics(self.work.model, (self.work.loss(each) for each in further))

    def drain(self) -> None:
        """Write the losses since the last call, means over the processes, to the journal.

        Raises:
            Diverged: one of them is not finite.
        """
        block, self._block = self._block, _Block()
        world = self.context.world
        total = world.sum(torch.stack(block.losses).double())
        losses: list[float] = (total / world.size).tolist()
        now = time.perf_counter()
        speed = round(len(losses) * self.protocol.batch / (now - self._since), 3)
        self._since = now
        bad = next((n for n, loss in enumerate(losses) if not math.isfinite(loss)), None)
        records: list[dict[str, Any]] = [
            {
                "step": step,
                "epoch": self._epoch(step),
                "t": round(time.time(), 1),
                f"{self.kind}/loss": loss,
                f"{self.kind}/lr": lr,
            }
            for step, lr, loss in zip(block.steps, block.rates, losses, strict=True)
        ][: None if bad is None else bad + 1]
        records[-1][f"{self.kind}/images_per_s"] = speed
        self.context.record(records)
        self._speeds.append(speed)
        self._losses = (self._losses + losses)[-self.per_epoch :]
        if bad is not None:
            step, before = block.steps[bad], losses[:bad][-5:]
            trail = ", ".join(f"{loss:.4g}" for loss in before) or "none in this block"
            raise Diverged(
                step, f"the loss was {losses[bad]} at step {step} (previous losses: {trail})", {}
            )
        mean = sum(losses) / len(losses)
        shown = {f"{self.kind}/loss": mean, f"{self.kind}/images_per_s": speed}
        self.context.reporter.advance(self.step, shown | self._values)

    def _evaluate(self) -> None:
        """Measure the network as it is now, and write the metrics to the journal.

        Raises:
            Diverged: a weight, a running statistic or an output is not finite.
        """
        model = self.work.model
        state = [x for x in model.state_dict().values() if x.is_floating_point()]
        if not bool(torch.stack([x.isfinite().all() for x in state]).all()):
            raise Diverged(self.step, f"after step {self.step}, weights were not finite", {})
        model.eval()
        with finite(self.step), torch.no_grad():
            self._values = self.work.evaluate()
        model.train()
        record = {"step": self.step, "epoch": self._epoch(self.step), "t": round(time.time(), 1)}
        self.context.record([record | self._values])
        self.context.reporter.advance(self.step, self._values)

    def _outcome(self) -> StageOutcome:
        parent = self.context.parent.result if self.context.parent else None
        values = dict(self._values)
        if self._losses:
            values[f"{self.kind}/loss"] = sum(self._losses) / len(self._losses)
        facts: dict[str, Any] = {
            "weights": parent.get("weights") if parent else None,
            "trained": checkpoint.newest_digest(self.context.folder.checkpoints),
            "images_per_s": sorted(self._speeds)[len(self._speeds) // 2] if self._speeds else None,
        }
        if self.context.device.type == "cuda":
            held = torch.cuda.max_memory_allocated(self.context.device)
            facts["memory_gb"] = round(held / 1e9, 3)
        facts |= self.work.facts() | self._pictures() | self._precision_recall()
        return StageOutcome(self.step, values, facts)

    def _pictures(self) -> dict[str, Any]:
        """Keep the pictures of the first trial; returns what the result says of them. Here and not
        with the last evaluation, which a resumed attempt may find done."""
        attempt = self.context.attempt
        if attempt is None or self.context.asked.trial:
            return {}
        self.work.model.eval()
        with torch.no_grad(), contextlib.suppress(NotFinite):  # the evaluation judges that
            if (made := self.work.pictures()) is not None:
                attempt.check_fence()
                return {pictures.KEY: pictures.keep(self.context.folder.path, made)}
        return {}

    def _precision_recall(self) -> dict[str, Any]:
        """Keep the curves of every trial; returns what the result says of them."""
        self.work.model.eval()
        with torch.no_grad(), finite(self.step):
            made = self.work.precision_recall()
        attempt = self.context.attempt
        if made is None or attempt is None:
            return {}
        attempt.check_fence()
        return {precision_recall.KEY: precision_recall.keep(self.context.folder.path, made)}

    def _epoch(self, step: int) -> float:
        return round(step / self.per_epoch, 4)

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors that must be equal on all processes when an attempt starts."""
        momentum = {
            f"{name} of parameter {n} of group {g}": x
            for g, group in enumerate(self.optimiser.state())
            for n, each in group.items()
            for name, x in each.items()
        }
        every = self.work.model.state_dict() | momentum
        return {name: x for name, x in every.items() if isinstance(x, Tensor)}

    def _save(self) -> None:
        state = {
            "model": self.work.model.state_dict(),
            "optimiser": self.optimiser.state(),
            "losses": self._losses,
            "values": self._values,
        }
        if self.work.fingerprint:
            state["own_data"] = self.work.fingerprint
        self.context.save(self.step, state)

    def _load(self, step: int, state: dict[str, Any]) -> None:
        if self.work.fingerprint and state["own_data"] != self.work.fingerprint:
            folder = self.context.folder
            raise DataError(
                f"the task's data has fingerprint {self.work.fingerprint}, but {folder.id} started "
                f"with {state['own_data']}; restore the old data, or move the folder away "
                f"({folder.path}) to start again"
            )
        self.step = step
        self.work.model.load_state_dict(state["model"])
        self.optimiser.load(state["optimiser"])
        self._losses, self._values = state["losses"], state["values"]
