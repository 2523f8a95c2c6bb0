"""What a recipe's stated cost (about.cost) is for, and how many images its training processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import RecipeError
from harness.recipe.ablation import Scale
from harness.recipe.expand import Expansion, expand
from harness.recipe.finetune import FinetuneTask
from harness.recipe.identity import spec
from harness.recipe.load import SCALE_FIELDS, loaded
from harness.recipe.rules import CLASSES, KNOWN_SIZES, STL10_LABELLED
from harness.recipe.schema import Data, Recipe
from harness.recipe.settings import parse_set
from harness.recipe.training import TrainedTask


def as_written(
    path: Path, sets: Sequence[str], found: Recipe | Scale, expansion: Expansion | None
) -> Mapping[str, Recipe]:
    """The recipes for which costs are stated, by cell ("": a single recipe's), where others are
    planned: those without `--set` or, of cells for which the ablation recipe states nothing, its
    base recipe. Without those that cannot be read."""
    own = [text for text in sets if parse_set(text)[0].split(".")[0] in SCALE_FIELDS]
    try:
        if expansion is None or not isinstance(found, Scale):
            written = loaded(path, ()) if sets else None
            return {"": written} if isinstance(written, Recipe) else {}
        scale = loaded(path, own) if len(own) < len(sets) else found
        assert isinstance(scale, Scale)
        before = expansion if scale is found else expand(scale, path)
    except RecipeError:
        return {}
    cells = {member.cell: member.recipe for member in before.members}
    given = {control.id for control in found.controls}
    if found.about.cost is None and (base := expansion.base) is not None:
        cells |= {cell: base for cell in cells if cell not in {*found.hours, *given}}
    return cells


def share(
    recipe: Recipe, name: str, *, pretrains: bool, written: Recipe | None = None
) -> float | None:
    """The share of the recipe's stated cost that is the stage's; above 1 if it trains for longer
    than the recipe as it is written; 0 if the cost is not of such a stage. None: not known, as on
    other data.

    The cost is that of pre-training or, on given weights, of the linear probe. In a plan without
    pre-training, a recipe without a linear probe states the cost of its tasks that train the
    network further, all trials together.

    Args:
        name: the stage's.
        pretrains: whether any run of the plan is pre-trained.
        written: the recipe for which the cost is stated; None: the same.
    """
    written = written or recipe
    elsewhere = recipe.data != written.data
    if _epochs(recipe, name):
        now, stated = _passes(recipe, name), _passes(written, name)
        if elsewhere:
            return None
        if now is None or stated is None:  # of a number of images that is not known
            return 1.0 if _length_of(recipe) == _length_of(written) else None
        return now / (stated or now)
    task = _trained_task(recipe, name)
    if pretrains or recipe.linear is not None or task is None:
        return 0.0
    if elsewhere:
        return None
    every = [each for each in written.tasks.values() if isinstance(each, TrainedTask)]
    before = written.tasks.get(spec(recipe, name).under)
    if not isinstance(before, TrainedTask):
        return None
    return _length(task) / _length(before) / sum(each.trials for each in every)


def _length(task: TrainedTask) -> int:
    """Of its training; in images if it is given in steps, else in passes over them."""
    return task.steps * task.batch if task.steps is not None else task.epochs or 1


def images(recipe: Recipe, name: str) -> int | None:
    """Images that the stage's training will process, over all epochs; None if the number of images
    in its data set, or of those with a label to train with, is not known."""
    task, data, epochs = _trained_task(recipe, name), recipe.data, _epochs(recipe, name)
    if task is not None and task.steps is not None:
        return task.steps * task.batch
    if task is not None:
        epochs, data = task.epochs or 0, task.data or data
    if not epochs:
        return 0
    size = data.images or KNOWN_SIZES.get(data.name)
    if data.name == "stl10" and name != "pretrain":
        size = STL10_LABELLED
    if isinstance(task, FinetuneTask):
        size = _labelled(task, data, size)
    most = recipe.optim.steps and recipe.optim.steps * recipe.optim.batch
    if task is None and name == "pretrain" and most is not None:
        return most if size is None else min(most, epochs * size)
    return None if size is None else epochs * size


def _passes(recipe: Recipe, name: str) -> float | None:
    """Passes over the training images, as `_epochs`, cut off by optim.steps; None: not known."""
    epochs, optim = _epochs(recipe, name), recipe.optim
    if name != "pretrain" or optim.steps is None:
        return epochs
    size = recipe.data.images or KNOWN_SIZES.get(recipe.data.name)
    return None if size is None else min(epochs, optim.steps * optim.batch / size)


def _length_of(recipe: Recipe) -> tuple[int, int | None, int]:
    return recipe.optim.epochs, recipe.optim.steps, recipe.optim.batch


def _labelled(task: FinetuneTask, data: Data, size: int | None) -> int | None:
    """How many of a data set's `size` images fine-tuning trains on, but for the rounding in each
    class; None if it is not known."""
    if task.labels_file is not None:
        return None
    if task.labels is None:
        return size
    classes = CLASSES.get(data.name)
    if task.labels >= 1:
        return None if classes is None else int(task.labels) * classes
    return None if size is None else max(classes or 1, round(task.labels * size))


def _epochs(recipe: Recipe, name: str) -> int:
    """Epochs of pre-training; for the probe on given weights, which need no pre-training, its
    own."""
    kind = spec(recipe, name).task.kind if name in recipe.tasks else name
    if kind == "pretrain":
        return recipe.optim.epochs
    given = recipe.model.weights is not None and recipe.optim.epochs == 0
    return recipe.linear.epochs if kind == "linear" and given and recipe.linear else 0


def _trained_task(recipe: Recipe, name: str) -> TrainedTask | None:
    section = spec(recipe, name).section(recipe) if recipe.tasks else None
    return section if isinstance(section, TrainedTask) else None
