"""The harness's speed targets, compared with the measurements."""

from __future__ import annotations

from collections.abc import Mapping

from harness.bench.clock import Timing
from harness.bench.result import ALONE, SHARED, Result, stall_share, training_ratio
from harness.estimate import Benched
from harness.recipe.schema import Linear, Recipe

KNN, PROBE, STALL = 2.0, 1.3, 0.01
KNN_DIM = 128
"""Least feature width for which KNN is promised: for shorter features the product is cheaper."""
SHARING = 0.9
"""Least rate of several processes on a CPU, relative to one process on all its cores."""
CPU = {"miniature": 0.80}
"""Least rate of end-to-end training on a CPU, relative to the floor; CPU_OTHERS for other
backbones."""
CPU_OTHERS = 0.95
CPU_TRAINING = 0.90
"""Least rate of a task that trains the network further, end to end on a CPU, relative to its
floor."""
TASKS = 1.5
"""Most seconds of kNN, ten probes and a grid of logistic regressions with their features, relative
to the extraction of the features alone."""
GPU_STEP, GPU_RATE, GPU_MEMORY, GPU_AUGMENT, GPU_INPUT = 0.93, 1600.0, 40e9, 0.05, 1.2
"""ResNet-50 at 224 px: rate relative to the floor, images/s (an H100), bytes (the paper's 8 x 5.0
GB), share of the step for augmentation, images from the input per image that the step takes."""
GPU_DEMO = 8 * 60.0
"""Seconds of the CIFAR-10 demo's 200 epochs with kNN after each, asymmetric loss (an H100)."""


def targets(recipe: Recipe, result: Result) -> list[tuple[str, str, str, str]]:
    """(target, wanted, found, met or missed), for the targets of this recipe and device."""
    found: list[tuple[str, str, str, str]] = []

    def at_most(what: str, limit: float, value: float, form: str = "{:.2f}") -> None:
        met = "met" if value <= limit else "missed"
        found.append((what, "<= " + form.format(limit), form.format(value), met))

    def at_least(what: str, limit: float, value: float, form: str = "{:.2f}") -> None:
        met = "met" if value >= limit else "missed"
        found.append((what, ">= " + form.format(limit), form.format(value), met))

    whole, parts, evaluation = result.whole, result.parts, result.evaluation
    if result.sharing and result.device == "cpu":
        ratio = result.sharing[ALONE].median / result.sharing[SHARED].median
        at_least(f"{result.processes} processes, relative to one", SHARING, ratio)
    if result.processes > 1:  # the others apply to a single process
        return found
    if result.device == "cpu":
        least = CPU.get(recipe.model.backbone, CPU_OTHERS)
        if whole:
            at_least("end to end, relative to the floor", least, result.ratio("end to end"))
        for task, timings in result.training.items():
            what = f"{task} end to end, relative to its floor"
            at_least(what, CPU_TRAINING, training_ratio(timings))
    elif not whole:
        return found
    elif recipe.model.backbone == "resnet50":
        at_least("end to end, relative to the floor", GPU_STEP, result.ratio("end to end"))
        at_least("images/s", GPU_RATE, result.images_per_s("end to end"), "{:,.0f}")
        at_most("memory in GB", GPU_MEMORY / 1e9, result.peak_bytes / 1e9)
        share = parts["augment"].median / whole["step"].median
        at_most("augmentation, share of the step", GPU_AUGMENT, share, "{:.1%}")
        pace = whole["step"].median / whole["input"].median
        at_least("input alone, relative to the step's rate", GPU_INPUT, pace)
    elif _is_demo(recipe) and result.facts["images"]:
        took = Benched(recipe, result.record()).seconds("pretrain", 0)
        at_most("the recipe with its kNN, in minutes", GPU_DEMO / 60, took / 60, "{:.1f}")
    if "knn" in evaluation and result.facts["knn_dim"] >= KNN_DIM:
        ratio = evaluation["knn"].median / evaluation["product"].median
        at_most("kNN, relative to its similarity product", KNN, ratio)
    if recipe.linear is not None and len(recipe.linear.lr) > 1 and "all rates" in evaluation:
        ratio = probe_ratio(recipe.linear, evaluation)
        at_most(f"{len(recipe.linear.lr)} probes with features, relative to one", PROBE, ratio)
    if result.tasks:
        what = "kNN, ten probes and logistic regression with features, relative to the features"
        at_most(what, TASKS, result.tasks_ratio())
    if whole:
        at_most("checkpoints, share of the steps' time", STALL, stall_share(result)[0], "{:.3%}")
    return found


def probe_ratio(protocol: Linear, evaluation: Mapping[str, Timing]) -> float:
    """The cost of all rates over that of one, each with the backbone passes that compute its
    features: one per step, or one for all its epochs if views are fixed."""
    epochs = protocol.epochs if protocol.views == "center" else 1
    features = evaluation["encode"].median * protocol.batch / epochs
    return (features + evaluation["all rates"].median) / (features + evaluation["one rate"].median)


def _is_demo(recipe: Recipe) -> bool:
    """Whether it trains as long as the demo, with its network and one order of the views."""
    symmetric = getattr(recipe.contrast, "symmetric", False)
    asked = (recipe.model.backbone, recipe.optim.epochs, symmetric)
    return asked == ("resnet18_cifar", 200, False) and recipe.knn is not None
