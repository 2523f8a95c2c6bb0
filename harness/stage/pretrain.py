"""Pre-training: the loop of v1's Algorithm 1, monitored by kNN, resumable at every step."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from harness.data.loader import Batch, Loader
from harness.evaluate.features import Kept
from harness.evaluate.health import collapse
from harness.methods.mechanism import Mechanism
from harness.model.encoder import Encoder
from harness.model.groups import (
    average_running_statistics,
    broadcast_running_statistics,
    fit_groups,
)
from harness.recipe.schema import Recipe
from harness.recipe.section import plain
from harness.runtime import checkpoint
from harness.runtime.optimiser import build_optimiser, set_rate
from harness.runtime.schedule import rate
from harness.runtime.world import World
from harness.spec.declarations import PER_CLASS, load
from harness.spec.registry import alarms, methods
from harness.stage import beginning, monitor
from harness.stage.context import Context, Diverged, Interrupted, StageOutcome, finite, fitting
from harness.stage.health import COLLAPSED, SETTLED, Health, recorded
from harness.stage.knn import measure

MONITORED = ("knn/top1", f"knn/{PER_CLASS}")
"""The latter only on data sets that are published with it."""

LEAST_SCALE = 2.0**-24
"""Least loss scale of fp16. Gradients that overflow below it exceed 1e12 in any format."""


@dataclass
class _Block:
    """Steps whose metrics are still on the device."""

    steps: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    correct: list[Tensor] = field(default_factory=list)


def build_mechanism(recipe: Recipe, encoder: Encoder, *, labels: Tensor, world: World) -> Mechanism:
    """The mechanism that the recipe's `contrast` names; `labels`: those of the training images,
    int64 (images,), -1 where there is none."""
    build_method = load(methods()[recipe.contrast.kind].build)
    made: Mechanism = build_method(recipe, encoder, labels=labels, world=world)
    return made


class Pretraining:
    """One pre-training in progress; `run` does all of it."""

    def __init__(self, context: Context) -> None:
        recipe, world = context.recipe, context.world
        self.recipe, self.context = recipe, context
        if context.device.type == "cuda":  # this process may have run other stages before
            torch.cuda.reset_peak_memory_stats(context.device)
        self.monitor = monitor.of(context)
        self.loader = Loader(
            context.data,
            context.data.train,
            recipe.drawn(),
            stream=(recipe.seed, "pretrain"),
            batch=recipe.optim.batch,
            device=context.device,
            share=(world.rank, world.size),
        )
        encoder, self.given = beginning.encoder(context)
        self.mechanism = build_mechanism(
            recipe, encoder, labels=context.data.train.labels, world=world
        )
        self.mechanism.to(context.device)
        self.mechanism.to(memory_format=torch.channels_last)  # it makes convolutions faster
        fit_groups(self.mechanism, batch=recipe.optim.batch, world=world)
        self.optimiser = build_optimiser(self.mechanism.merge(), recipe.optim)
        self.scaler = torch.amp.GradScaler(context.device.type, enabled=recipe.precision == "fp16")
        self.health = Health(recipe, context.data, world)
        self._kept: Kept | None = None  # by the newest kNN monitor, for the health of its features
        self._gradient = torch.zeros(())  # norm in the epoch's last step
        self._health: dict[str, float] = {}
        self.per_epoch = self.loader.steps_per_epoch
        self.total = recipe.optim.epochs * self.per_epoch
        if recipe.optim.steps is not None:
            self.total = min(self.total, recipe.optim.steps)
        self.step = 0
        self._block = _Block()
        self._since = time.perf_counter()  # start of the block's first step
        self._speeds: list[float] = []
        self._figures: dict[str, float] = {}
        self._losses: list[float] = []  # per step of the last epoch
        self._top1: list[float] = []
        self._memory = 0.0  # GB, peak memory of training itself on this device

    def run(self) -> StageOutcome:
        """Train to the last step.

        Raises:
            Interrupted: asked to stop; the checkpoint is written.
            Diverged: the loss, a weight or a feature is no longer finite.
            StoreError, DataError: see Context.restore, and harness.stage.beginning.
            HarnessError: the processes do not start with the same weights, queue or momentum.
        """
        context, recipe, watch = self.context, self.recipe, self.recipe.watch
        restored = context.restore()
        if restored is not None:
            with fitting(context.folder):
                self._load(*restored)
        elif (other := beginning.continued(context)) is not None:
            with fitting(context.folder):
                self._go_on(*other)
        context.world.same_tensors(self._tensors(), f"the state at step {self.step}")
        context.reporter.begin(
            context.folder.id, total=self.total, done=self.step, steps_per_epoch=self.per_epoch
        )
        if self.total == 0:  # a control: the initial weights are evaluated
            self._monitor()
            self._check_health(0)
            self._save()
        self._since = time.perf_counter()
        for batch in self.loader.batches(self.step, self.total):
            self.train(batch)
            ends_epoch = self.step % self.per_epoch == 0 or self.step == self.total
            saves = ends_epoch or self.step % watch.checkpoint_steps == 0
            synchronises = saves or self.step % watch.log_steps == 0
            stops = context.asked_to_stop(synchronising=synchronises)
            if synchronises or stops:
                self.drain()
            if ends_epoch:
                epoch = self.step // self.per_epoch
                if self.step == self.total or (watch.knn_epochs and epoch % watch.knn_epochs == 0):
                    self._monitor()
                self._check_health(epoch)
            if saves or stops:
                self._save()
            if stops and self.step < self.total:
                context.wait_for_checkpoint()
                raise Interrupted
            if saves or stops:
                self._since = time.perf_counter()
        context.wait_for_checkpoint()
        values = {name: self._figures[name] for name in MONITORED if name in self._figures}
        values = {} if recipe.knn is None else values
        if self._losses:
            values["train/loss"] = _mean(self._losses)
        if self._top1:
            values["pretext/top1"] = _mean(self._top1)
        values |= self._health
        speed = sorted(self._speeds)[len(self._speeds) // 2] if self._speeds else None
        facts: dict[str, Any] = {
            "images_per_s": speed,
            "memory_gb": round(self._memory, 3) or None,
            "weights": checkpoint.newest_digest(context.folder.checkpoints),
        }
        if self.given is not None:
            facts["given"] = dataclasses.asdict(self.given)
        return StageOutcome(self.step, values, facts)

    def train(self, batch: Batch) -> Tensor:
        """One step; returns this process's loss, on the device; `drain` reads it later."""
        optim = self.recipe.optim
        epoch = self.step // self.per_epoch
        lr = rate(optim.schedule, optim.lr, epoch, optim.epochs, self.step)
        set_rate(self.optimiser, lr)
        self.optimiser.zero_grad()
        loss, correct = self.mechanism(batch.views, batch.index, self.step)
        self.scaler.scale(loss).backward()
        self.context.world.average_(self.optimiser.gradient, "gradients")
        if (self.step + 1) % self.per_epoch == 0 or self.step + 1 == self.total:
            self._gradient = torch.linalg.vector_norm(self.optimiser.gradient)
            self._gradient /= self.scaler.get_scale()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.mechanism.after_step()
        average_running_statistics(self.mechanism, self.context.world)
        self.step += 1
        self._block.steps.append(self.step)
        self._block.rates.append(lr)
        self._block.losses.append(loss.detach())
        if correct is not None:
            self._block.correct.append(correct)
        return self._block.losses[-1]

    def drain(self) -> None:
        """Write the block's metrics, means over all processes, from the device to the journal."""
        broadcast_running_statistics(self.mechanism, self.context.world)
        if self.context.device.type == "cuda":  # before the kNN monitor, which runs after a drain
            held = torch.cuda.max_memory_allocated(self.context.device)
            self._memory = max(self._memory, held / 1e9)
        block, self._block = self._block, _Block()
        world, batch = self.context.world, self.recipe.optim.batch
        # Sums of float32 are exact in float64: ranks and block sizes do not change them.
        total = world.sum(torch.stack(block.losses).double())
        losses: list[float] = (total / world.size).tolist()
        top1: list[float] = []
        if block.correct:
            top1 = [100 * n / batch for n in world.sum(torch.stack(block.correct)).tolist()]
        now = time.perf_counter()
        speed, self._since = round(len(losses) * batch / (now - self._since), 1), now
        bad = next((n for n, loss in enumerate(losses) if not math.isfinite(loss)), None)
        records = [
            {
                "step": step,
                "epoch": self._epoch(step),
                "t": round(time.time(), 1),
                "train/loss": loss,
                "train/lr": lr,
                **({"pretext/top1": top1[n]} if top1 else {}),
            }
            for n, (step, lr, loss) in enumerate(zip(block.steps, block.rates, losses, strict=True))
        ][: None if bad is None else bad + 1]
        records[-1]["train/images_per_s"] = speed
        self.context.record(records)
        self._speeds.append(speed)
        self._losses = (self._losses + losses)[-self.per_epoch :]
        self._top1 = (self._top1 + top1)[-self.per_epoch :]
        if bad is not None:
            self._diverge(block.steps[bad], losses[: bad + 1])
        if self.scaler.get_scale() < LEAST_SCALE:  # each overflow halves it, and skips a step
            raise Diverged(self.step, f"no gradient was finite in the steps before {self.step}", {})
        self._figures |= {
            "train/loss": _mean(losses),
            **({"pretext/top1": _mean(top1)} if top1 else {}),
            "train/images_per_s": speed,
        }
        self.context.reporter.advance(self.step, self._figures)

    def _diverge(self, step: int, losses: list[float]) -> None:
        trail = ", ".join(f"{loss:.4g}" for loss in losses[-6:-1]) or "none in this block"
        raise Diverged(
            step, f"the loss was {losses[-1]} at step {step} (previous losses: {trail})", {}
        )

    def _epoch(self, step: int) -> float:
        return round(step / self.per_epoch, 4)

    def _monitor(self) -> None:
        """kNN with the query encoder as it is now, if it is monitored.

        Raises:
            Diverged: a weight or a feature is not finite, though the losses so far were.
        """
        context = self.context
        if (on := self.monitor) is None:
            return
        kept = self.health.kept() if on.data is context.data else None
        encoder, world = self.mechanism.query, context.world
        with finite(self.step):
            values = measure(
                encoder, self.recipe, on.protocol, on.data, world, _never, on.size, kept
            )
        self._kept = kept
        self._figures |= {name: values[name] for name in MONITORED if name in values}
        context.record(
            [
                {
                    "step": self.step,
                    "epoch": self._epoch(self.step),
                    "t": round(time.time(), 1),
                    **values,
                    "protocol": plain(on.protocol),
                }
            ]
        )
        context.reporter.advance(self.step, self._figures)

    def _check_health(self, epoch: int) -> None:
        """The health of the query encoder's features, if it is due after this epoch.

        Raises:
            Diverged: a weight or a feature is not finite.
        """
        context, last = self.context, self.step == self.total
        kept, self._kept = self._kept, None
        due = self.health.due(epoch, last=last, monitored=kept is not None)
        with finite(self.step):
            values = self.health.measure(self.mechanism, kept) if due else {}
        if context.device.type == "cuda":  # the memory of training itself is reported
            torch.cuda.reset_peak_memory_stats(context.device)
        if not due:
            return
        if self.step:
            if math.isfinite(norm := float(self._gradient)):  # a skipped step of fp16 has none
                values["health/gradient_norm"] = norm
            self._alarm(values)
        self._health = values
        place = {"step": self.step, "epoch": self._epoch(self.step), "t": round(time.time(), 1)}
        context.record([place | values])
        context.reporter.advance(self.step, self._figures | values)

    def _alarm(self, values: dict[str, float]) -> None:
        """Add since when the features are collapsed, and say so once."""
        before = self._health.get(COLLAPSED, 0.0)
        why = collapse(values, self.recipe.model.dim) if self.step >= SETTLED else ""
        values[COLLAPSED] = (before or self._epoch(self.step)) if why else 0.0
        if why and not before:
            told = f"{self.context.folder.id}: {alarms(values)[0]}: {why}"
            self.context.reporter.note(f"{told}; docs/health.md says what to look at")

    def state(self) -> dict[str, Any]:
        """All that a checkpoint holds."""
        return {
            "mechanism": self.mechanism.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "losses": self._losses,
            "top1": self._top1,
            "knn": self._figures.get("knn/top1"),
            **({PER_CLASS: self._figures[MONITORED[1]]} if MONITORED[1] in self._figures else {}),
        }

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors that must be equal on all processes when an attempt starts: none is copied
        between processes, and each process adds the same means to its own."""
        state = self.mechanism.state_dict()
        parts = {
            f"{name.removesuffix('_buffer')} of parameter {n}": x
            for n, each in self.optimiser.state_dict()["state"].items()
            for name, x in each.items()
        }
        return {name: x for name, x in (state | parts).items() if isinstance(x, Tensor)}

    def _save(self) -> None:
        self.context.save(self.step, self.state())

    def _load(self, step: int, state: dict[str, Any]) -> None:
        self.step = step
        self.mechanism.load_state_dict(state["mechanism"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self._losses, self._top1 = state["losses"], state["top1"]
        seen = dict(zip(MONITORED, (state["knn"], state.get(PER_CLASS)), strict=True))
        self._figures = {name: value for name, value in seen.items() if value is not None}
        self._health = recorded(self.context.folder, step)

    def _go_on(self, step: int, state: dict[str, Any]) -> None:
        """Start from the final state of another run. Not taken: the optimiser's settings, which
        are the recipe's, and the metrics, which are that run's."""
        own = self.optimiser.state_dict()["param_groups"]
        state = state | {"optimiser": state["optimiser"] | {"param_groups": own}}
        self._load(step, state | {"losses": [], "top1": [], "knn": None, PER_CLASS: None})


def _never() -> None:
    """The monitor is not interrupted."""


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def run(context: Context) -> StageOutcome:
    """Pre-train; see Pretraining.run."""
    return Pretraining(context).run()
