"""What a pre-training shows: views as the network saw them, and how similar views are at its
end."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.loader import Loader, Share
from harness.evaluate.features import BATCH, check_features, check_weights, encode
from harness.look.images import class_names, png
from harness.methods.mechanism import Mechanism
from harness.model.encoder import build
from harness.runtime import keyed
from harness.stage.context import Context, fitting
from harness.stage.pretrain import build_mechanism
from harness.store.look import Album, Histogram, Look, Thumbnail

SHOWN = 6
"""Training images whose views are shown."""
PAIRS = 256
"""Training images whose views are compared; all, if there are fewer."""
BINS = 40
"""Of the histogram, from -1 to 1."""


def look(context: Context) -> Look:
    """The views of the run's first images, and the similarities of its last network; nothing of a
    run that trained nothing.

    Raises:
        NotFinite: a weight or an embedding is not finite.
        StoreError: the last checkpoint is missing.
    """
    found = context.load(context.folder)
    if found is None or found[0] == 0:
        return Look(())
    recipe = context.recipe
    mechanism = build_mechanism(
        recipe,
        build(recipe.model, recipe.seed),
        labels=context.data.train.labels,
        world=context.world,
    )
    with fitting(context.folder):
        mechanism.load_state_dict(found[1]["mechanism"])
    mechanism.to(context.device).eval()
    return Look((_views(context), _similarities(context, mechanism)))


def _views(context: Context) -> Album:
    """The first step's first images with the views that it was trained on."""
    recipe, data = context.recipe, context.data
    loader = Loader(
        data,
        data.train,
        recipe.drawn(),
        stream=(recipe.seed, "pretrain"),
        batch=recipe.optim.batch,
        device=context.device,
    )
    index = loader.indices(0)[:SHOWN]
    loaded = data.train.load(index)
    whole = loaded.center(recipe.data.size)
    (batch,) = loader.views_of(loader.cut([Share(0, index, len(index))], loaded))
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (data.mean, data.std))
    views = [view.cpu() * std + mean for view in batch.views]
    names = class_names(recipe.data.name, data.classes, [data.train.subset(index)])
    rows = []
    for n, (image, label) in enumerate(
        zip(index.tolist(), data.train.labels[index].tolist(), strict=True)
    ):
        called = f"training image {image}" + (f" ({names[label]})" if label >= 0 else "")
        shown = [Thumbnail(png(whole[n]), called, names[label] if label >= 0 else "")]
        shown += [
            Thumbnail(png(view[n]), f"view {place} of {called}")
            for place, view in enumerate(views, 1)
        ]
        rows.append((str(image), tuple(shown)))
    about = (
        f"The first {len(rows)} training images of the first step, each with the "
        f"{'view' if len(views) == 1 else f'{len(views)} views'} that the network was trained on "
        "in this step, as the run's augmentation drew them."
    )
    columns = ("image", *(f"view {place}" for place in range(1, len(views) + 1)))
    return Album("views", "Augmented views", about, columns, tuple(rows))


@torch.no_grad()
def _similarities(context: Context, mechanism: Mechanism) -> Histogram:
    """Cosine similarities of two views of an image, and of a view and the negatives."""
    recipe, data = context.recipe, context.data
    there = len(data.train)
    chosen = keyed.permutation(keyed.key("look", data.key), there)[:PAIRS]
    view = recipe.augment.at(recipe.data.size)
    loader = Loader(
        data, data.train, (view, view), stream=("look",), batch=1, device=context.device
    )
    check_weights(mechanism.query)
    parts = []
    for index in torch.split(chosen, BATCH // 2):
        context.pause()
        share = Share(0, index, len(index))
        (batch,) = loader.views_of(loader.cut([share], data.train.load(index)))
        made = [encode(mechanism.query, each, "output", recipe.precision) for each in batch.views]
        parts.append(torch.stack(made, 1))
    both = torch.cat(parts)  # (n, 2, dim)
    check_features(both.flatten(0, 1), f"{recipe.precision} embeddings of views")
    one, other = (F.normalize(each, dim=1) for each in both.unbind(1))
    series = [("two views of an image", _shares((one * other).sum(1)))]
    if recipe.contrast.k(recipe.optim.batch) is not None:
        stored = mechanism.dictionary()
        keys = other if stored is None else stored.to(one.dtype)
        product = one @ keys.T
        if stored is None:
            product = product[~torch.eye(len(one), dtype=torch.bool, device=product.device)]
        what = "other images' views" if stored is None else f"{len(keys):,} stored keys"
        series.append((f"a view and {what}", _shares(product)))
    about = (
        f"Cosine similarities of embeddings of {len(one)} training images, drawn once, in two views"
        " each, with the query encoder at the end of training."
    )
    edges = tuple(round(-1 + 2 * n / BINS, 6) for n in range(BINS + 1))
    return Histogram(
        "similarities",
        "Similarities of positives and negatives",
        about,
        "cosine similarity",
        edges,
        tuple(series),
    )


def _shares(similarities: Tensor) -> tuple[float, ...]:
    place = ((similarities.flatten().cpu() + 1) * (BINS / 2)).long().clamp(0, BINS - 1)
    counts = torch.bincount(place, minlength=BINS)
    return tuple(round(share, 6) for share in (counts / counts.sum()).tolist())
