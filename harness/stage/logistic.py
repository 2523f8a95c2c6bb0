"""Logistic regression on frozen features: C is chosen inside the training data, then all of them
are fitted. The test images enter no choice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness.evaluate.accuracy import accuracies
from harness.evaluate.features import NotFinite
from harness.evaluate.logistic import Fit, Regression, best, check_classes, parts, scaled
from harness.recipe.logistic_words import remarks
from harness.recipe.schema import LogisticTask
from harness.stage import frozen_task
from harness.stage.collective_wait import first_alone
from harness.stage.context import Context, Interrupted, StageOutcome, finite, fitting
from harness.store.edition import edition


class Choosing:
    """One logistic regression in progress; `run` does all of it.

    The first process fits; the others wait for each fit, however long it takes. A checkpoint holds
    the fits by which C is chosen, so that a later attempt makes only the others.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.protocol: LogisticTask = context.section
        self.labels = context.data.bank.labels.cpu()
        self.answers = context.data.test.labels.cpu()
        self.folds = parts(self.labels, self.protocol.folds, context.stream("logistic"))
        check_classes(self.labels, self.folds, self.protocol.held_out)
        self.regression = Regression(self.protocol, torch.get_num_threads())
        self.tried: list[Fit] = []  # of the first fold at each C, then of the second, ...
        recipe = context.recipe
        self.made_by = {
            "edition": edition(context.asked.task.kind, recipe.contrast.kind, recipe.optim.kind),
            "weights": ((context.parent and context.parent.result) or {}).get("weights"),
        }

    def run(self) -> StageOutcome:
        """Choose C, fit all training images, and classify the test images.

        Raises:
            Interrupted: asked to stop; the finished fits are in the checkpoint.
            Diverged: the features, or a classifier, are not finite.
            StoreError, DataError: see Context.restore and frozen.encoder.
        """
        context, protocol, grid = self.context, self.protocol, self.protocol.c
        step = frozen_task.parents_step(context)
        chooses = len(grid) > 1
        total = len(grid) * protocol.held_out * chooses + 1
        restored = context.restore()
        if restored is not None:
            with fitting(context.folder):
                self._load(restored[1])
        context.reporter.begin(
            context.folder.id, total=total, done=len(self.tried), steps_per_epoch=total
        )
        data, size = context.data, context.asked.data(context.recipe).size
        parts = (data.bank, data.test)
        with finite(step):
            extracted = frozen_task.features(context, data, *parts, size=size, layer=protocol.layer)
            bank, test = (scaled(each, protocol.normalise) for each in extracted)
            # The biases are free, so a shift changes no optimum. It spares most iterations.
            mean = bank.mean(0)
            bank -= mean
            test -= mean
            tried = self._tried(bank) if chooses else []
            held = [int((self.folds == n).sum()) for n in range(protocol.held_out)]
            validation = [
                100 * sum(fits[at].correct for fits in tried) / sum(held)
                for at in range(len(grid))
                if chooses
            ]
            c = grid[best(grid, validation)] if chooses else grid[0]
            final = self._fitted(c, bank, self.labels, test, self.answers, context.data.tested)
        found = accuracies(final.right[None], self.answers, context.data)
        values = {f"logistic/{name}": each[0] for name, each in found.items()} | {"logistic/c": c}
        if chooses:
            values["logistic/validation"] = max(validation)
            named = zip(grid, validation, strict=True)
            values |= {f"logistic/validation@c{each:g}": value for each, value in named}
        choice: dict[str, Any] = {
            "c": c,
            "grid": list(grid),
            "validation": validation,
            "iterations": [[fit.iterations for fit in fits] for fits in tried],
            "unconverged": sorted(
                {fit.c for fits in (*tried, [final]) for fit in fits if not fit.converged}
            ),
            "final_iterations": final.iterations,
        }
        for remark in remarks(grid, c, choice["unconverged"]):
            context.reporter.note(f"{context.folder.id}: {remark}")
        context.wait_for_checkpoint()
        context.reporter.advance(total, values)
        said = {"chosen": choice}
        return frozen_task.ended(context, step, values, {"logistic": choice}, chosen=said)

    def _tried(self, bank: Any) -> list[list[Fit]]:
        """The fits at all C of the grid, for each fold that is held out.

        Raises:
            Interrupted: asked to stop.
        """
        context, grid = self.context, self.protocol.c
        for fold in range(len(self.tried) // len(grid), self.protocol.held_out):
            out = (self.folds == fold).numpy()
            pieces = (bank[~out], self.labels[~out], bank[out], self.labels[out])
            for c in grid[len(self.tried) - fold * len(grid) :]:
                self.tried.append(self._fitted(c, *pieces))
                self._save()
                context.reporter.advance(len(self.tried), {})
                if context.asked_to_stop(synchronising=True):
                    context.wait_for_checkpoint()
                    raise Interrupted
        return [self.tried[n : n + len(grid)] for n in range(0, len(self.tried), len(grid))]

    def _save(self) -> None:
        fits = [dataclasses.asdict(fit) for fit in self.tried]
        self.context.save(len(self.tried), {"made_by": self.made_by, "fits": fits})

    def _load(self, state: dict[str, Any]) -> None:
        """Take the fits of an earlier attempt, unless they are of other code or weights: a result
        is of one edition."""
        context = self.context
        if state["made_by"] != self.made_by:
            context.reporter.note(
                f"{context.folder.id}: the code or the weights changed since its last attempt, so "
                "its fits are made again"
            )
            return
        self.tried = [Fit(**fit) for fit in state["fits"]]

    def _fitted(
        self,
        c: float,
        x: Any,
        labels: Tensor,
        test: Any,
        answers: Tensor,
        classes: Sequence[int] = (),
    ) -> Fit:
        """One fit by the first process, known to all.

        Raises:
            NotFinite: on all processes.
        """
        context, world = self.context, self.context.world

        def work() -> Fit | NotFinite | None:
            if world.rank:
                return None
            try:
                return self.regression.fit(c, x, labels.numpy(), test, answers.numpy(), classes)
            except NotFinite as error:
                return error

        mine = first_alone(work, world, context.stopping)
        if world.any(isinstance(mine, NotFinite)):
            raise mine if isinstance(mine, NotFinite) else NotFinite("a classifier is not finite")
        own = torch.zeros(2 + len(answers), dtype=torch.int64)
        if isinstance(mine, Fit):
            own[0], own[1], own[2:] = mine.iterations, mine.converged, mine.right
        said = world.sum(own.to(world.device)).cpu()
        return Fit(c, int(said[0]), bool(said[1]), said[2:].bool())


def run(context: Context) -> StageOutcome:
    """Fit the parent's frozen features; see Choosing.run."""
    return Choosing(context).run()
