"""Linear classification on the frozen backbone (v1 Sec. 4.1; code: main_lincls.py)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from harness.data.loader import Loader
from harness.evaluate.features import encode, extract
from harness.evaluate.linear_probe import LinearProbe, named
from harness.recipe.schema import Augment, Linear
from harness.runtime import keyed
from harness.stage import frozen
from harness.stage.context import Context, Diverged, Interrupted, Outcome

VIEWS = Augment(crop_scale=(0.08, 1.0), jitter=(0, 0, 0, 0), jitter_p=0, grayscale_p=0)
"""Training views of the official probe: RandomResizedCrop at its default scale, and a flip."""
SAVE_S = 30.0
"""Seconds between checkpoints; one is written at an epoch's end only."""


class Probing:
    """One linear probe in progress. `run` is the whole of it."""

    def __init__(self, context: Context) -> None:
        assert context.recipe.linear is not None
        self.context = context
        self.protocol: Linear = context.recipe.linear
        self.encoder = frozen.encoder(context)
        self.digest = frozen.fingerprint(self.encoder)
        self.test = self._features(context.data.test)
        self.test_labels = context.data.test.labels.to(context.device)
        self.bank_labels = context.data.bank.labels.to(context.device)
        self.bank = self._features(context.data.bank) if self.protocol.views == "center" else None
        self.probe = LinearProbe(
            self.protocol,
            dim=self.encoder.feature_dim,
            classes=context.data.classes,
            seed=context.recipe.seed,
            device=context.device,
        )
        self.per_epoch = math.ceil(len(context.data.bank) / self.protocol.batch)

    def _features(self, images: object) -> Tensor:
        context = self.context
        return extract(
            self.encoder,
            context.data,
            images,  # type: ignore[arg-type]
            size=context.recipe.data.size,
            layer="backbone",
            precision=context.recipe.precision,
            world=context.world,
        )

    def run(self) -> Outcome:
        """Train to the last epoch, which is the one reported.

        Every process trains the same classifiers on the gathered features.

        Raises:
            Interrupted, Diverged, StoreError, DataError: as in pre-training.
        """
        context, protocol = self.context, self.protocol
        begun = self._restored()
        total = protocol.epochs
        each = self.per_epoch
        context.reporter.begin(
            context.folder.id, total=total * each, done=begun * each, steps_per_epoch=each
        )
        saved = time.monotonic()
        top1: list[float] = []
        for epoch in range(begun, total):
            losses = torch.stack([self._step(epoch, *batch) for batch in self._batches(epoch)])
            means: list[float] = losses.mean(0).tolist()
            done = epoch + 1
            record = {"step": done * each, "epoch": done, "t": round(time.time(), 1)}
            record |= named("linear/loss", protocol, means)
            if not math.isfinite(means[0]):
                context.record([record])
                raise Diverged(
                    done * self.per_epoch, f"the mean loss of epoch {done} was {means[0]}", {}
                )
            if done == total or done % max(1, total // 10) == 0:
                top1 = self._validate()
                record |= named("linear/top1", protocol, top1)
            context.record([record])
            context.reporter.advance(done * each, named("linear/loss", protocol, means))
            stops = context.asked_to_stop() and done < total
            if context.world.any(stops or time.monotonic() - saved > SAVE_S):
                context.save(done, {"probe": self.probe.state()})
                saved = time.monotonic()
            if stops:
                raise Interrupted
        if frozen.fingerprint(self.encoder) != self.digest:
            raise AssertionError("the probe changed a tensor that should be frozen")
        if not top1:  # restored at the last epoch's end
            top1 = self._validate()
        parent = context.parent.result if context.parent else None
        return Outcome(
            total * self.per_epoch,
            named("linear/top1", protocol, top1),
            {"weights": parent.get("weights") if parent else None},
        )

    def _validate(self) -> list[float]:
        """Top-1 of each classifier on the test images, in percent."""
        hits = self.probe.hits(self.test, self.test_labels).tolist()
        return [100 * n / len(self.test) for n in hits]

    def _restored(self) -> int:
        restored = self.context.restore()
        if restored is None:
            return 0
        epoch, state = restored
        self.probe.load(state["probe"])
        return epoch

    def _step(self, epoch: int, features: Tensor, labels: Tensor) -> Tensor:
        return self.probe.step(features, labels, epoch)

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(features, labels) of the epoch's batches; the last one may be smaller."""
        context = self.context
        stream = (context.recipe.seed, "linear")
        if self.bank is not None:
            order = keyed.permutation(keyed.key(*stream, "order", epoch), len(self.bank))
            for index in torch.split(order.to(context.device), self.protocol.batch):
                yield self.bank[index], self.bank_labels[index]
            return
        loader = Loader(
            context.data,
            context.data.bank,
            VIEWS,
            stream=stream,
            batch=self.protocol.batch,
            size=context.recipe.data.size,
            device=context.device,
            views=1,
            drop_last=False,
            share=(context.world.rank, context.world.size),
        )
        for batch in loader.batches(epoch * self.per_epoch, (epoch + 1) * self.per_epoch):
            x = encode(self.encoder, batch.views[0], "backbone", context.recipe.precision)
            index = context.world.gather(batch.index.to(context.device))[: batch.total]
            yield context.world.gather(x)[: batch.total], self.bank_labels[index]


def run(context: Context) -> Outcome:
    """Probe the parent's encoder; see Probing.run."""
    return Probing(context).run()
