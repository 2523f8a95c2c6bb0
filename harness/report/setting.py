"""What was run, against what the papers ran: so that nobody takes a miniature for ImageNet.

Cells are held against the same cells at the scale of the printed numbers, where there is a recipe
of it (`Results.papers`); else against MoCo v1 (arXiv:1911.05722, Sec. 3.3 and 4) and v2
(arXiv:2003.04297) with their ablations on ImageNet-1M.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.recipe.ablation import Ablation, Metric
from harness.recipe.schema import Recipe
from harness.report import facts
from harness.report.collect import Results
from harness.spec.registry import metrics, task_of

NAMES: dict[Metric, str] = {
    **{name: metrics()[name].label for name in task_of()},
    "cost/memory": "peak memory of a device",
    "cost/hours": "time of 200 epochs",
}
UNITS: dict[Metric, str] = {
    **{name: metrics()[name].unit for name in task_of()},
    "cost/memory": "GB",
    "cost/hours": "hours",
}


@dataclass(frozen=True)
class Trait:
    """One property of the experiment, there and here."""

    what: str
    papers: str
    here: str
    differs: bool
    scale: bool
    """Whether it decides if this is the paper's scale, or only how the method was set up."""


Here = Callable[[Recipe], Any]

Known = tuple[str, str, Here, Callable[[Recipe], bool], bool]

TRAITS: tuple[Known, ...] = (
    ("training images", facts.IMAGENET, facts.images, facts.is_imagenet, True),
    ("image size", "224 px", lambda r: f"{r.data.size} px", lambda r: r.data.size == 224, True),
    (
        "backbone",
        "ResNet-50",
        facts.backbone,
        lambda r: r.model.backbone == "resnet50" and r.model.width == 1,
        True,
    ),
    (
        "negatives, K",
        "65536 (4096 in the ablation of momentum)",
        facts.negatives,
        lambda r: facts.negatives(r) in (65536, 4096),
        True,
    ),
    ("mechanism", "moco", lambda r: r.contrast.kind, lambda _: True, False),
    ("batch", "256", lambda r: r.optim.batch, lambda r: r.optim.batch == 256, True),
    (
        "batch-norm group",
        "32 (one GPU's share)",
        lambda r: r.model.bn_group,
        lambda r: r.model.bn_group == 32,
        False,
    ),
    ("learning rate", "0.03", lambda r: f"{r.optim.lr:g}", lambda r: r.optim.lr == 0.03, False),
    (
        "schedule",
        "×0.1 at epochs 120, 160 (v1), cosine (v2)",
        facts.schedule,
        lambda r: facts.schedule(r) in ("×0.1 at epochs 120, 160", "cosine"),
        False,
    ),
    (
        "momentum of SGD",
        "0.9",
        lambda r: facts.of_optimiser(r, "sgd_momentum"),
        lambda r: getattr(r.optim, "sgd_momentum", None) == 0.9,
        False,
    ),
    (
        "weight decay",
        "0.0001",
        lambda r: facts.of_optimiser(r, "weight_decay"),
        lambda r: getattr(r.optim, "weight_decay", None) == 1e-4,
        False,
    ),
    (
        "augmentation",
        "v1's, v2's",
        facts.augmentation,
        lambda r: r.augment in (facts.V1, facts.V2),
        False,
    ),
    (
        "temperature τ",
        "0.07 (v1), 0.2 (v2)",
        lambda r: f"{facts.temperature(r):g}",
        lambda r: facts.temperature(r) in (0.07, 0.2),
        False,
    ),
    (
        "momentum m",
        "0.999",
        facts.momentum,
        lambda r: facts.momentum(r) in ("0.999", facts.NONE),
        False,
    ),
    (
        "head",
        "fc (v1), mlp (v2)",
        lambda r: f"{r.model.head}, {r.model.dim} wide",
        lambda r: r.model.dim == 128,
        False,
    ),
    ("precision", "fp32", lambda r: r.precision, lambda r: r.precision == "fp32", False),
)


def _epochs(least: int | None) -> Known:
    wanted = least or 0
    words = f"{least or 'any'}"

    def same(recipe: Recipe) -> bool:
        given = recipe.model.weights is not None and recipe.optim.epochs == 0
        return given or recipe.optim.epochs >= wanted

    return ("epochs", words, lambda r: r.optim.epochs, same, True)


def traits(results: Results) -> list[Trait]:
    """Each property of the table's recipes beside the papers'.

    Without recipes at the paper's scale it is not known what a table varies on purpose: what varies
    over the cells then differs only if none of them has the papers' value.
    """
    recipes = results.trained or [results.recipe]
    pairs = results.pairs
    ablation = results.ablation
    least = ablation.printed_epochs if ablation is not None else 200
    found = []
    for what, papers, here, same, scale in (*TRAITS[:3], _epochs(least), *TRAITS[3:]):
        if pairs:
            papers = _seen(here, [theirs for _, _, theirs in pairs])
            differs = any(here(ours) != here(theirs) for _, ours, theirs in pairs)
        else:
            differs = not any(map(same, recipes))
        found.append(Trait(what, papers, _seen(here, recipes), differs, scale))
    return found


def _seen(here: Here, recipes: Sequence[Recipe]) -> str:
    seen = list(dict.fromkeys(str(here(recipe)) for recipe in recipes))
    return seen[0] if len(seen) == 1 else f"varied: {', '.join(seen)}"


def is_papers_scale(results: Results) -> bool:
    """Whether the printed numbers are of this scale: data, size, backbone, epochs, queue and batch
    are the papers', or the level is the one that the table was printed at. A recipe by itself may
    have a backbone, batch and queue of its own."""
    scale, ablation = results.scale, results.ablation
    level = scale.level if scale is not None else None
    if ablation is not None and ablation.printed_at != "paper":
        return level == ablation.printed_at
    if scale is not None and level != "paper":
        return False
    own = () if ablation is not None else ("backbone", "batch", "negatives, K")
    return not any(t.differs and t.scale and t.what not in own for t in traits(results))


def changed_here(results: Results) -> list[str]:
    """What the scale itself changes, in sentences: for all cells, then cell by cell."""
    scale = results.scale
    if scale is None:
        return []
    lines = [f"For every cell: {settings(scale.set)}."] if scale.set else []
    alike: dict[str, list[str]] = {}
    for cell in results.cells:
        if cell.runs and scale.set_cells.get(cell.id):
            alike.setdefault(settings(scale.set_cells[cell.id]), []).append(cell.label)
    lines += [f"For {'; '.join(labels)}: {changes}." for changes, labels in alike.items()]
    absent = [cell for cell in results.cells if not cell.runs]
    left_out = [cell.label for cell in absent if is_run(results.ablation, cell.id)]
    if left_out:
        lines.append(f"Left out: {'; '.join(left_out)}.")
    lines += [
        f"Tuned on seed{'s' if len(each.seeds) > 1 else ''} {_list(each.seeds)}: {each.what}."
        for each in scale.tuned_on
    ]
    return lines


def is_run(ablation: Ablation | None, cell_id: str) -> bool:
    """Whether the cell is one that can be run, not another method's printed row."""
    cell = ablation.cell(cell_id) if ablation is not None else None
    return cell is None or cell.set is not None


def settings(changes: Mapping[str, Any]) -> str:
    """Dotted fields and values as one line, e.g. "optim.epochs = 20, contrast.queue = 512"."""
    return ", ".join(f"{field} = {_value(value)}" for field, value in changes.items())


def _value(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def one_line(results: Results) -> str:
    """The scale in one sentence, for the top of a report."""
    here = {trait.what: trait.here for trait in traits(results)}
    seeds = len(results.seen_seeds)
    epochs = "1 epoch" if here["epochs"] == "1" else f"{here['epochs']} epochs"
    return (
        f"{here['training images']}, {here['image size']}, {here['backbone']}, "
        f"{epochs}, K {here['negatives, K']}, batch {here['batch']}, "
        + (f"{seeds} seeds" if seeds > 1 else "1 seed")
    )


def protocol(results: Results) -> list[str]:
    """How the numbers were measured, in sentences; one for each protocol the recipes hold."""
    lines: list[str] = []
    for run in results.runs:
        for line in _protocol(run.recipe):
            if line not in lines:
                lines.append(line)
    lines.append(
        "Reported is the network after its last epoch, never the best one. "
        "The untrained network is the same network at its initial weights, evaluated the same way."
    )
    return lines


def _protocol(recipe: Recipe) -> list[str]:
    knn = recipe.knn
    layer = "the backbone's pooled features" if knn.layer == "backbone" else "the head's output"
    queries = "all test images" if knn.queries is None else f"{knn.queries} fixed test images"
    lines = [
        f"kNN: k = {knn.k[0]}, T = {knn.temperature:g}, on {layer}, {queries}; "
        "neighbours vote with exp(cosine similarity / T)."
    ]
    probe = recipe.linear
    if probe is not None:
        others = f" (others, as sensitivity: {_list(probe.lr[1:])})" if len(probe.lr) > 1 else ""
        views = "random crops and flips" if probe.views == "random_crop" else "centre crops"
        drops = f"×{probe.factor:g} at epochs {_list(probe.drops)}" if probe.drops else "constant"
        lines.append(
            f"Linear probe: frozen features, SGD, {probe.epochs} epochs, batch {probe.batch}, "
            f"learning rate {probe.lr[0]:g}{others}, {drops}, momentum {probe.sgd_momentum:g}, "
            f"weight decay {_list(probe.weight_decay[:1])}, {views}. "
            "The rate is fixed beforehand: the first is the result, the best of several never is."
        )
    return lines


def _list(numbers: tuple[float, ...] | tuple[int, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
