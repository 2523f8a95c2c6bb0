"""Pre-training: the loop of v1's Algorithm 1, watched by kNN, resumable at every step."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from harness.contrast.moco import MoCo
from harness.data.loader import Loader
from harness.model.encoder import build
from harness.runtime.optimiser import set_rate, sgd
from harness.runtime.schedule import rate
from harness.stage.context import Context, Diverged, Interrupted, Outcome
from harness.stage.knn import measure


@dataclass
class _Block:
    """Steps whose figures are still on the device."""

    steps: list[int] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    hits: list[Tensor] = field(default_factory=list)


class Pretraining:
    """One pre-training in progress. `run` is the whole of it."""

    def __init__(self, context: Context) -> None:
        recipe = self.recipe = context.recipe
        self.context = context
        self.loader = Loader(
            context.data,
            context.data.train,
            recipe.augment,
            stream=(recipe.seed, "pretrain"),
            batch=recipe.optim.batch,
            size=recipe.data.size,
            device=context.device,
        )
        self.moco = MoCo(
            build(recipe.model, recipe.seed),
            recipe.contrast,
            dim=recipe.model.dim,
            seed=recipe.seed,
            precision=recipe.precision,
        ).to(context.device)
        self.moco.to(memory_format=torch.channels_last)  # convolutions are quicker in it
        self.optimiser = sgd(self.moco.query.parameters(), recipe.optim)
        self.per_epoch = self.loader.steps_per_epoch
        self.total = recipe.optim.epochs * self.per_epoch
        self.step = 0
        self._block = _Block()
        self._since = time.perf_counter()  # the block's first step began; nothing else ran since
        self._speeds: list[float] = []
        self._figures: dict[str, float] = {}
        self._losses: list[float] = []  # of the last epoch's steps
        self._top1: list[float] = []

    def run(self) -> Outcome:
        """Train to the end.

        Raises:
            Interrupted: asked to stop; the checkpoint is written.
            Diverged: the loss is no longer finite.
            StoreError, DataError: see Context.restore.
        """
        context, watch = self.context, self.recipe.watch
        restored = context.restore()
        if restored is not None:
            self._load(*restored)
        context.reporter.begin(
            context.folder.id, total=self.total, done=self.step, steps_per_epoch=self.per_epoch
        )
        if self.step == 0:
            self._monitor()
            self._save()  # the initial weights: what a control evaluates
        self._since = time.perf_counter()
        for batch in self.loader.batches(self.step, self.total):
            self._train(*batch.views)
            ends_epoch = self.step % self.per_epoch == 0
            saves = ends_epoch or self.step % watch.checkpoint_steps == 0
            stops = context.stopping()
            if saves or stops or self.step % watch.log_steps == 0:
                self._drain()
            if ends_epoch:
                epoch = self.step // self.per_epoch
                if self.step == self.total or (watch.knn_epochs and epoch % watch.knn_epochs == 0):
                    self._monitor()
            if saves or stops:
                self._save()
            if stops and self.step < self.total:
                raise Interrupted
            if saves or stops:
                self._since = time.perf_counter()
        values = {"knn/top1": self._figures["knn/top1"]}
        if self._losses:
            values |= {"train/loss": _mean(self._losses), "pretext/top1": _mean(self._top1)}
        speed = sorted(self._speeds)[len(self._speeds) // 2] if self._speeds else None
        return Outcome(self.step, values, {"images_per_s": speed})

    def _train(self, x1: Tensor, x2: Tensor) -> None:
        optim = self.recipe.optim
        epoch = self.step // self.per_epoch
        set_rate(self.optimiser, rate(optim.schedule, optim.lr, epoch, optim.epochs))
        self.optimiser.zero_grad(set_to_none=True)
        loss, hits = self.moco(x1, x2, self.step)
        loss.backward()
        self.optimiser.step()
        self.moco.follow()
        self.step += 1
        self._block.steps.append(self.step)
        self._block.losses.append(loss.detach())
        self._block.hits.append(hits)

    def _drain(self) -> None:
        """Bring the block's figures from the device into the journal."""
        block, self._block = self._block, _Block()
        losses: list[float] = torch.stack(block.losses).tolist()
        batch = self.recipe.optim.batch
        top1: list[float] = (100 * torch.stack(block.hits) / batch).tolist()
        now = time.perf_counter()
        speed, self._since = round(len(losses) * batch / (now - self._since), 1), now
        bad = next((n for n, loss in enumerate(losses) if not math.isfinite(loss)), None)
        records = [
            {
                "step": step,
                "epoch": self._epoch(step),
                "t": round(time.time(), 1),
                "train/loss": loss,
                "train/lr": self.optimiser.param_groups[0]["lr"],
                "pretext/top1": accuracy,
            }
            for step, loss, accuracy in zip(block.steps, losses, top1, strict=True)
        ][: None if bad is None else bad + 1]
        records[-1]["train/images_per_s"] = speed
        self.context.attempt.record(records)
        self._speeds.append(speed)
        self._losses = (self._losses + losses)[-self.per_epoch :]
        self._top1 = (self._top1 + top1)[-self.per_epoch :]
        if bad is not None:
            self._diverge(block.steps[bad], losses[: bad + 1])
        self._figures |= {
            "train/loss": _mean(losses),
            "pretext/top1": _mean(top1),
            "train/images_per_s": speed,
        }
        self.context.reporter.advance(self.step, self._figures)

    def _diverge(self, step: int, losses: list[float]) -> None:
        trail = ", ".join(f"{loss:.4g}" for loss in losses[-6:-1]) or "none in this block"
        raise Diverged(step, f"the loss was {losses[-1]} at step {step} (before it: {trail})", {})

    def _epoch(self, step: int) -> float:
        return round(step / self.per_epoch, 4)

    def _monitor(self) -> None:
        """kNN with the query encoder as it is now."""
        context = self.context
        values = measure(self.moco.query, self.recipe, context.data, context.device)
        self._figures["knn/top1"] = values["knn/top1"]
        context.attempt.record(
            [
                {
                    "step": self.step,
                    "epoch": self._epoch(self.step),
                    "t": round(time.time(), 1),
                    **values,
                    "protocol": self.recipe.knn.model_dump(mode="json"),
                }
            ]
        )
        context.reporter.advance(self.step, self._figures)

    def _save(self) -> None:
        self.context.save(
            self.step,
            {
                "moco": self.moco.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "losses": self._losses,
                "top1": self._top1,
                "knn": self._figures["knn/top1"],
            },
        )

    def _load(self, step: int, state: dict[str, Any]) -> None:
        self.step = step
        self.moco.load_state_dict(state["moco"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._losses, self._top1 = state["losses"], state["top1"]
        self._figures = {"knn/top1": state["knn"]}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def run(context: Context) -> Outcome:
    """Pre-train; see Pretraining.run."""
    return Pretraining(context).run()
