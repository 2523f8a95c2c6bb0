"""Rules of model.layout: what may be done with MSRA's network, which only detectors build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.recipe.sections import MSRA_PREFIX, Model
from harness.recipe.task import TaskSection
from harness.spec.registry import tasks


def layout_rules(
    model: Model,
    epochs: int,
    own: Sequence[str],
    further: Mapping[str, TaskSection],
    health: int | None,
) -> Iterator[tuple[str, str]]:
    """(field, message) of each setting by which MSRA's weights would be read as another network's.

    Args:
        epochs: of pre-training.
        own: kinds of the recipe's stages without those under `tasks:`.
        further: the tasks under `tasks:`.
        health: watch.health_epochs.
    """
    prefix = model.weights.prefix if model.weights is not None else None
    if model.layout != "msra":
        if prefix is not None and prefix.rstrip(".") == MSRA_PREFIX:
            why = "missing: the file holds MSRA's network, which is another one: say layout: msra"
            yield "model.layout", why
        return
    only = "only tasks that train a detector on photographs build model.layout msra"
    if model.backbone != "resnet50" or model.width != 1:
        yield "model.layout", "msra is a ResNet-50: say backbone: resnet50, of width 1"
    if model.weights is not None and model.weights.run is not None:
        yield "model.weights.run", "runs have torchvision's layout: name MSRA's file"
    if epochs:
        yield "optim.epochs", f"{only}, and pre-training does not: say 0"
    for kind in own:
        if (section := tasks()[kind].section) is not None and kind != "pretrain":
            yield section, f"{only}: say {section}: null"
    for name, said in further.items():
        if not said.builds_msra:
            yield f"tasks.{name}", f"{only}: leave the task out"
    if health != 0:
        yield "watch.health_epochs", f"{only}, so no features can be measured: say 0"
