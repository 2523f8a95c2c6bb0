"""Which of the recipes that come with the harness are warned of, and of what."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.preflight.recipe_file import of_recipe, of_scale
from harness.preflight.sizes import IMAGENET, Size
from harness.preflight.warned import Preflight
from harness.recipe.ablation import Scale
from harness.recipe.expand import expand
from harness.recipe.load import load
from harness.recipe.task import Data
from harness.report.claims import judge
from harness.report.collect import collect
from harness.store.edition import Editions

RECIPES = Path(harness.__file__).parent.parent / "recipes"
SHIPPED = sorted(path.stem for path in RECIPES.glob("*.yaml"))

SINGLE_RUNS = (
    *("ablation_detection_coco_fpn_1x", "ablation_detection_coco_fpn_2x"),
    *("ablation_detection_coco_c4_1x", "ablation_detection_coco_c4_2x"),
    "ablation_detection_coco_fpn_6x",
)
"""Given weights, whose rows are printed from single runs and are not judged."""

ONE_CHECKPOINT = (
    *("ablation_detection_voc_c4", "ablation_detection_voc_dc5", "ablation_detection_voc07_c4"),
    *("ablation_segmentation_voc", "ablation_segmentation_cityscapes", "ablation_inaturalist"),
    *("ablation_semi_supervised_1", "ablation_semi_supervised_10"),
    "ablation_imagenet_finetuning",
)
"""Given weights: a second seed would fine-tune the same checkpoint again."""

PAPERS = (
    *("moco_v1_imagenet", "moco_v1_imagenet_r50w2x", "moco_v1_imagenet_r50w4x"),
    *("moco_v1_imagenet_rx50", "moco_v1_imagenet100", "moco_v1_instagram"),
    *("moco_v2_imagenet", "moco_v2_imagenet_800", "released_v1_200", "released_v2_200"),
    *("cifar10_demo", "cifar10_demo_400", "cifar10_demo_800", "cifar10_demo_symmetric"),
    *("cifar10_demo_symmetric_400", "cifar10_demo_symmetric_800", "ablation_cifar10_demo"),
    *("ablation_five_runs", "ablation_improvements", "ablation_mechanisms", "ablation_momentum"),
    *("ablation_shuffling", "ablation_simclr", "ablation_temperature", "ablation_width"),
    *("segmentation_voc", "segmentation_cityscapes", "inaturalist", "imagenet_finetuning"),
    "ablation_memory_bank_loss",
    *("semi_supervised_1", "semi_supervised_10"),
    *("ablation_detection_mechanisms_c4", "ablation_detection_mechanisms_dc5"),
    *ONE_CHECKPOINT,
    *SINGLE_RUNS,
    *(name.removeprefix("ablation_") for name in SINGLE_RUNS),
    *("detection_voc_c4", "detection_voc_dc5", "detection_voc07_c4"),
)
"""What others have published. A warning of these would be a false alarm."""

WARNED = {
    "ablation_cifar10_demo_cpu": {"rate-for-batch"},
    "ablation_cifar10_demo_quick": {"too-few-seeds", "queue-turnover", "rate-for-batch"},
    "ablation_cost": {"untestable-claim", "too-few-seeds"},
    "ablation_cost_cifar10": {"untestable-claim", "too-few-seeds"},
    "ablation_cost_cpu": {"untestable-claim"},
    "ablation_cost_quick": {"untestable-claim", "too-few-seeds"},
    "ablation_mechanisms_cifar10": {"untestable-claim"},
    "ablation_mechanisms_cpu": {"untestable-claim", "rate-for-batch"},
    "ablation_mechanisms_quick": {"untestable-claim", "too-few-seeds", "rate-for-batch"},
    "ablation_momentum_cifar10": {"untestable-claim"},
    "ablation_shuffling_cpu": {"rate-for-batch"},
    "ablation_shuffling_quick": {"too-few-seeds", "rate-for-batch"},
    "ablation_temperature_quick": {"too-few-seeds", "rate-for-batch"},
    "ablation_transfer_quick": {"rate-for-batch"},
    "ablation_width_cpu": {"untestable-claim", "rate-for-batch"},
    "ablation_width_quick": {"untestable-claim", "too-few-seeds", "rate-for-batch"},
    "cifar10_demo_cpu": {"slow-key-encoder"},
    "gate": {"rate-for-batch"},
    "miniature_cifar10": {"rate-for-batch"},
    "miniature_embedded": {"rate-for-batch"},
    "quickstart": {"untestable-claim"},
}

ACCEPTED = {
    "ablation_momentum_cpu": {"untestable-claim"},
    "ablation_cifar10_demo_epoch_1": {"slow-key-encoder", "schedule-cut"},
    "cifar10_demo_20_epochs": {"schedule-cut"},
    "quickstart": {"too-few-seeds", "rate-for-batch"},
    **{name: {"too-few-seeds"} for name in ONE_CHECKPOINT},
    **{name: {"untestable-claim"} for name in SINGLE_RUNS},
}


def at_hand(data: Data) -> Size | None:
    """The sizes of folders whose data somebody has."""
    return {"imagenet": IMAGENET, "imagenet100": Size(126_689, 100)}.get(data.folder or "")


def of(name: str) -> Preflight:
    path = RECIPES / f"{name}.yaml"
    found = load(path)
    if isinstance(found, Scale):
        return of_scale(found, expand(found, path), path, at_hand)
    return of_recipe(found, at_hand)


@pytest.mark.parametrize("name", SHIPPED)
def test_of_what_a_shipped_recipe_is_warned(name: str) -> None:
    assert name not in PAPERS or name not in WARNED
    found = of(name)
    assert {warned.key for warned in found.warnings} == WARNED.get(name, set())
    assert {warned.key for warned in found.accepted} == ACCEPTED.get(name, set())


def test_each_is_said_once_and_with_its_cells() -> None:
    found = of("ablation_mechanisms_cpu").warnings
    assert [(each.key, each.cells) for each in found] == [
        ("untestable-claim", ()),
        ("untestable-claim", ()),
        ("untestable-claim", ()),
        ("rate-for-batch", ("e2e-256",)),
        ("rate-for-batch", ("bank-256", "moco-256")),
    ]


SCALES = ("quickstart", "ablation_mechanisms_cpu", "ablation_cost_quick", "ablation_width_quick")


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("changes", [[], ["cells=[ID]"], ["control=false"], ["optim.epochs=2"]])
def test_a_claim_is_called_untestable_exactly_where_the_report_does(
    tmp_path: Path, name: str, changes: list[str]
) -> None:
    path = RECIPES / f"{name}.yaml"
    first = next(m.cell for m in expand(load(path), path).members if m.cell != "untrained")  # type: ignore[arg-type]
    scale = load(path, [each.replace("ID", first) for each in changes])
    assert isinstance(scale, Scale)
    expansion = expand(scale, path)
    results = collect(
        expansion, scale, tmp_path, path=path, installed=Editions.same("e"), curves=False
    )
    reported = {
        each.claim.id: each.evidence
        for each in judge(results)
        if each.verdict == "not testable at this scale"
    }
    names: list[str] = []
    for warned in of_scale(scale, expansion, path).warnings:
        if warned.key != "untestable-claim":
            continue
        claims, _, why = warned.says.partition(" cannot be tested at this scale: ")
        own = claims.removeprefix("claims ").removeprefix("claim ").split(", ")
        names += own
        reasons = {reported[claim] for claim in own}
        if reasons != {why}:  # said of all together: the cells that are not run
            each = [part for reason in reasons for part in reason.split("; ")]
            cells = {part.removeprefix("this scale does not run the cell ") for part in each}
            named = why.removeprefix("this scale does not run the cells ").split(", ")
            assert sorted(named) == sorted(cells)
    assert sorted(names) == sorted(reported)
    assert reported or not changes
