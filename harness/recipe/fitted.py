"""Values of a recipe that fit a folder of images, each with the reason for it.

Sources: v1 = MoCo v1 (arXiv:1911.05722), v2 = MoCo v2 (arXiv:2003.04297), demo = the official
CIFAR-10 notebook. The values between those are rules of thumb of this harness.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.recipe.rules import stride

QUEUE_SHARE = math.sqrt(0.2)
"""Largest queue as a share of the images. Once x times the images are in it, x^2 / 2 of the queries
meet an older key of their own image (harness.preflight.training): here a tenth."""
HARMLESS = 0.05
"""Share of queries that meet an older key of their own image in v1's memory bank (Fig. 3)."""
QUEUE_BATCHES = 8
"""Batches in the queue of a small data set."""
QUEUE_STEPS, LEAST_BATCH = 4, 16
"""A queue of fewer steps is hardly more than a batch; a smaller batch has no two groups of 8."""
FEWEST = math.ceil(QUEUE_STEPS * LEAST_BATCH / QUEUE_SHARE)
"""With fewer images, no queue has both."""


def _enough(batch: int) -> int:
    """Number of images beside which a queue of QUEUE_BATCHES such batches is harmless."""
    return math.ceil(QUEUE_BATCHES * batch / math.sqrt(2 * HARMLESS))


ENOUGH = _enough(LEAST_BATCH)
"""With fewer images, a queue of QUEUE_BATCHES batches is more than harmless."""
SIZES = (32, 48, 64, 96, 128, 160, 192, 224)
SMALL, LARGE = 20_000, 100_000
"""Numbers of images: below SMALL 96 pixels are enough, below LARGE 128."""
STEPS = 20_000
"""Steps of training that a small data set gets, as far as MOST_EPOCHS allow."""
LEAST_EPOCHS, MOST_EPOCHS = 200, 800
BANK, QUERIES, K = 10_000, 2_000, 200
"""Of kNN on another set: the most training and test images that are looked at, the usual k."""


@dataclass(frozen=True)
class Facts:
    """What was measured of a folder of images."""

    images: int
    """For training."""
    side: int
    """Median of the short sides, in pixels."""
    looked_at: int
    """Images whose size was read for that."""
    smallest_class: int | None = None
    """Training images of the smallest class; None: no labels."""
    tested: int = 0
    """Test images."""


@dataclass(frozen=True)
class Watched:
    """A labelled set on which kNN is measured."""

    data: dict[str, Any]
    """Its data section, without the size."""
    images: int | None
    """Training images; None: unknown."""
    smallest_class: int | None
    """None: unknown."""


@dataclass(frozen=True)
class Setting:
    """One field of the recipe."""

    path: str
    """Dotted."""
    value: Any
    why: str


def settings(
    facts: Facts, data: dict[str, Any], *, size: int | None = None, watched: Watched | None = None
) -> list[Setting]:
    """The recipe's fields in order, those of a section together.

    Args:
        data: the data section, without the size.
        size: side of the views in pixels; None: one that fits.
        watched: another set on which kNN is measured too.
    """
    found = [
        Setting(f"data.{name}", value, _WHY_DATA.get(name, "")) for name, value in data.items()
    ]
    side, why = (size, _asked(size, facts)) if size is not None else _size(facts)
    found.append(Setting("data.size", side, why))
    plan = _Steps.of(facts.images)
    found += _augment(side)
    found += _model(facts, side, plan)
    found += _contrast(facts, plan)
    found += _optim(facts, plan)
    found += _evaluation(facts, side, plan, watched)
    return found


_WHY_DATA = {
    "name": "pictures: at any depth, without labels; imagefolder: a folder for each class.",
    "folder": "Below the data root, which --data names.",
    "split": "This share of each class is kept for testing: the same images for every seed.",
}


@dataclass(frozen=True)
class _Steps:
    """How the images are passed through."""

    batch: int
    per_epoch: int
    epochs: int

    @property
    def total(self) -> int:
        return self.per_epoch * self.epochs

    @staticmethod
    def of(images: int) -> _Steps:
        batch = 256
        while batch > LEAST_BATCH and _enough(batch) > images:
            batch //= 2
        per_epoch = images // batch
        wanted = round(STEPS / per_epoch / 50) * 50
        return _Steps(batch, per_epoch, min(MOST_EPOCHS, max(LEAST_EPOCHS, wanted)))


def _power_of_two(most: int) -> int:
    """The greatest power of two that is not above `most`."""
    return 1 << (max(1, most).bit_length() - 1)


def _asked(size: int, facts: Facts) -> str:
    beyond = ": smaller, so pictures are enlarged" if size > facts.side else ""
    return f"Asked for. The median short side is {facts.side} px{beyond}."


def _size(facts: Facts) -> tuple[int, str]:
    limit = 96 if facts.images < SMALL else 128 if facts.images < LARGE else 224
    most = min(facts.side, limit)
    size = max((each for each in SIZES if each <= most), default=max(8, most))
    if facts.side <= limit:
        why = f"The median short side is {facts.side} px; more would only enlarge the pictures."
    else:
        why = (
            f"The median short side is {facts.side} px, but a step costs by the square of this, "
            f"and {facts.images:,} images do not need more to begin with."
        )
    return size, why


def _augment(size: int) -> Iterator[Setting]:
    blurred = size >= 96
    small = round(size * 0.2**0.5)
    yield Setting(
        "augment.crop_scale",
        [0.2, 1.0],
        f"As v1 and v2. The smallest crop is a fifth of the picture, {small} of {size} px a side. "
        "Take more, as 0.4, where the subject is small: both crops should show it.",
    )
    yield Setting(
        "augment.jitter", [0.4, 0.4, 0.4, 0.1], "As v2. Less where colour tells kinds apart."
    )
    yield Setting("augment.jitter_p", 0.8, "As v2.")
    yield Setting("augment.grayscale_p", 0.2, "As v1 and v2.")
    yield Setting("augment.grayscale_first", False, "As v2.")
    why = "As v2." if blurred else f"As the demo: blur leaves little of {size} px."
    yield Setting("augment.blur_p", 0.5 if blurred else 0.0, why)
    if blurred:
        most = round(2 * size / 224, 1)
        yield Setting(
            "augment.blur_sigma", [0.1, most], f"v2 has 0.1 to 2 of 224 px; here {size} px."
        )


def _model(facts: Facts, size: int, plan: _Steps) -> Iterator[Setting]:
    if size <= 64:
        backbone = "resnet18_cifar"
        why = f"At {size} px: a stem of stride 1, as the demo's, else little would be left."
    elif facts.images < LARGE or size < 128:
        backbone, why = "resnet18", f"{facts.images:,} images do not need a larger network."
    else:
        backbone, why = "resnet50", f"The papers' network: {facts.images:,} images fill it."
    left = -(-size // stride(backbone))
    yield Setting(
        "model.backbone", backbone, f"{why} Its last layer has {left} x {left} positions."
    )
    yield Setting("model.head", "mlp", "As v2.")
    yield Setting("model.dim", 128, "As v1 (Sec. 3.3).")
    group = max(8, plan.batch // 8)
    yield Setting(
        "model.bn_group",
        group,
        f"{plan.batch // group} groups of {group} in a batch: v1 has 8 of 32. Shuffling needs "
        "several groups, and a group enough images for its statistics.",
    )


def _contrast(facts: Facts, plan: _Steps) -> Iterator[Setting]:
    n, batch = facts.images, plan.batch
    most = int(QUEUE_SHARE * n) // batch * batch
    queue = min(65_536, max(QUEUE_BATCHES * batch, _power_of_two(n // 8)), most)
    yield Setting("contrast.kind", "moco", "")
    yield Setting(
        "contrast.queue",
        queue,
        f"K: {queue // batch} batches, {queue / n:.0%} of the {n:,} images (v1: 5 %, demo: 8 %). "
        "With more, an image meets its own older key among its negatives.",
    )
    momentum = 0.999 if plan.total >= 100_000 else 0.99
    memory = round(1 / (1 - momentum))
    yield Setting(
        "contrast.momentum",
        momentum,
        f"m: the key encoder follows within about 1 / (1 - m) = {memory:,} steps, "
        f"{memory / plan.total:.1%} of the run's {plan.total:,}.",
    )
    yield Setting("contrast.temperature", 0.2, "As v2.")
    yield Setting("contrast.shuffle", True, "As v1 (Sec. 3.3).")


def _optim(facts: Facts, plan: _Steps) -> Iterator[Setting]:
    yield Setting(
        "optim.epochs",
        plan.epochs,
        f"{plan.per_epoch:,} steps an epoch, {plan.total:,} in all. Few images need more epochs to "
        f"see as many steps; {plan.epochs // 10} show whether it learns.",
    )
    yield Setting(
        "optim.batch",
        plan.batch,
        f"{plan.per_epoch:,} steps an epoch; v1's 256 from {_enough(256):,} images on.",
    )
    rate = float(f"{0.03 * plan.batch / 256:.3g}")
    yield Setting("optim.lr", rate, f"The linear rule: v1's 0.03 x {plan.batch} / 256.")
    few = facts.images < LARGE
    yield Setting(
        "optim.weight_decay",
        5e-4 if few else 1e-4,
        "As the demo, for few images." if few else "As v1.",
    )
    yield Setting("optim.schedule", {"kind": "cosine"}, "As v2.")


def _evaluation(
    facts: Facts, size: int, plan: _Steps, watched: Watched | None
) -> Iterator[Setting]:
    every = max(1, plan.epochs // 20)
    if facts.smallest_class is not None:
        k = min(K, facts.smallest_class)
        yield Setting(
            "knn.k", [k], f"The smallest class has {facts.smallest_class} training images."
        )
        yield Setting("linear", None, "kNN says enough to begin with; `{}` is v1's linear probe.")
    if watched is not None:
        yield from _task(size, watched)
    asked = facts.smallest_class is not None or watched is not None
    if asked:
        yield Setting(
            "watch.knn_epochs", every, "20 times during the run, and after the last epoch."
        )
    if watched is not None and facts.smallest_class is None:
        yield Setting("watch.knn_task", "watched", "The pictures have no labels; this set has.")
    yield Setting(
        "watch.log_steps", min(50, plan.per_epoch), "Losses are written at least once an epoch."
    )


def _task(size: int, watched: Watched) -> Iterator[Setting]:
    at = "tasks.watched"
    yield Setting(f"{at}.kind", "knn", "Does what is learned serve on labelled images?")
    data = watched.data | {"size": size}
    if watched.images is not None and watched.images > BANK:
        data["images"] = BANK
        why = f"{BANK:,} of its {watched.images:,} training images, to be quick, at the run's size."
    else:
        why = "At the run's size: the network knows things as large as that."
    yield Setting(f"{at}.data", data, why)
    one = watched.smallest_class
    kept = watched.images and one and one * min(watched.images, BANK) // watched.images
    k = min(K, kept) if kept else 20
    why = f"Its smallest class has about {kept} of those." if kept else "Fits small classes too."
    yield Setting(f"{at}.k", [max(1, k)], why)
    yield Setting(
        f"{at}.queries",
        QUERIES,
        f"At most {QUERIES:,} fixed test images. A number that compares with others' needs all: "
        "take this line out, and `images` above.",
    )
