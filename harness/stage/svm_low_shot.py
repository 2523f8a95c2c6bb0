"""Low-shot VOC classification: linear SVMs on frozen features of k images a class, in several draws
that all networks share (Goyal et al., arXiv:1905.01235)."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from harness.data.voc_labels import ABSENT, PRESENT
from harness.errors import DataError
from harness.evaluate.over_draws import half_width
from harness.evaluate.svm import Svms
from harness.recipe.svm import SvmLowShotTask
from harness.runtime import keyed
from harness.stage import frozen_task
from harness.stage.context import Context, StageOutcome, finite
from harness.stage.pieces import Measure, in_pieces
from harness.stage.svm import (
    AP,
    aps,
    features,
    opened,
    unconverged_words,
)


def drawn(labels: Tensor, k: int, others: int, *stream: int | str) -> Tensor:
    """A draw of one class's images, int64 in increasing order: k that show it, and `others` that do
    not. A larger k contains a smaller one.

    Args:
        labels: int8 (n,), of the class.
        stream: names the draw.
    """
    order = keyed.permutation(keyed.key("svm_low_shot", *stream), len(labels))
    ranked = labels[order]
    taken = [order[ranked == PRESENT][:k], order[ranked == ABSENT][:others]]
    return torch.cat(taken).sort().values


class LowShot:
    """One low-shot evaluation in progress; `run` does all of it.

    Raises:
        DataError: see harness.stage.svm.opened; or too few images show a class, or do not.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.protocol: SvmLowShotTask = context.section
        self.data = opened(context, self.protocol)
        self.svms = Svms(self.protocol, torch.get_num_threads())
        most, field = max(self.protocol.shots), f"tasks.{context.asked.under}.shots"
        for label, wanted, words in (
            (PRESENT, most, "show"),
            (ABSENT, self._others(most), "do not show"),
        ):
            counts = (self.data.train == label).sum(0).tolist()
            named = zip(self.data.classes, counts, strict=True)
            if few := [f"{name}: {n}" for name, n in named if n < wanted]:
                raise DataError(
                    f"{field}: k = {most} takes {wanted:,} training images that {words} a class, "
                    f"but {self.data.images.name} has fewer for {', '.join(few)}; lower it"
                )

    def run(self) -> StageOutcome:
        """Fit and test the SVMs of all classes for each k and draw.

        Raises:
            Interrupted: asked to stop; the next attempt goes on with the next draw.
            Diverged: the features, or an SVM, are not finite.
            StoreError, DataError: see frozen.encoder and stage.pieces.
        """
        context, protocol, data = self.context, self.protocol, self.data
        step = frozen_task.parents_step(context)
        wanted = [(k, draw) for k in protocol.shots for draw in range(protocol.draws)]

        def prepare() -> Measure:
            train, test = features(context, protocol, data)
            return lambda n: self.measured(train, test, *wanted[n])

        with finite(step):
            found = in_pieces(
                context,
                len(wanted),
                AP + 1 + len(data.classes),
                prepare,
                own_data=data.images.fingerprint,
            )
        values: dict[str, float] = {}
        by_k: dict[str, Any] = {}
        for n, k in enumerate(protocol.shots):
            rows = found[n * protocol.draws :][: protocol.draws]
            eleven, whole, lost = (rows[:, at].tolist() for at in range(AP + 1))
            variant = f"@k{k}" if n else ""
            values[f"svm_low_shot/map{variant}"] = fmean(eleven)
            values[f"svm_low_shot/map_area{variant}"] = fmean(whole)
            values[f"svm_low_shot/half_width_over_draws{variant}"] = half_width(eleven)
            chosen = dict(zip(data.classes, rows[:, AP + 1 :].T.tolist(), strict=True))
            by_k[str(k)] = {"map": eleven, "map_area": whole, "c": chosen, "unconverged": sum(lost)}
            if sum(lost):
                said = unconverged_words(round(sum(lost)))
                context.reporter.note(f"{context.folder.id}: k = {k}: {said}")
        facts = {"svm_low_shot": by_k, "images": data.described}
        return frozen_task.ended(context, step, values, facts, chosen=facts)

    def measured(self, train: Any, test: Any, k: int, draw: int) -> list[float]:
        """The means over the classes of both AP in percent at one draw, how many fits did not
        converge, and each class's C."""
        data, protocol, found, lost, chosen = self.data, self.protocol, [], 0, []
        for of, name in enumerate(data.classes):
            labels = data.train[:, of]
            stream = (data.images.name, draw, name)
            index = drawn(labels, k, self._others(k), *stream)
            made = self.svms.fit(
                train[index.numpy()],
                labels[index] == PRESENT,
                test,
                grid=protocol.c,
                folds=min(k, protocol.folds),
                stream=("svm_low_shot", "folds", k, *stream),
            )
            found.append(aps(data, of, made))
            chosen.append(made.c)
            lost += made.unconverged
        return [*map(fmean, zip(*found, strict=True)), lost, *chosen]

    def _others(self, k: int) -> int:
        """How many images that do not show a class go with k that do."""
        return (len(self.data.classes) - 1) * k


def run(context: Context) -> StageOutcome:
    """Evaluate the parent's frozen features; see LowShot.run."""
    return LowShot(context).run()
