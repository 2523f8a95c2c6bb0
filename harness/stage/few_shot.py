"""Few-shot classification: logistic regression on frozen features of k images a class, in several
draws that all networks share."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from harness.data.labelled import check_shots, stratified
from harness.errors import DataError
from harness.evaluate.accuracy import accuracies
from harness.evaluate.logistic import Regression, best, parts, scaled
from harness.evaluate.over_draws import half_width
from harness.recipe.few_shot import FewShotTask
from harness.stage import frozen_task
from harness.stage.context import Context, StageOutcome, finite
from harness.stage.pieces import Measure, in_pieces


class FewShot:
    """One few-shot evaluation in progress; `run` does all of it."""

    def __init__(self, context: Context) -> None:
        """
        Raises:
            DataError: a class has fewer training images than a draw takes, or there is only one
                class.
        """
        self.context = context
        self.protocol: FewShotTask = context.section
        data = context.data
        self.labels = data.bank.labels.cpu()
        self.answers = data.test.labels.cpu()
        try:
            check_shots(data.bank, max(self.protocol.shots), data.key)
            if bool((self.labels == self.labels[0]).all()):
                raise DataError(f"{data.key} has training images of one class only: name others")
        except DataError as error:
            raise DataError(f"tasks.{context.asked.under}: {error}") from None
        self.regression = Regression(self.protocol, torch.get_num_threads())
        self.metrics = ("top1",) if data.metric == "top1" else ("top1", data.metric)

    def run(self) -> StageOutcome:
        """Fit and test a classifier for each k and draw.

        Raises:
            Interrupted: asked to stop; the next attempt goes on with the next draw.
            Diverged: the features, or a classifier, are not finite.
            StoreError, DataError: see frozen.encoder and stage.pieces.
        """
        context, protocol = self.context, self.protocol
        step = frozen_task.parents_step(context)
        wanted = [(k, draw) for k in protocol.shots for draw in range(protocol.draws)]

        def prepare() -> Measure:
            data, size = context.data, context.asked.data(context.recipe).size
            parts = (data.bank, data.test)
            found = frozen_task.features(context, data, *parts, size=size, layer=protocol.layer)
            bank, test = (scaled(each, protocol.normalise) for each in found)
            return lambda n: self.measured(bank, test, *wanted[n])

        with finite(step):
            found = in_pieces(context, len(wanted), len(self.metrics) + 2, prepare)
        values: dict[str, float] = {}
        facts: dict[str, Any] = {}
        for n, k in enumerate(protocol.shots):
            rows = found[n * protocol.draws :][: protocol.draws]
            *each, chosen, unconverged = rows.T.tolist()
            by_metric = dict(zip(self.metrics, each, strict=True))
            variant = f"@k{k}" if n else ""
            for name, drawn in by_metric.items():
                values[f"few_shot/{name}{variant}"] = fmean(drawn)
            width = half_width(by_metric[context.data.metric])
            values[f"few_shot/half_width_over_draws{variant}"] = width
            facts[str(k)] = {"draws": by_metric, "c": chosen, "unconverged": sum(unconverged)}
            if lost := round(sum(unconverged)):
                context.reporter.note(
                    f"{context.folder.id}: k = {k}: L-BFGS did not converge in {lost} fits; more "
                    "`iterations` may change it"
                )
        context.reporter.advance(len(wanted), values)
        said = {"by_k": facts}
        return frozen_task.ended(context, step, values, {"few_shot": facts}, chosen=said)

    def measured(self, bank: Any, test: Any, k: int, draw: int) -> list[float]:
        """The metrics in percent at one draw, then its C, and how many fits did not converge."""
        data, grid = self.context.data, self.protocol.c
        index = stratified(self.labels, k, data.key, draw)
        x, y = bank[index.numpy()], self.labels[index]
        # The biases are free, so a shift changes no optimum. It spares most iterations.
        mean = x.mean(0)
        x = x - mean
        chosen, lost = 0, 0
        if len(grid) > 1:
            chosen, lost = self._chosen(x, y, k, draw)
        fit = self.regression.fit(
            grid[chosen], x, y.numpy(), test - mean, self.answers.numpy(), data.tested
        )
        found = accuracies(fit.right[None], self.answers, data)
        return [
            *(found[name][0] for name in self.metrics),
            grid[chosen],
            lost + (not fit.converged),
        ]

    def _chosen(self, x: Any, y: Tensor, k: int, draw: int) -> tuple[int, int]:
        """(position of the C that recognises most of the draw's own images in cross-validation, how
        many fits did not converge)."""
        folds = min(k, self.protocol.folds)
        fold_of = parts(y, folds, ("few-shot", self.context.data.key, k, draw))
        right, lost = [], 0
        for c in self.protocol.c:
            right.append(0.0)
            for fold in range(folds):
                out = fold_of == fold
                inner, outer = (~out).numpy(), out.numpy()
                fit = self.regression.fit(c, x[inner], y[~out].numpy(), x[outer], y[out].numpy())
                right[-1] += fit.correct
                lost += not fit.converged
        return best(self.protocol.c, right), lost


def run(context: Context) -> StageOutcome:
    """Evaluate the parent's frozen features; see FewShot.run."""
    return FewShot(context).run()
