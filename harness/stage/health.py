"""When and on which images pre-training measures the health of its features."""

from __future__ import annotations

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.datasets import DataSet
from harness.data.loader import Loader, Share
from harness.evaluate import health
from harness.evaluate.features import BATCH, Kept, check_features, check_weights, encode, extract
from harness.methods.mechanism import Mechanism
from harness.recipe.schema import Recipe
from harness.runtime import keyed
from harness.runtime.world import World
from harness.store import atomic, journal
from harness.store.journal import Record
from harness.store.layout import StageFolder

NAMES = "health/"
"""The beginning of its metrics' names."""
COLLAPSED = "health/collapsed"
SETTLED = 50
"""Steps before which there is no alarm. The running statistics still hold more than 0.9^50 = 0.5 %
of their initial values, with which a deep network's features may lie on one line."""
IMAGES = 2048
"""Images whose features are measured; all, if there are fewer."""
LEAST = 256
"""The number of images where none is encoded for another purpose and the data set is small."""


class Health:
    """Measures a pre-training's features on images of its training set, without their labels.

    The images and their two views depend on the data set alone, so all runs and epochs see the
    same. The encoder is in eval mode meanwhile, and no random stream is touched.

    Args:
        recipe, data, world: the run's.

    Attributes:
        shared: whether the kNN monitor encodes these images too.
        images: number of images for the measures of one view.
        pairs: number of them, the first, that are also seen in two views.
    """

    def __init__(self, recipe: Recipe, data: DataSet, world: World) -> None:
        self.recipe, self.data, self.world = recipe, data, world
        there = len(data.train)
        self.shared = data.bank is data.train
        share = IMAGES if self.shared else max(LEAST, there // 32)
        self.images = min(IMAGES, there, share)
        self.pairs = min(self.images, max(16, there // 64))
        chosen = keyed.permutation(keyed.key("health", data.key), there)
        self.index = chosen[: self.images]
        self._images = data.train.subset(self.index)
        view = recipe.augment.at(recipe.data.size)
        self._views = Loader(
            data, data.train, (view, view), stream=("health",), batch=1, device=world.device
        )

    def due(self, epoch: int, *, last: bool, monitored: bool) -> bool:
        """Whether to measure after this epoch (from 1).

        Args:
            last: training ends with it.
            monitored: the kNN monitor looks after it.
        """
        asked = self.recipe.watch.health_epochs
        if asked is not None:
            return asked > 0 and (last or epoch % asked == 0)
        return last or (monitored and self.shared) or epoch % self.every == 0

    @property
    def every(self) -> int:
        """Epochs between two measurements that encode all their images themselves, for less than
        1 % of the time. A step encodes an image at the cost of three evaluations or more."""
        units = self.images / 3 + 2 * self.pairs / 3
        return max(1, -(-int(100 * units) // len(self.data.train)))

    def kept(self) -> Kept | None:
        """What the monitor's extraction from the bank is to keep for `measure`."""
        return Kept(self.index) if self.shared else None

    def measure(self, mechanism: Mechanism, kept: Kept | None) -> dict[str, float]:
        """The metrics of the query encoder as it is now.

        Args:
            kept: after the monitor's extraction; None: this encodes the images itself.

        Raises:
            NotFinite: a weight or a feature is not finite; on all processes.
        """
        encoder = mechanism.query
        if kept is None:
            kept = Kept(torch.arange(self.images))
            self._extract(mechanism, kept)
        both = kept.gathered(self.world)
        check_features(both, f"{self.recipe.precision} features")
        features, output = both.tensor_split([encoder.feature_dim], dim=1)
        one, other = self._embedded(mechanism)
        found = {
            "health/rankme": health.rankme(features),
            "health/deviation": health.deviation(output),
            "health/alignment": health.alignment(one, other),
            "health/uniformity": health.uniformity(torch.cat([one, other])),
            "health/positive_similarity": float((one.double() * other.double()).sum(1).mean()),
        }
        if self.recipe.contrast.k(self.recipe.optim.batch) is not None:
            stored = mechanism.dictionary()
            keys = other if stored is None else stored
            found["health/negative_similarity"] = health.mean_cosine(
                one, keys, paired=stored is None
            )
        return found

    def _extract(self, mechanism: Mechanism, kept: Kept) -> None:
        extract(
            mechanism.query,
            self.data,
            self._images,
            size=self.recipe.data.size,
            layer="output",
            precision=self.recipe.precision,
            world=self.world,
            kept=kept,
        )

    @torch.no_grad()
    def _embedded(self, mechanism: Mechanism) -> list[Tensor]:
        """The two views' embeddings, unit rows (pairs, dim) each, on every process."""
        world, encoder = self.world, mechanism.query
        check_weights(encoder)
        each = -(-self.pairs // world.size)
        mine = torch.arange(world.rank * each, (world.rank + 1) * each).clamp(max=self.pairs - 1)
        training = encoder.training
        encoder.eval()
        parts = []
        try:
            for index in torch.split(self.index[mine], BATCH // 2):
                share = Share(0, index, len(index))
                (batch,) = self._views.views_of(
                    self._views.cut([share], self.data.train.load(index))
                )
                made = [
                    encode(encoder, view, "output", self.recipe.precision) for view in batch.views
                ]
                parts.append(torch.stack(made, 1))
            found = world.gather(torch.cat(parts))[: self.pairs]  # (pairs, 2, dim)
        finally:
            encoder.train(training)
        check_features(found.flatten(0, 1), f"{self.recipe.precision} embeddings of views")
        return [F.normalize(view, dim=1) for view in found.unbind(1)]


def recorded(folder: StageFolder, step: int) -> dict[str, float]:
    """The newest metrics of health that the stage's journal has up to `step`; {} if none."""
    found: list[Record] = []
    for attempt in folder.attempts():
        with contextlib.suppress(OSError):
            lines = atomic.content(attempt / "metrics.jsonl").split(b"\n")
            found += journal.parse_all(line for line in lines if NAMES.encode() in line)
    newest = max((r for r in found if r["step"] <= step), key=lambda r: r["step"], default={})
    return {name: value for name, value in newest.items() if name.startswith(NAMES)}
