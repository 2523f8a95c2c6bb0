"""Rules across fields: combinations of settings that would not be the experiment that they
claim."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from harness.recipe.evaluation import Knn, Linear
from harness.recipe.layout_rules import layout_rules
from harness.recipe.method import MAIN, MethodSection
from harness.recipe.optim import Optim
from harness.recipe.photos import PHOTOS
from harness.recipe.section import Section, last_part
from harness.recipe.sections import WIDER, Augment, Model, View, Weights
from harness.recipe.task import Data, TaskSection
from harness.recipe.task_data import folders, tested_elsewhere, without_labels
from harness.spec.registry import tasks

KNOWN_SIZES = {
    **{"embedded": 20_000, "cifar10": 50_000, "cifar100": 50_000, "stl10": 105_000},
    **{name: each.train for name, each in PHOTOS.items()},
}
"""Number of training images of the data sets whose size is known in advance (STL-10: train +
unlabeled)."""
STL10_LABELLED = 5_000
CLASSES = {
    **{"embedded": 10, "cifar10": 10, "cifar100": 100, "stl10": 10},
    **{name: each.classes for name, each in PHOTOS.items()},
}
"""Number of classes of the same data sets."""
NAMED = ("imagefolder", *PHOTOS)
"""The data sets whose images a list of file names can choose."""
STAGE_ID = re.compile(r"[a-z0-9][a-z0-9._=-]*-s\d+\.pretrain-[0-9a-f]{6,}")
"""The form of a pre-training stage's id."""
LEAST, MOST = 1.2e-38, 3.4e38
"""The range of float32, which all arithmetic of a run uses: below it is 0, above it is inf."""


def contradictions(
    *,
    continue_from: str | None,
    data: Data,
    augment: Augment,
    views: Mapping[str, View],
    model: Model,
    contrast: MethodSection,
    optim: Optim,
    knn: Knn | None,
    linear: Linear | None,
    further: Mapping[str, TaskSection],
    own: Sequence[str],
    watched: str | None,
    health: int | None,
) -> Iterator[tuple[str, str]]:
    """(field, message) of each impossible combination of a recipe's sections. The message says
    what to do. `further` holds the tasks under `tasks:`, `own` the kinds of the recipe's other
    stages, `watched` the task by which kNN is monitored, `health` watch.health_epochs."""
    batch, group = optim.batch, model.bn_group
    if batch % group:
        yield (
            "model.bn_group",
            f"{group} does not divide optim.batch {batch}: choose a divisor, as all groups must "
            "be full",
        )
    halved = stride(model.backbone)
    sizes = {"data.size": data.size} | {f"views.{k}.size": v.size for k, v in views.items()}
    for field, size in sizes.items():
        if group == 1 and optim.epochs and size <= halved:
            yield (
                "model.bn_group",
                f"with {field} {size}, a group of 1 image has one value per channel in "
                f"{model.backbone}, so no variance: enlarge the group, or set {field} above "
                f"{halved}",
            )
    yield from contrast.contradictions(batch, group)
    yield from _views(augment, views, contrast)
    for name, section in (
        ("contrast", contrast),
        ("optim", optim),
        ("knn", knn),
        ("linear", linear),
    ):
        yield from _beyond_float32(name, section)
    for task, said in further.items():
        yield from _beyond_float32(f"tasks.{task}", said)
        for field, why in said.misfits(model.backbone):
            yield f"tasks.{task}.{field}", why
    yield from _tasks(further, own)
    for task, said in further.items():
        yield from beyond_labels(task, said, said.data or data)
        if getattr(said, "labels_file", None) and (said.data or data).name not in NAMED:
            why = "the images of this data set have no file names: use labels"
            yield f"tasks.{task}.labels_file", why
        if isinstance(said, Knn) and not said.k:
            yield f"tasks.{task}.k", "needs at least one k"
    own_data = {f"tasks.{k}.data": each.data for k, each in further.items() if each.data}
    for path, each in ({"data": data} | own_data).items():
        yield from tested_elsewhere(path, each)
        yield from too_many(path, each, KNOWN_SIZES.get(each.name))
    yield from beyond_images(data, knn, KNOWN_SIZES.get(data.name), batch=batch)
    if knn is not None and not knn.k:
        yield "knn.k", "needs at least one k"
    yield from folders("data", data)
    yield from without_labels(data, contrast, further, own)
    if watched is not None:
        yield from _watched(watched, knn, further)
    yield from _weights(model.weights, optim.epochs)
    yield from layout_rules(model, optim.epochs, own, further, health)
    if continue_from is not None:
        yield from _continued(continue_from, model, optim)
    if optim.schedule.kind == "step":
        yield from _drops("optim.schedule.drops", optim.schedule.drops, optim.epochs)
    if optim.schedule.kind == "cosine" and 0 < optim.epochs <= optim.schedule.start:
        where = f"no epoch {optim.schedule.start} in {optim.epochs} epochs"
        yield "optim.schedule.start", f"{where}: choose a number below optim.epochs"
    if linear is not None:
        yield from _drops("linear.drops", linear.drops, linear.epochs)
    if model.width != 1 and model.backbone not in WIDER:
        yield "model.width", f"{model.backbone} has no wider form; only {' and '.join(WIDER)} do"


def beyond_images(
    data: Data, knn: Knn | None, known: int | None, *, batch: int = 0
) -> Iterator[tuple[str, str]]:
    """(field, message) of each number that exceeds the number of training images. `known` is that
    number; None: unknown."""
    available = data.images if data.images is not None else known
    if available is not None and batch > available:
        yield (
            "optim.batch",
            f"{batch} images per step, but the data has only {available}: lower it",
        )
    labelled = STL10_LABELLED if data.name == "stl10" else available
    if knn is not None and labelled is not None and max(knn.k, default=1) > labelled:
        yield "knn.k", f"{max(knn.k)} neighbours, but only {labelled} labelled images: lower k"


def too_many(path: str, data: Data, known: int | None) -> Iterator[tuple[str, str]]:
    """(field, message) if the section at `path` asks for more training images than there are."""
    if data.images is not None and known is not None and data.images > known:
        yield f"{path}.images", f"{data.name} has {known} training images, not {data.images}"


def beyond_labels(
    name: str, said: TaskSection, data: Data, known: Sequence[int | None] = (None, None, None)
) -> Iterator[tuple[str, str]]:
    """(field, message) of each number of a further task for which its data have too few labels.

    Args:
        known: of a folder of images that was counted: its training images, classes, and images of
            the smallest class; None: not known.
    """
    images, classes, smallest = known
    if data.images is not None:
        images, smallest = data.images, None
    elif images is None:
        images = KNOWN_SIZES.get(data.name)
    if data.name == "stl10":
        images = STL10_LABELLED
    if data.labelled and images is not None:
        for field, why in said.beyond(images, classes or CLASSES.get(data.name), smallest):
            yield f"tasks.{name}.{field}", why


def stride(backbone: str) -> int:
    """The factor by which a backbone shrinks its input: n pixels become ceil(n / stride)."""
    if backbone == "miniature":
        return 4
    return 8 if backbone.endswith("_cifar") else 32


def _beyond_float32(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Complaints about numbers at and under `path` that would become 0 or inf in float32."""
    if isinstance(value, Section):
        for name, inside in value:
            yield from _beyond_float32(f"{path}.{name}", inside)
    elif isinstance(value, tuple):
        yield from dict.fromkeys(found for each in value for found in _beyond_float32(path, each))
    elif isinstance(value, float) and value and not LEAST <= abs(value) <= MOST:
        what = "0" if abs(value) < 1 else "infinite"
        yield path, f"{value:g} is {what} in float32: choose a number from {LEAST:g} to {MOST:g}"


def _views(
    augment: Augment, views: Mapping[str, View], contrast: MethodSection
) -> Iterator[tuple[str, str]]:
    """Complaints about views that cannot be drawn, and about kinds of views that the method needs
    but lacks, or does not use."""
    wanted = dict.fromkeys(kind for kind in contrast.views() if kind != MAIN)
    for kind in wanted:
        if kind not in views:
            why = f"missing: {contrast.kind} uses views of this kind; give at least their size"
            yield f"views.{kind}", why
    for kind in views:
        if kind not in wanted:
            yield (
                f"views.{kind}",
                f"{contrast.kind} does not use views of this kind: leave it out",
            )
    policies: dict[str, Augment] = {"augment": augment}
    for path, policy in (policies | {f"views.{k}": v for k, v in views.items()}).items():
        yield from _beyond_float32(path, policy)
        for field in ("crop_scale", "crop_ratio", "blur_sigma"):
            low, high = getattr(policy, field)
            if low > high:
                yield (
                    f"{path}.{field}",
                    (f"{low} to {high} is not a range: write the lower number first"),
                )
        if policy.crop_scale[1] <= 0:
            yield f"{path}.crop_scale", "crops would be empty; the upper end must be above 0"


def _weights(weights: Weights | None, epochs: int) -> Iterator[tuple[str, str]]:
    if weights is None:
        return
    if (weights.file is None) == (weights.run is None):
        both = "file and run" if weights.file is not None else "neither file nor run"
        yield "model.weights", f"{both}: name a file with its sha256, or a run"
    elif weights.run is not None:
        yield from _stage("model.weights.run", weights.run)
        for field in ("sha256", "md5", "prefix"):
            if getattr(weights, field) is not None:
                yield (
                    f"model.weights.{field}",
                    ("leave it out: it belongs to `file`; a run's id identifies its weights"),
                )
    elif weights.sha256 is None and weights.md5 is None:
        yield "model.weights", "needs sha256 or md5, which identify the weights"
    if weights.file is not None and (
        weights.file.startswith("~") or ".." in weights.file.split("/")
    ):
        why = "it is relative to the data root, or an absolute path: no leading '~' and no '..'"
        yield "model.weights.file", why
    if weights.head == "new" and not epochs:
        why = "optim.epochs 0 trains nothing, so a new head would stay random: leave it out"
        yield "model.weights.head", why


def _continued(named: str, model: Model, optim: Optim) -> Iterator[tuple[str, str]]:
    yield from _stage("continue_from", named)
    if model.weights is not None:
        yield "model.weights", "continue_from already gives the weights: remove one of the two"
    if not optim.epochs:
        yield (
            "optim.epochs",
            "0 trains nothing; give the total, counted from the start of the run in "
            f"continue_from; to evaluate its weights only, use model.weights: {{run: {named}}} "
            "instead",
        )


def _stage(field: str, named: str) -> Iterator[tuple[str, str]]:
    if not STAGE_ID.fullmatch(last_part(named)) or named.startswith("~"):
        yield (
            field,
            "not a pre-training stage: give its id, as moco-harness status shows it "
            "(recipe-s0.pretrain-1a2b3c4d5e), or its folder, without '~'",
        )


def _drops(path: str, drops: tuple[int, ...], epochs: int) -> Iterator[tuple[str, str]]:
    if list(drops) != sorted(set(drops)):
        yield path, f"{list(drops)}: epochs must increase"
    elif epochs and drops and drops[-1] >= epochs:
        yield path, f"the drop at epoch {drops[-1]} is never reached in {epochs} epochs"


def _watched(
    name: str, knn: Knn | None, further: Mapping[str, TaskSection]
) -> Iterator[tuple[str, str]]:
    said, kinds = further.get(name), [each for each, its in further.items() if isinstance(its, Knn)]
    if not isinstance(said, Knn):
        there = ", ".join(kinds) or "none"
        yield "watch.knn_task", f"no kNN task under tasks: is called {name}; there is {there}"
    elif knn is not None:
        why = "the recipe's own knn is monitored: say knn: null to monitor the task in its place"
        yield "watch.knn_task", why
    elif said.parent != "pretrain":
        yield "watch.knn_task", f"{name} builds on {said.parent}, and not on pretrain"


def _tasks(further: Mapping[str, TaskSection], own: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Complaints about further tasks whose parent is missing, circular, or a task of several
    trials."""
    for name, said in further.items():
        above = further.get(said.parent)
        if name in tasks():
            yield f"tasks.{name}", "the name of a kind of task: choose another name"
        elif above is None and (said.parent not in own or said.parent != tasks()[said.kind].parent):
            yield f"tasks.{name}.parent", _other_parent(name, said, further, own)
        elif above is not None and above.trials > 1:
            why = (
                f"{said.parent} has {above.trials} trials, so the parent would be ambiguous: "
                "choose another one"
            )
            yield f"tasks.{name}.parent", why
        elif above is not None and above.kind != (needed := tasks()[said.kind].parent):
            yield (
                f"tasks.{name}.parent",
                f"{said.kind} builds on {needed}, not on {above.kind}, which {said.parent} is: "
                "leave it out",
            )
        seen, parent = {name}, said.parent
        while parent in further and parent not in seen:
            seen.add(parent)
            parent = further[parent].parent
        if parent == name:
            yield f"tasks.{name}.parent", "the parents form a loop: choose another parent"


def _other_parent(
    name: str, said: TaskSection, further: Mapping[str, TaskSection], own: Sequence[str]
) -> str:
    needed = tasks()[said.kind].parent
    known = [each for each in own if each == needed]
    known += [other for other, its in further.items() if other != name and its.kind == needed]
    why = (
        f"{said.kind} builds on {needed}, not on {said.parent}"
        if said.parent in own
        else f"no task with the name {said.parent}"
    )
    return f"{why}; use one of {', '.join(known)}" if known else f"{why}: leave it out"
