"""VOC classification: a linear SVM for each class on frozen features, with all labels."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F

from harness.data.multi_label import MultiLabel, open_multi_label
from harness.data.voc_labels import ABSENT, DIFFICULT, PRESENT
from harness.errors import DataError
from harness.evaluate.average_precision import area, eleven_points
from harness.evaluate.svm import ClassSvm, Svms
from harness.recipe.svm import Svm, SvmTask
from harness.stage import frozen_task
from harness.stage.context import Context, StageOutcome, finite
from harness.stage.pieces import Measure, in_pieces

AP = 2
"""Numbers that say how well a class is recognised: its AP of 11 points, and its area."""


def opened(context: Context, asked: Svm) -> MultiLabel:
    """The task's own data.

    Raises:
        DataError: see open_multi_label; or they differ between the processes.
    """
    size = asked.images.size or context.recipe.data.size
    try:
        data = open_multi_label(asked.images, context.data_root, size)
    except DataError as error:
        raise type(error)(f"tasks.{context.asked.under}.images: {error}") from None
    context.world.same(f"the fingerprint of the task's images {data.images.fingerprint}")
    return data


def features(context: Context, asked: Svm, data: MultiLabel) -> tuple[Any, Any]:
    """Features of the training and of the test images, arrays of NumPy, float64 (n, d).

    Raises:
        NotFinite, Interrupted, StoreError, DataError: see frozen_task.features.
    """
    images = data.images.on(context.device)
    size = asked.images.size or context.recipe.data.size
    parts = (images.train, images.test)
    found = frozen_task.features(context, images, *parts, size=size, layer=asked.layer)
    if asked.normalise == "l2":
        found = [F.normalize(each, dim=1) for each in found]
    train, test = (each.cpu().double().numpy() for each in found)
    return train, test


def aps(data: MultiLabel, of: int, made: ClassSvm) -> tuple[float, float]:
    """(AP of 11 points, area) of class `of` on the test images, in percent. Images where it is
    difficult are left out."""
    labels = data.test[:, of]
    counted = labels != DIFFICULT
    ranked = made.scores[counted], labels[counted] == PRESENT
    return 100 * eleven_points(*ranked), 100 * area(*ranked)


class VocSvm:
    """One evaluation in progress; `run` does all of it.

    Raises:
        DataError: see `opened`; or C cannot be chosen for a class that too few images show.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.protocol: SvmTask = context.section
        self.data = opened(context, self.protocol)
        self.svms = Svms(self.protocol, torch.get_num_threads())
        if len(self.protocol.c) > 1:
            self._check_folds()

    def run(self) -> StageOutcome:
        """Choose C, fit and test, class by class.

        Raises:
            Interrupted: asked to stop; the next attempt goes on with the next class.
            Diverged: the features, or an SVM, are not finite.
            StoreError, DataError: see frozen.encoder and stage.pieces.
        """
        context, protocol, data = self.context, self.protocol, self.data
        step = frozen_task.parents_step(context)
        tried = len(protocol.c) if len(protocol.c) > 1 else 0

        def prepare() -> Measure:
            train, test = features(context, protocol, data)
            return lambda of: self.measured(train, test, of)

        with finite(step):
            found = in_pieces(
                context,
                len(data.classes),
                AP + 2 + tried,
                prepare,
                own_data=data.images.fingerprint,
            )
        eleven, whole = found[:, 0].tolist(), found[:, 1].tolist()
        values = {"svm/map": fmean(eleven), "svm/map_area": fmean(whole)}
        values |= {f"svm/ap@{name}": ap for name, ap in zip(data.classes, eleven, strict=True)}
        classes = {
            name: {
                "ap": row[0],
                "ap_area": row[1],
                "c": row[2],
                "unconverged": row[3],
                "validation": row[AP + 2 :],
            }
            for name, row in zip(data.classes, found.tolist(), strict=True)
        }
        if lost := round(float(found[:, 3].sum())):
            context.reporter.note(f"{context.folder.id}: {unconverged_words(lost)}")
        facts = {"svm": classes, "images": data.described}
        return frozen_task.ended(context, step, values, facts, chosen=facts)

    def _check_folds(self) -> None:
        folds, where = self.protocol.folds, f"tasks.{self.context.asked.under}.folds"
        for label, words in ((PRESENT, "show"), (ABSENT, "do not show")):
            counts = (self.data.train == label).sum(0).tolist()
            named = zip(self.data.classes, counts, strict=True)
            if few := [f"{name}: {n}" for name, n in named if n < folds]:
                raise DataError(
                    f"{where}: {folds} folds to choose C, but of {self.data.images.name} fewer "
                    f"training images {words} {', '.join(few)}; give a single c, lower folds, or "
                    "use more images"
                )

    def measured(self, train: Any, test: Any, of: int) -> list[float]:
        """Both AP of a class in percent, its C, how many fits did not converge, and the mean AP in
        cross-validation at each C."""
        labels = self.data.train[:, of]
        known = labels != DIFFICULT
        made = self.svms.fit(
            train[known.numpy()],
            labels[known] == PRESENT,
            test,
            grid=self.protocol.c,
            folds=self.protocol.folds,
            stream=(*self.context.stream("svm"), self.data.classes[of]),
        )
        return [*aps(self.data, of, made), made.c, made.unconverged, *made.validation]


def unconverged_words(lost: int) -> str:
    """That `lost` fits did not converge."""
    return f"{lost} fits did not converge; more `iterations` may change it"


def run(context: Context) -> StageOutcome:
    """Evaluate the parent's frozen features; see VocSvm.run."""
    return VocSvm(context).run()
