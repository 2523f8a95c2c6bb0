"""The committed tables: none lacks its numbers, their source, its claims or a scale."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import harness
from harness.methods.memory_bank.config import MemoryBank
from harness.methods.moco.config import Moco
from harness.methods.supervised.config import Supervised
from harness.plan import make_plan
from harness.recipe.ablation import CONTROL, Ablation, Cell, Level, Scale
from harness.recipe.expand import Expansion, expand
from harness.recipe.identity import sections, specs
from harness.recipe.load import load_ablation, load_recipe, load_scale
from harness.recipe.printed import FILE, blocks
from harness.recipe.rules import KNOWN_SIZES
from harness.recipe.schema import Recipe
from harness.recipe.yaml_source import read
from harness.report.axis_figure import READ

ROOT = Path(harness.__file__).parent.parent
PRINTED = ROOT / "ablations" / FILE
TABLES = sorted(path for path in (ROOT / "ablations").glob("*.yaml") if path != PRINTED)
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
DETECTION = (
    *("detection_voc_c4", "detection_voc_dc5", "detection_voc07_c4"),
    *("detection_coco_fpn_1x", "detection_coco_fpn_2x", "detection_coco_fpn_6x"),
    *("detection_coco_c4_1x", "detection_coco_c4_2x"),
)
"""Tables of detection from given weights."""

LEVELS: tuple[Level, ...] = ("paper", "cifar10", "cpu", "quick")
NAMES = {
    "momentum",
    "mechanisms",
    "mechanisms_twins",
    "width",
    "shuffling",
    "shuffling_groups",
    "temperature",
    "improvements",
    "improvements_factorial",
    "longer",
    "simclr",
    "cost",
    "five_runs",
    "cifar10_demo",
    "transfer",
    "segmentation_voc",
    "segmentation_cityscapes",
    "inaturalist",
    "imagenet_finetuning",
    "memory_bank_loss",
    "semi_supervised_1",
    "semi_supervised_10",
    "detection_mechanisms_c4",
    "detection_mechanisms_dc5",
    *DETECTION,
}

NO_TEXT = {
    *("five_runs", "inaturalist", "semi_supervised_1", "semi_supervised_10"),
    *("imagenet_finetuning", "memory_bank_loss", "transfer"),
    *("detection_coco_fpn_1x", "detection_coco_c4_1x", "detection_coco_fpn_6x"),
    *("detection_mechanisms_c4", "detection_mechanisms_dc5", "detection_voc07_c4", "longer"),
}
"""Tables of a README, or whose text was not read or speaks of other rows: nobody's words claim
anything."""

SAME = [
    ("ablation_width", "r50", "moco_v1_imagenet"),
    ("ablation_width", "rx50", "moco_v1_imagenet_rx50"),
    ("ablation_width", "r50w2x", "moco_v1_imagenet_r50w2x"),
    ("ablation_width", "r50w4x", "moco_v1_imagenet_r50w4x"),
    ("ablation_mechanisms", "moco-65536", "moco_v1_imagenet"),
    ("ablation_temperature", "fc-0.07", "moco_v1_imagenet"),
    ("ablation_improvements", "v1", "moco_v1_imagenet"),
    ("ablation_improvements", "d", "moco_v2_imagenet"),
    ("ablation_improvements", "e", "moco_v2_imagenet_800"),
    ("ablation_simclr", "moco-v1", "moco_v1_imagenet"),
    ("ablation_simclr", "moco-v2-200", "moco_v2_imagenet"),
    ("ablation_simclr", "moco-v2-800", "moco_v2_imagenet_800"),
    ("ablation_five_runs", "v1", "moco_v1_imagenet"),
    ("ablation_five_runs", "v2", "moco_v2_imagenet"),
    ("ablation_segmentation_voc", "moco-in-1m", "segmentation_voc"),
    ("ablation_segmentation_cityscapes", "moco-in-1m", "segmentation_cityscapes"),
    ("ablation_inaturalist", "moco-in-1m", "inaturalist"),
    ("ablation_imagenet_finetuning", "moco-in-1m", "imagenet_finetuning"),
    ("ablation_semi_supervised_1", "moco-v1", "semi_supervised_1"),
    ("ablation_semi_supervised_10", "moco-v1", "semi_supervised_10"),
    *((f"ablation_{name}", "moco-in-1m", name) for name in DETECTION),
    ("ablation_cifar10_demo", "asym-200", "cifar10_demo"),
    ("ablation_cifar10_demo", "asym-400", "cifar10_demo_400"),
    ("ablation_cifar10_demo", "asym-800", "cifar10_demo_800"),
    ("ablation_cifar10_demo", "sym-200", "cifar10_demo_symmetric"),
    ("ablation_cifar10_demo", "sym-400", "cifar10_demo_symmetric_400"),
    ("ablation_cifar10_demo", "sym-800", "cifar10_demo_symmetric_800"),
]
"""Cells that are recipes of their own as well."""

BESIDE = {"ablation_improvements": ("voc",), "ablation_semi_supervised_1": ("voc07", "voc07_low")}
"""Tasks that a table adds to such recipes, for its columns."""


@cache
def scales() -> dict[Path, Scale]:
    return {path: load_scale(path) for path in RECIPES if "ablation" in read(path).fields()}


@cache
def expanded(path: Path) -> Expansion:
    return expand(scales()[path], path)


def per_table(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(name, TABLES, ids=lambda path: path.stem)


per_scale = pytest.mark.parametrize("path", scales(), ids=lambda path: path.stem)


def test_every_table_and_figure_that_can_be_filled_has_a_file() -> None:
    assert {path.stem for path in TABLES} == NAMES


# ---- numbers


@per_table("path")
def test_a_table_holds_its_numbers_by_reference_its_source_and_its_claims(path: Path) -> None:
    table, node = load_ablation(path), read(path)
    assert table.name == path.stem
    assert table.numbers in blocks(PRINTED), "the table's own block says paper, setting and source"
    cells = node.get("cells")
    assert cells is not None
    assert isinstance(cells.value, list)
    for cell, given in zip(table.cells, cells.value, strict=True):
        reference = given.plain()["printed"]
        if reference is None:
            continue
        assert isinstance(reference, str), f"{cell.id}: its number belongs in {FILE}"
        assert "." in reference, f"{cell.id}: its number belongs in {FILE}"
    assert any(isinstance(cell.printed, float) for cell in table.cells)
    assert any(cell.set is not None for cell in table.cells)
    assert table.claims
    if table.name not in NO_TEXT:
        assert any(claim.by == "paper" for claim in table.claims), "only claims of our own"
    for claim in table.claims:
        assert not claim.says.startswith("("), f"{claim.id}: whose it is stands in `by`"
        if CONTROL in [cell for _, cell in claim.named()] and table.cell(CONTROL) is None:
            assert claim.by == "ours", f"{claim.id}: papers have no control"


@per_table("path")
def test_cells_of_a_figure_stand_on_its_axis_in_series(path: Path) -> None:
    table = load_ablation(path)
    for cell in table.cells:
        assert (cell.x is not None) == (table.figure is not None), cell.id
        assert bool(cell.series) == (table.figure is not None), cell.id


@per_scale
def test_at_the_printed_scale_cells_run_where_the_paper_drew_them(path: Path) -> None:
    scale, table = scales()[path], expanded(path).ablation
    if table.figure is None or scale.level != table.printed_at:
        return
    for member in expanded(path).members:
        cell = table.cell(member.cell)
        if cell is not None:
            assert READ[table.figure.reads](member.recipe) == cell.x, member.cell


def test_tables_have_the_papers_shape() -> None:
    shapes = {path.stem: load_ablation(path).shape for path in TABLES}
    assert {name: shape for name, shape in shapes.items() if shape != "down"} == {
        "momentum": "across",
        "mechanisms": "grid",
        "mechanisms_twins": "grid",
        "temperature": "grid",
        "cifar10_demo": "grid",
    }


@per_scale
def test_targets_of_a_printed_level_are_the_printed_numbers(path: Path) -> None:
    scale, table = scales()[path], expanded(path).ablation
    if scale.level != table.printed_at:
        return
    for cell_id, targets in scale.targets.items():
        cell = table.cell(cell_id)
        assert cell is not None
        assert [target.value for target in targets] == [cell.printed], cell_id


@pytest.mark.parametrize(("scale", "cell_id", "recipe"), SAME)
def test_a_cell_is_the_recipe_that_stands_for_itself(scale: str, cell_id: str, recipe: str) -> None:
    path = ROOT / "recipes" / f"{scale}.yaml"
    own = load_recipe(ROOT / "recipes" / f"{recipe}.yaml")
    found = next(m.recipe for m in expanded(path).members if m.cell == cell_id)
    wanted = own.model_copy(update={"seed": found.seed})
    beside = {stage for stage in specs(found) if stage.partition("=")[0] in BESIDE.get(scale, ())}
    assert specs(found).keys() - beside == specs(wanted).keys()
    for stage in specs(wanted):
        assert sections(found, stage) == sections(wanted, stage)
    expected = [t for t in own.about.targets if t.epoch is None]
    cell = expanded(path).ablation.cell(cell_id)
    assert cell is not None
    if expected and recipe != "moco_v1_imagenet":  # there the five runs' mean, not the paper's run
        assert [target.value for target in expected] == [cell.printed]


@pytest.mark.parametrize(
    ("single", "tables"),
    [
        ("detection_voc_c4", ("ablation_improvements", "ablation_detection_mechanisms_c4")),
        ("detection_voc_dc5", ("ablation_detection_mechanisms_dc5",)),
    ],
)
def test_detection_is_by_one_protocol_in_all_tables(single: str, tables: tuple[str, ...]) -> None:
    wanted = load_recipe(ROOT / "recipes" / f"{single}.yaml").tasks["voc"]
    for table in tables:
        for member in expanded(ROOT / "recipes" / f"{table}.yaml").members:
            assert member.recipe.tasks["voc"] == wanted, member.cell


# ---- scales


def at(table: str, level: Level) -> list[Path]:
    return [p for p, scale in scales().items() if (scale.ablation, scale.level) == (table, level)]


@per_table("path")
@pytest.mark.parametrize("level", LEVELS)
def test_each_table_has_a_recipe_at_each_level_or_says_why_not(path: Path, level: Level) -> None:
    table = load_ablation(path)
    found = at(table.name, level)
    assert len(found) + (level in table.no_scale) == 1
    if level in table.no_scale:
        assert table.no_scale[level].strip()
    elif (table.name, level) == ("momentum", "quick"):
        assert found[0].stem == "quickstart"
    else:
        suffix = "" if level == table.printed_at else f"_{level}"
        assert found[0].stem == f"ablation_{table.name}{suffix}"


@per_scale
def test_a_level_is_what_it_says(path: Path) -> None:
    scale = scales()[path]
    assert scale.level in LEVELS
    assert scale.name == path.stem
    assert scale.about.title
    assert scale.about.cost is not None
    for member in expanded(path).members:
        data = member.recipe.data
        assert {
            "paper": (data.folder, data.images) == ("imagenet", None),
            "cifar10": (data.name, data.images) == ("cifar10", None),
            "cpu": data.name == "cifar10" and data.images in (10_000, 20_000),
            "quick": data.name == "embedded",
        }[scale.level]
        if scale.level == "cpu":
            assert member.recipe.knn is not None
            assert member.recipe.knn.queries is None, "all 10,000 test images"
            assert member.seed >= 10, "0 to 9 are for tuning"


@per_scale
def test_every_claim_can_be_judged_or_says_why_not(path: Path) -> None:
    scale, found = scales()[path], expanded(path)
    recipes = {member.cell: member.recipe for member in found.members}
    for claim in found.ablation.claims:
        cells = {cell for _, cell in claim.named()}
        printed_only = {c.id for c in found.ablation.cells if c.set is None}
        absent = cells - set(recipes) - (printed_only if scale.level == "paper" else set())
        if claim.id in scale.untestable:
            assert scale.untestable[claim.id].strip()
            continue
        assert not absent, claim.id
        if path.stem == "quickstart" or scale.metric.startswith("cost/"):
            continue  # the first is older than the rule, and its report says so
        for cell in cells - {CONTROL} - printed_only:
            assert bearable(recipes[cell]), (claim.id, cell)


def bearable(recipe: Recipe) -> bool:
    """K at most a tenth of the images, and steps enough for the momentum; or given weights."""
    if not recipe.optim.epochs:
        return True
    images = recipe.data.images or KNOWN_SIZES.get(recipe.data.name) or 1_281_167
    contrast, optim = recipe.contrast, recipe.optim
    if contrast.kind == "end_to_end":
        return optim.batch <= images / 10
    if isinstance(contrast, Supervised):
        return True
    if isinstance(contrast, MemoryBank):
        return contrast.negatives <= images / 10
    assert isinstance(contrast, Moco)
    steps = optim.epochs * (images // optim.batch)
    return contrast.queue <= images / 10 and steps >= round(3 / (1 - contrast.momentum), 6)


@per_scale
def test_a_plan_can_be_made_and_tells_its_hours(path: Path, tmp_path: Path) -> None:
    made = make_plan(path, [], tmp_path)
    members = expanded(path).members
    assert len({stage.id for stage in made.stages}) == len(made.stages) >= 2 * len(members)
    assert made.hours is not None
    tasks = not any(m.recipe.optim.epochs for m in members)  # then random weights cost as much
    costly = [m for m in members if tasks or m.recipe.optim.epochs or m.recipe.model.weights]
    hours = {m.cell: m.recipe.about.cost for m in costly}
    assert made.hours == pytest.approx(
        sum(cost.hours for cost in hours.values() if cost) * len(scales()[path].seeds)
    )


@per_scale
def test_what_a_scale_runs_beside_the_paper(path: Path) -> None:
    """Printed rows are never run, unless given weights fill them; a cell's settings here are of
    cells that run here."""
    scale, found = scales()[path], expanded(path)
    run = {member.cell for member in found.members}
    given = {control.id for control in scale.controls}
    assert not {cell.id for cell in found.ablation.cells if cell.set is None} & (run - given)
    assert set(scale.set_cells) <= run
    assert set(scale.hours) <= run
    assert (CONTROL in run) == scale.control


def test_columns_to_come_are_of_what_the_harness_does_not_measure() -> None:
    waiting = {
        column.numbers.rpartition("-")[0]: column.awaits
        for path in TABLES
        for column in load_ablation(path).columns
        if column.awaits
    }
    way = "(export --format detectron2)"
    assert waiting == {
        "v1-table-6-keypoints": f"a keypoint head {way}",
        "v1-table-6-densepose": f"a dense pose head {way}",
        "v1-table-6-lvis": f"LVIS {way}",
        "v1-appendix-a4-lvis-1x": f"LVIS {way}",
        "v1-table-6-cityscapes-instances": f"Cityscapes instances {way}",
    }


@per_scale
def test_every_run_measures_the_columns_that_are_filled(path: Path) -> None:
    scale, found = scales()[path], expanded(path)
    if scale.level != "paper":
        return  # a smaller scale may leave a column to the paper
    wanted = {column.metric for column in found.ablation.columns if column.metric} - {"cost/hours"}
    for member in found.members:
        kinds = {spec.task for spec in specs(member.recipe).values()}
        measured = {metric for task in kinds for metric in task.reported}
        assert wanted <= measured, member.cell


def test_the_figure_without_printed_values_says_so() -> None:
    table: Ablation = load_ablation(ROOT / "ablations" / "shuffling.yaml")
    cells: dict[str, Cell] = {cell.id: cell for cell in table.cells}
    assert table.uncertainty == 0.7
    assert cells["e2e-plain"].printed is None
    assert "no printed number" in table.setting
    assert {curve.cell for curve in table.curves} == {"moco-shuffled", "moco-plain"}


def test_the_guide_lists_every_table_with_its_scales() -> None:
    lines = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8").splitlines()
    for path in TABLES:
        table = load_ablation(path)
        (line,) = [line for line in lines if f"| `{table.name}` |" in line]
        scales_ = line.split("|")[3]
        for level in LEVELS:
            assert (level in scales_) == (level not in table.no_scale), (table.name, level)
