"""Rules of model.layout: what may be done with MSRA's network, which only detectors build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.recipe.sections import MSRA_PREFIX, Model
from harness.recipe.task import TaskSection
from harness.spec.registry import tasks

MSRA_SHA256 = "5891d200"
"""OpenMMLab's copy of MSRA's ResNet-50, by torchvision's names."""
TORCHVISION_V2_SHA256 = "11ad3fa6"
"""torchvision's ResNet50_Weights.IMAGENET1K_V2."""


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
    prefix, sha256 = "", ""
    if model.weights is not None:
        prefix, sha256 = model.weights.prefix or "", model.weights.sha256 or ""
    detects = any(said.builds_msra for said in further.values())
    if detects and sha256.startswith(TORCHVISION_V2_SHA256):
        yield (
            "model.weights.sha256",
            "torchvision's V2 weights, trained longer and otherwise than any supervised row of the "
            "papers: start from V1, resnet50-0676ba61.pth",
        )
    if model.layout != "msra":
        if prefix.rstrip(".") == MSRA_PREFIX or sha256.startswith(MSRA_SHA256):
            why = "missing: the file holds MSRA's network, which is another one: say layout: msra"
            yield "model.layout", why
        return
    only = "only tasks that train a detector on photographs build model.layout msra"
    if model.backbone != "resnet50" or model.width != 1:
        yield "model.layout", "msra is a ResNet-50: say backbone: resnet50, of width 1"
    if model.weights is not None and (model.weights.file or "").endswith(".pkl"):
        why = "a pickle: make a file of it with moco-harness convert, and name that one"
        yield "model.weights.file", why
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
