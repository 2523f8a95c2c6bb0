"""Fields that came later change no earlier run's identity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from harness.recipe import identity
from harness.recipe.load import load_recipe
from harness.recipe.schema import Data, Knn, Recipe
from harness.recipe.section import ByName, Section, Since, plain
from harness.store.layout import StageFolder
from harness.store.ledger import Entry
from harness.store.stale import why_other


class Layer(Section):
    depth: int
    order: Annotated[int, Since("9.0")] = 0


class Net(Section):
    layers: tuple[Layer, ...]
    by_name: dict[str, Layer] = {}
    scale: Annotated[float | None, Since("9.0")] = None


def test_a_later_field_at_its_default_is_left_out_at_any_depth() -> None:
    net = Net(layers=(Layer(depth=1), Layer(depth=2, order=3)), by_name={"a": Layer(depth=4)})
    assert plain(net) == {
        "layers": [{"depth": 1}, {"depth": 2, "order": 3}],
        "by_name": {"a": {"depth": 4}},
    }


def test_a_later_field_of_another_value_is_there() -> None:
    assert plain(Net(layers=(), scale=2.0))["scale"] == 2.0


class Named(Section):
    of: Annotated[str | None, Since("9.0"), ByName()] = None


@pytest.mark.parametrize("path", ["run-1", "../runs/run-1", "/data/runs/run-1/"])
def test_of_a_path_that_ends_in_a_name_the_name_is_left(path: str) -> None:
    assert plain(Named(of=path)) == {"of": "run-1"}
    assert plain(Named()) == {}


class LaterData(Data):
    antialias: Annotated[bool, Since("9.0")] = False


class LaterRecipe(Recipe):
    data: LaterData
    knn: Knn = Knn()


@pytest.mark.parametrize("kind", ["pretrain", "knn", "linear"])
def test_a_stage_keeps_its_id_and_its_record(kind: str, base: Path, tmp_path: Path) -> None:
    before = load_recipe(base)
    later = LaterRecipe.model_validate_json(before.model_dump_json())
    assert identity.stage_id(before, kind) == identity.stage_id(later, kind)
    folder = StageFolder(tmp_path / identity.stage_id(before, kind))
    said = {"schema": 1, "id": folder.id, "kind": kind, "recipe": plain(before)}
    assert not why_other(Entry(folder, "finished", described=said), identity.record(later, kind))
    changed = later.model_copy(update={"data": later.data.model_copy(update={"antialias": True})})
    assert identity.stage_id(changed, kind) != identity.stage_id(before, kind)
    assert why_other(Entry(folder, "finished", described=said), identity.record(changed, kind))
