"""Linear classification on the frozen backbone (v1 Sec. 4.1; code: main_lincls.py)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from harness.data.loader import Loader
from harness.evaluate.accuracy import accuracies
from harness.evaluate.features import encode
from harness.evaluate.linear_probe import LinearProbe, named
from harness.recipe.schema import Augment, Linear
from harness.stage import frozen
from harness.stage.context import Context, Diverged, Interrupted, StageOutcome, finite, fitting
from harness.stage.features import Shared

VIEWS = Augment(crop_scale=(0.08, 1.0), jitter=(0, 0, 0, 0), jitter_p=0, grayscale_p=0)
"""Training views of the official probe: RandomResizedCrop at its default scale, and a flip."""


class Probing:
    """One linear probe in progress; `run` does all of it."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.protocol: Linear = context.section
        self.encoder = frozen.encoder(context, "backbone")
        self.digest = frozen.fingerprint(self.encoder)
        self.test = self._features(context.data.test)
        self.test_labels = context.data.test.labels.to(context.device)
        self.bank_labels = context.data.bank.labels.to(context.device)
        self.bank = self._features(context.data.bank) if self.protocol.views == "center" else None
        self.loader = Loader(
            context.data,
            context.data.bank,
            [VIEWS.at(context.asked.data(context.recipe).size)],
            stream=context.stream("linear"),
            batch=self.protocol.batch,
            device=context.device,
            drop_last=False,
            share=(context.world.rank, context.world.size),
        )
        self.probe = LinearProbe(
            self.protocol,
            dim=self.encoder.feature_dim,
            classes=context.data.classes,
            stream=context.stream("linear"),
            device=context.device,
        )
        self.per_epoch = self.loader.steps_per_epoch
        self.total = self.protocol.epochs * self.per_epoch
        self.step = 0
        self._losses: list[Tensor] = []  # per step of this epoch so far, each (R,)
        self._accuracies: dict[str, list[float]] = {}

    def _features(self, images: object) -> Tensor:
        context = self.context
        parent = context.parent.result if context.parent else None
        with finite(int(parent["step"]) if parent else 0):
            return Shared(context)(
                self.encoder,
                context.data,
                images,  # type: ignore[arg-type]
                size=context.asked.data(context.recipe).size,
                layer="backbone",
                precision=context.recipe.precision,
                world=context.world,
                pausing=context.pause,
            )

    def run(self) -> StageOutcome:
        """Train to the last epoch, which is the one reported.

        Every process trains the same classifiers on the gathered features.

        Raises:
            Interrupted, Diverged, StoreError, DataError: as in pre-training.
        """
        context, watch = self.context, self.context.recipe.watch
        restored = context.restore()
        if restored is not None:
            with fitting(context.folder):
                self._load(*restored)
        context.reporter.begin(
            context.folder.id, total=self.total, done=self.step, steps_per_epoch=self.per_epoch
        )
        for features, labels in self._batches():
            self._train(features, labels)
            ends_epoch = self.step % self.per_epoch == 0
            if ends_epoch:
                self._end_epoch()
            saves = self.step % watch.checkpoint_steps == 0 or self.step == self.total
            synchronises = saves or ends_epoch or self.step % watch.log_steps == 0
            stops = context.asked_to_stop(synchronising=synchronises)
            if saves or stops:
                self._save()
            if stops and self.step < self.total:
                context.wait_for_checkpoint()
                raise Interrupted
        context.wait_for_checkpoint()
        if frozen.fingerprint(self.encoder) != self.digest:
            raise AssertionError("the probe changed a frozen tensor")
        if not self._accuracies:  # restored at the last step
            self._accuracies = self._validate()
        found = self._named(self._accuracies)
        lost = [name for name, value in found.items() if not math.isfinite(value)]
        for name in lost:
            del found[name]
        if lost:
            context.reporter.note(
                f"{context.folder.id}: no {', no '.join(lost)}: the logits of these classifiers "
                "were not finite"
            )
        parent = context.parent.result if context.parent else None
        return StageOutcome(
            self.total, found, {"weights": parent.get("weights") if parent else None}
        )

    def _train(self, features: Tensor, labels: Tensor) -> None:
        epoch = self.step // self.per_epoch
        self._losses.append(self.probe.step(features, labels, epoch))
        self.step += 1

    def _end_epoch(self) -> None:
        """Write the epoch's mean losses and, at intervals, the accuracy to the journal.

        Raises:
            Diverged: the reported classifier's mean loss, or one of its logits, is not finite.
        """
        context, protocol = self.context, self.protocol
        means: list[float] = torch.stack(self._losses).mean(0).tolist()
        self._losses = []
        epoch = self.step // self.per_epoch
        figures = named("linear/loss", protocol, means)
        diverged = not math.isfinite(means[0])
        last = self.step == self.total
        if not diverged and (last or epoch % max(1, protocol.epochs // 10) == 0):
            self._accuracies = self._validate()
            seen = self._named(self._accuracies)
            figures |= {name: value for name, value in seen.items() if math.isfinite(value)}
        context.record([{"step": self.step, "epoch": epoch, "t": round(time.time(), 1), **figures}])
        if diverged:
            raise Diverged(self.step, f"the mean loss of epoch {epoch} was {means[0]}", {})
        if self._accuracies and math.isnan(self._accuracies["top1"][0]):
            raise Diverged(self.step, f"the logits after epoch {epoch} were not finite", {})
        context.reporter.advance(self.step, figures)

    def _validate(self) -> dict[str, list[float]]:
        """Metric -> percent of each classifier on the test images; NaN if a logit is not finite."""
        data = self.context.data
        right, finite = self.probe.right(self.test, self.test_labels, data.tested)
        return {
            metric: [x if whole else math.nan for x, whole in zip(values, finite, strict=True)]
            for metric, values in accuracies(right, self.test_labels, data).items()
        }

    def _named(self, accuracies: dict[str, list[float]]) -> dict[str, float]:
        found: dict[str, float] = {}
        for metric, values in accuracies.items():
            found |= named(f"linear/{metric}", self.protocol, values)
        return found

    def _save(self) -> None:
        losses = torch.stack(self._losses) if self._losses else None
        self.context.save(self.step, {"probe": self.probe.state(), "losses": losses})

    def _load(self, step: int, state: dict[str, Any]) -> None:
        self.step = step
        self.probe.load(state["probe"])
        losses = state["losses"]
        self._losses = [] if losses is None else list(losses.to(self.context.device))

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(features, labels) of the remaining steps; an epoch's last batch may be smaller."""
        context, world = self.context, self.context.world
        if self.bank is not None:
            for step in range(self.step, self.total):
                index = self.loader.indices(step).to(context.device)
                yield self.bank[index], self.bank_labels[index]
            return
        for batch in self.loader.batches(self.step, self.total):
            x = encode(self.encoder, batch.views[0], "backbone", context.recipe.precision)
            index = world.gather(batch.index.to(context.device))[: batch.total]
            yield world.gather(x)[: batch.total], self.bank_labels[index]


def run(context: Context) -> StageOutcome:
    """Probe the parent's encoder; see Probing.run."""
    return Probing(context).run()
