"""What makes a stage another one, and what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from miniature_recipe import MINIATURE
from pytest_regressions.data_regression import DataRegressionFixture

import harness
from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.recipe.ablation import Scale
from harness.recipe.expand import expand
from harness.recipe.identity import stage_id, stages, why_misnamed
from harness.recipe.load import load, load_recipe
from harness.recipe.schema import SCHEMA_VERSION

RECIPES = Path(harness.__file__).parent.parent / "recipes"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(MINIATURE)
    return path


def ids(recipe: Path, *sets: str) -> list[str]:
    found = load_recipe(recipe, sets)
    return [stage_id(found, name) for name in stages(found)]


@pytest.mark.parametrize(
    "change",
    ["about.title=other", "about.notes=[a, b]", "watch.log_steps=1", "watch.keep=7",
     "watch.knn_epochs=0", "watch.checkpoint_steps=3",
     "about.cost={hours: 5, on: a GPU, source: me}",
     "about.targets=[{metric: knn/top1, value: 50, tolerance: 1, source: me}]"],
)  # fmt: skip
def test_what_describes_a_run_does_not_make_it_another(recipe: Path, change: str) -> None:
    assert ids(recipe, change) == ids(recipe)


@pytest.mark.parametrize(
    "default",
    ["precision=fp32", "seed=0", "augment.flip_p=0.5", "model.head=fc", "linear.batch=256",
     "knn.temperature=0.1", "contrast.shuffle=true", "optim.weight_decay=1e-4",
     "optim.weight_decay=0.0001", "contrast.momentum=0.90", "data.folder=null",
     "optim.kind=sgd", "views={}"],
)  # fmt: skip
def test_a_default_that_is_written_out_is_the_same(recipe: Path, default: str) -> None:
    assert ids(recipe, default) == ids(recipe)


@pytest.mark.parametrize(
    "change",
    ["seed=1", "name=other", "data.images=129", "data.size=17", "augment.flip_p=0.4",
     "model.head=mlp", "model.bn_group=16", "contrast.queue=65", "contrast.momentum=0.91",
     "contrast.shuffle=false", "optim.epochs=3", "optim.lr=0.07", "precision=bf16",
     "optim.schedule.kind=cosine", "optim.weight_decay=0.0002"],
)  # fmt: skip
def test_whatever_pre_training_reads_makes_all_stages_others(recipe: Path, change: str) -> None:
    assert not set(ids(recipe, change)) & set(ids(recipe))


@pytest.mark.parametrize(
    ("change", "changed"),
    [("knn.k=[6]", 1), ("knn.k=[5, 6]", 1), ("knn.layer=output", 1), ("linear.epochs=4", 2),
     ("linear.lr=[1]", 2), ("linear.views=center", 2)],
)  # fmt: skip
def test_an_evaluations_protocol_makes_that_evaluation_another(
    recipe: Path, change: str, changed: int
) -> None:
    pairs = zip(ids(recipe, change), ids(recipe), strict=True)
    assert [n for n, (one, other) in enumerate(pairs) if one != other] == [changed]


def test_without_a_probe_the_rest_is_the_same(recipe: Path) -> None:
    assert ids(recipe, "linear=null") == ids(recipe)[:2]


def test_a_place_in_the_file_decides_nothing(recipe: Path) -> None:
    before = ids(recipe)
    recipe.write_text("\n".join(reversed(MINIATURE.splitlines())))
    assert ids(recipe) == before


def test_the_schemas_version_makes_every_run_another(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ids(recipe)
    monkeypatch.setattr("harness.recipe.identity.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    assert not set(ids(recipe)) & set(before)


def test_a_stages_record_says_what_its_id_is_the_hash_of(recipe: Path) -> None:
    said = {
        stage.kind: json.loads(json.dumps(describe(stage, "tiny")))
        for stage in make_plan(recipe, (), recipe.parent / "runs").stages
    }
    assert [why_misnamed(each) for each in said.values()] == ["", "", ""]
    for kind, reads in (("pretrain", ()), ("knn", ("knn",)), ("linear", ("linear",))):
        for section in ("data", "optim", "knn", "linear", "watch"):
            changed = {**said[kind]["recipe"], section: {"k": [7]}}
            other = section in ("data", "optim", *reads)
            assert bool(why_misnamed({**said[kind], "recipe": changed})) is other, (kind, section)
    assert why_misnamed({**said["knn"], "parent": "tiny-s1.pretrain-0123456789"})
    assert why_misnamed({**said["knn"], "kind": "elsewhere"}) is None
    assert why_misnamed({"recipe": None}) is None


def test_ids_of_the_committed_recipes(data_regression: DataRegressionFixture) -> None:
    """A change here orphans finished runs: intend it (then: pytest --force-regen), or undo it."""
    found: dict[str, list[str]] = {}
    for path in sorted(RECIPES.glob("*.yaml")):
        loaded = load(path)
        members = (
            [member.recipe for member in expand(loaded, path).members]
            if isinstance(loaded, Scale)
            else [loaded]
        )
        found[path.stem] = [stage_id(r, kind) for r in members for kind in stages(r)]
    data_regression.check(found)
