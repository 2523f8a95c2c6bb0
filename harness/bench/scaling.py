"""Estimate a measured step on W GPUs: where efficiency drops, and why.

Each part of the step is measured on one device. W devices add bytes (`traffic`, a closed form that
tests compare with counted bytes) over bandwidth, and hops times latency. Stragglers, congestion and
the kNN monitor are left out: the estimate is an upper bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.bench import traffic
from harness.bench.result import Result
from harness.recipe.schema import Recipe

GPUS = (1, 8, 64, 512)
NODE = 8
"""GPUs in a node, connected by NVLink."""
NVLINK = 450.0
"""GB/s that a GPU sends within a node (NVIDIA H100 SXM data sheet: 900, both directions summed)."""
NETWORK = 50.0
"""GB/s that a GPU sends between nodes (NVIDIA DGX H100: a 400 Gb/s adapter for each GPU)."""
HOP_NVLINK, HOP_NETWORK = 5e-6, 20e-6
"""Seconds per hop of a message: an assumption, of the order used in NCCL's cost model."""


@dataclass(frozen=True)
class Scaled:
    """A step on W GPUs, in seconds."""

    gpus: int
    batch: int
    same: bool
    """Whether the batch is the recipe's own; a larger one is another experiment."""
    encoders: float
    """Query forward and backward, key forward, for this GPU's images."""
    shared: float
    """Augmentation, logits and other parts that shrink with the number of images."""
    fixed: float
    """Optimiser and moving average, which do not shrink."""
    moved: dict[str, float]
    """Seconds of communication by collective; it is not overlapped."""
    sent: dict[str, float]
    """Bytes that one GPU sends, by collective."""

    @property
    def seconds(self) -> float:
        return self.encoders + self.shared + self.fixed + sum(self.moved.values())

    @property
    def images_per_s(self) -> float:
        return self.batch / self.seconds


def share(recipe: Recipe) -> int:
    """The fewest images that a process can have: a batch-norm group, or an eighth of a batch that
    is normalised as a whole."""
    group, batch = recipe.model.bn_group, recipe.optim.batch
    return group if group < batch else max(1, batch // NODE)


def scaled(recipe: Recipe, result: Result, gpus: int, bandwidth: float = NETWORK) -> Scaled:
    """The step on `gpus` GPUs: the recipe's batch while it has enough groups; else one group per
    GPU.

    The encoders' time for n images is a + b n, through the two measured floors: of the whole batch
    and of one share of it.

    Args:
        bandwidth: GB/s that a GPU sends between nodes.
    """
    whole, parts = result.whole, result.parts
    least, batch = share(recipe), recipe.optim.batch
    groups = recipe.model.bn_group
    same = gpus * least <= batch and batch % gpus == 0
    same = same and (groups >= batch or batch // gpus % groups == 0)
    n = batch // gpus if same else least
    small, floor = parts["floor of a share"].median, whole["floor"].median
    slope = max(0.0, (floor - small) / (batch - least)) if batch > least else 0.0
    encoders = floor - slope * (batch - n)
    fixed = sum(parts[name].median for name in ("optimiser", "follow") if name in parts)
    rest = max(0.0, whole["end to end"].median - floor - fixed)
    there = recipe.model_copy(update={"optim": recipe.optim.model_copy(update={"batch": n * gpus})})
    sent = traffic.sent(there, gpus, result.facts["parameters"]) if gpus > 1 else {}
    link = 1e9 * (bandwidth if gpus > NODE else NVLINK)
    moved = {what: count / link + _hops(what, gpus, n) for what, count in sent.items()}
    return Scaled(gpus, n * gpus, same, encoders, rest * n / batch, fixed, moved, sent)


def _hops(what: str, gpus: int, images: int) -> float:
    """Seconds of latency: a ring for a gather; for the shuffle one message to each of at most n
    peers; for the gradients one to each peer, then a ring."""
    nodes = math.ceil(gpus / NODE)
    ring = HOP_NVLINK * nodes * (min(gpus, NODE) - 1) + HOP_NETWORK * (nodes if nodes > 1 else 0)
    hop = HOP_NETWORK if nodes > 1 else HOP_NVLINK
    if what == "shuffle":
        return min(images, gpus - 1) * hop
    return ring + ((gpus - 1) * hop if what == "gradients" else 0)


def table(recipe: Recipe, result: Result, bandwidth: float = NETWORK) -> list[tuple[str, ...]]:
    """Rows: GPUs, batch, images per GPU, ms (encoders, shared, fixed, communication, step),
    images/s, share of one GPU's rate, MiB sent; * marks a larger batch than the recipe's."""
    alone = scaled(recipe, result, 1, bandwidth)
    rows = []
    for gpus in GPUS:
        at = scaled(recipe, result, gpus, bandwidth)
        parts = (at.encoders, at.shared, at.fixed, sum(at.moved.values()), at.seconds)
        rows.append(
            (
                str(gpus),
                f"{at.batch:,}{'' if at.same else '*'}",
                str(at.batch // gpus),
                *(f"{1e3 * part:,.2f}" for part in parts),
                f"{at.images_per_s:,.0f}",
                f"{at.images_per_s / alone.images_per_s / gpus:.2f}",
                f"{sum(at.sent.values()) / 2**20:,.1f}",
            )
        )
    return rows


HEADINGS = (
    *("GPUs", "batch", "images a GPU", "encoders ms", "shared ms", "fixed ms"),
    *("communication ms", "step ms", "images/s", "efficiency", "MiB sent"),
)


def scaling_text(recipe: Recipe, result: Result, bandwidth: float = NETWORK) -> list[str]:
    """Where efficiency drops and why, in sentences."""
    groups = recipe.optim.batch // share(recipe)
    alone = scaled(recipe, result, 1, bandwidth)
    said = [
        f"Measured on one {result.device}; {NVLINK:g} GB/s a GPU within a node of {NODE}, "
        f"{bandwidth:g} GB/s between nodes. An upper bound: stragglers and congestion are ignored."
    ]
    if GPUS[-1] > groups:
        said.append(
            f"The recipe's batch of {recipe.optim.batch} has {groups} shares of {share(recipe)}: "
            f"beyond {groups} GPUs the batch must grow (*), which is another experiment."
        )
    before = alone
    for gpus in GPUS[1:]:
        at = scaled(recipe, result, gpus, bandwidth)
        each = alone.seconds / alone.batch * at.batch / gpus  # this GPU's images at one GPU's rate
        lost = {
            "small batches in the encoders": at.encoders
            - alone.encoders * at.batch / gpus / alone.batch,
            "optimiser and moving average": at.fixed - alone.fixed * at.batch / gpus / alone.batch,
            **at.moved,
        }
        cause, most = max(lost.items(), key=lambda item: item[1])
        said.append(
            f"{gpus} GPUs: {each / at.seconds:.0%} of {gpus} times the rate of one GPU "
            f"({at.images_per_s / before.images_per_s:.1f} times {before.gpus}); most is lost to "
            f"{cause}: {1e3 * most:.2f} of {1e3 * at.seconds:.2f} ms."
        )
        before = at
    return said
