"""What a kNN evaluation shows: nearest neighbours, the features in the plane, and confusions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.datasets import DataSet
from harness.data.images import Images
from harness.evaluate.features import extract
from harness.evaluate.knn import ELEMENTS, check_distinct, not_among, top
from harness.look.images import class_names, png
from harness.model.encoder import Encoder
from harness.recipe.schema import Knn
from harness.runtime import keyed
from harness.stage import frozen
from harness.stage.context import Context
from harness.stage.features import Shared
from harness.store.look import Album, Confusion, Look, Plane, Thumbnail

WHOLE = 100_000
"""A larger bank is not read back, but sampled."""
BANK, QUERIES = 5000, 1000
"""Images of a sample of training and of test images."""
EACH = 3
"""Test images shown that are recognised, and that are not."""
NEAREST = 4
"""Neighbours shown of each."""
POINTS = 500
"""Test images in the plane."""
GROUPS = 10
"""Classes in the plane: that many colours can be told apart."""
CLASSES = 20
"""Classes of a confusion matrix that shows all of them."""
CONFUSED = 11
"""Classes that a matrix of more classes shows, beside all others."""


@dataclass(frozen=True)
class _Found:
    """Test images, training images, and what kNN says of the former."""

    queries: Images
    bank: Images
    features: Tensor
    """Of the queries, unit rows."""
    nearest: Tensor
    """int64 (queries, NEAREST), into the bank, with `similarity`."""
    similarity: Tensor
    said: Tensor
    """The class that each query is recognised as, int64; -1: none."""
    names: list[str]
    whole: bool
    """Whether these are all images of the evaluation."""


def look(context: Context) -> Look:
    """Nearest neighbours, features in the plane, and confusions, by the stage's own protocol.

    Raises:
        NotFinite: a weight or a feature is not finite.
        StoreError: see frozen.encoder.
    """
    found = _found(context)
    protocol: Knn = context.section
    how = f"kNN (k = {_k(protocol, found)})"
    right = found.said == found.queries.labels
    count = len(found.said)
    of = f"{count:,} test images" if found.whole else f"a sample of {count:,} test images"
    over = f"{how} classifies {100 * int(right.sum()) / count:.1f} % of {of} correctly"
    if not found.whole:
        bank = f"{len(found.bank):,} training images"
        drawn = len(found.bank) < len(context.data.bank)
        over += f", by {bank} drawn once" if drawn else f", by all {bank}"
    order = keyed.permutation(keyed.key("look", context.data.name), count)
    size = context.asked.data(context.recipe).size
    shapes = (
        _neighbours(found, right, order, how, size),
        _plane(found, order, protocol),
        _confusion(found, over),
    )
    return Look(tuple(shape for shape in shapes if shape is not None))


def _k(protocol: Knn, found: _Found) -> int:
    return min(protocol.k[0], len(found.bank))


class _NotKept(Exception):
    """The evaluation's own features are not at hand."""


def _not_kept(*_: Any, **__: Any) -> Tensor:
    raise _NotKept


def _found(context: Context) -> _Found:
    protocol: Knn = context.section
    data, own = context.data, context.asked.data(context.recipe)
    encoder = frozen.encoder(context, protocol.layer)
    queries = data.test
    if protocol.queries is not None and protocol.queries < len(queries):
        chosen = keyed.permutation(keyed.key("queries", data.name), len(queries))
        queries = queries.subset(chosen[: protocol.queries].sort().values)
    bank = data.bank
    try:
        if len(bank) > WHOLE:
            raise _NotKept
        kept = Shared(context, extracting=_not_kept)  # the stage has just used them
        features = [_extracted(kept, context, encoder, each) for each in (queries, bank)]
        whole = True
    except _NotKept:
        whole = len(queries) <= QUERIES and len(bank) <= BANK
        queries = _sample(queries, QUERIES, "test", data)
        bank = _sample(bank, BANK, "bank", data)
        features = [_extracted(extract, context, encoder, each) for each in (queries, bank)]
    check_distinct(features[1], bank.labels)
    one, other = (F.normalize(each, dim=1) for each in features)
    k = min(protocol.k[0], len(bank))
    said, nearest, similarity = [], [], []
    others = not_among(data.tested, data.classes).to(one.device)
    labels = bank.labels.to(one.device)
    for rows in torch.split(one, max(1, ELEMENTS // len(bank))):
        context.pause()
        close, which = top(rows @ other.T, max(k, min(NEAREST, len(bank))))
        weight = (close - close[:, :1]).div(protocol.temperature).exp()
        votes = weight.new_zeros(len(rows), data.classes)
        votes.scatter_add_(1, labels[which[:, :k]], weight[:, :k])
        votes.masked_fill_(others, 0)
        said.append(torch.where(votes.amax(1) > 0, votes.argmax(1), -1).cpu())
        nearest.append(which[:, :NEAREST].cpu())
        similarity.append(close[:, :NEAREST].cpu())
    return _Found(
        queries,
        bank,
        one,
        torch.cat(nearest),
        torch.cat(similarity),
        torch.cat(said),
        class_names(own.name, data.classes, (queries, bank)),
        whole,
    )


def _extracted(how: Any, context: Context, encoder: Encoder, images: Images) -> Tensor:
    protocol: Knn = context.section
    made: Tensor = how(
        encoder,
        context.data,
        images,
        size=context.asked.data(context.recipe).size,
        layer=protocol.layer,
        precision=context.recipe.precision,
        world=context.world,
        pausing=context.pause,
    )
    return made


def _sample(images: Images, most: int, part: str, data: DataSet) -> Images:
    if len(images) <= most:
        return images
    chosen = keyed.permutation(keyed.key("look", data.name, part), len(images))
    return images.subset(chosen[:most].sort().values)


def _neighbours(found: _Found, right: Tensor, order: Tensor, how: str, size: int) -> Album:
    """The first test images that are recognised and the first that are not, with neighbours."""
    chosen = [
        number
        for wanted in (True, False)
        for number in [n for n in order.tolist() if bool(right[n]) is wanted][:EACH]
    ]
    names, labels = found.names, found.queries.labels.tolist()
    images = found.queries.load(torch.tensor(chosen)).center(size)
    rows = []
    for image, number in zip(images, chosen, strict=True):
        true, said = names[labels[number]], int(found.said[number])
        if bool(right[number]):
            verdict = "recognised"
        else:
            verdict = f"taken for {names[said]}" if said >= 0 else "not recognised"
        shown = [
            Thumbnail(png(image), f"test image {number} ({true}), {verdict}", f"{true}: {verdict}")
        ]
        which = found.nearest[number]
        close = found.bank.load(which).center(size)
        for n, (other, near) in enumerate(zip(which.tolist(), close, strict=True)):
            its = names[int(found.bank.labels[other])]
            mark = "✓" if its == true else "✗"
            similar = f"{float(found.similarity[number, n]):.3f}"
            shown.append(
                Thumbnail(
                    png(near),
                    f"neighbour {n + 1}: training image {other} ({its}), similarity {similar}",
                    f"{mark} {its} {similar}",
                )
            )
        rows.append((str(number), tuple(shown)))
    about = (
        f"Test images in an order drawn once: the first {EACH} that {how} recognises, and the "
        f"first {EACH} that it does not. Beside each are its nearest of {len(found.bank):,} "
        "training images, with their class and cosine similarity; ✓ marks the test image's own "
        "class."
    )
    columns = ("test image", *("nearest", "second", "third", "fourth")[: found.nearest.shape[1]])
    return Album("neighbours", "Nearest neighbours", about, columns, tuple(rows))


def _plane(found: _Found, order: Tensor, protocol: Knn) -> Plane | None:
    """Some test images on the first two principal components of their features."""
    labels = found.queries.labels
    there = sorted(set(labels.tolist()))
    shown, which = there, ""
    if len(there) > GROUPS:
        drawn = keyed.permutation(keyed.key("look", "classes", len(there)), len(there))[:GROUPS]
        shown = sorted(there[n] for n in drawn.tolist())
        which = f" of {GROUPS} of the {len(there):,} classes, drawn once"
    chosen = [n for n in order.tolist() if int(labels[n]) in shown][:POINTS]
    if len(chosen) < 3 or found.features.shape[1] < 2:
        return None
    x = found.features[torch.tensor(chosen, device=found.features.device)].cpu().double()
    x = x - x.mean(0)
    _, spread, axes = torch.linalg.svd(x, full_matrices=False)
    axes = axes[:2]
    largest = axes.abs().argmax(1, keepdim=True)
    axes = axes * axes.gather(1, largest).sign()  # an axis has no direction of its own
    shares = (100 * spread.square() / spread.square().sum().clamp(min=1e-300)).tolist()
    first, second = (f"component {n}, {shares[n - 1]:.0f} % of the variance" for n in (1, 2))
    points = [
        (round(px, 4), round(py, 4), shown.index(int(labels[n])))
        for (px, py), n in zip((x @ axes.T).tolist(), chosen, strict=True)
    ]
    about = (
        f"Features ({protocol.layer}, divided by their length) of {len(chosen)} test images{which},"
        " on their first two principal components."
    )
    groups = tuple(found.names[n] for n in shown)
    return Plane("plane", "Features in the plane", about, (first, second), groups, tuple(points))


def _confusion(found: _Found, over: str) -> Confusion:
    """How often each class is taken for each other; of many classes those most confused."""
    count = len(found.names)
    labels = found.queries.labels
    known = found.said >= 0
    flat = labels[known] * count + found.said[known]
    counts = torch.bincount(flat, minlength=count**2).view(count, count)
    there = [n for n in range(count) if int(counts[n].sum() + counts[:, n].sum())]
    about = f"{over}. Rows are true classes; columns, what they are taken for."
    if len(there) <= CLASSES:
        return _matrix(about, [found.names[n] for n in there], counts[there][:, there])
    wrong = counts.clone()
    wrong.fill_diagonal_(0)
    places = wrong.flatten().nonzero().squeeze(1)  # of thousands of classes, few of the pairs
    order = wrong.flatten()[places].sort(descending=True, stable=True).indices
    most: dict[int, None] = {}
    for place in places[order].tolist():
        most |= dict.fromkeys(divmod(place, count))
        if len(most) >= CONFUSED:
            break
    most |= dict.fromkeys(there)
    own = list(most)[:CONFUSED]
    group = torch.full((count,), len(own))
    group[own] = torch.arange(len(own))
    size = len(own) + 1
    few = torch.bincount(group[labels[known]] * size + group[found.said[known]], minlength=size**2)
    names = [*(found.names[n] for n in own), "all others"]
    about += f" Shown are the classes of the most frequent confusions, of {count:,}."
    return _matrix(about, names, few.view(size, size))


def _matrix(about: str, names: list[str], counts: Tensor) -> Confusion:
    rows = tuple(map(tuple, counts.tolist()))
    return Confusion("confusion", "Confusion matrix", about, tuple(names), rows)
