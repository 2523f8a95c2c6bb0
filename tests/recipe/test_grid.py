"""A grid as an ablation's cells."""

from __future__ import annotations

import pytest

from harness.errors import RecipeError
from harness.recipe.ablation import Ablation
from harness.recipe.grid import LONGEST_ID, heading, short_names, symbol, value_text, with_cells
from harness.recipe.validate import check
from harness.recipe.yaml_source import parse


def made(text: str) -> Ablation:
    return check(Ablation, with_cells(parse(f"name: mine\n{text}", "mine.yaml")))


def refusal(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        made(text)
    return str(caught.value)


def test_every_combination_is_a_cell() -> None:
    table = made("grid:\n  contrast.momentum: [0.5, 0.99]\n  contrast.queue: [32, 64]\n")
    assert [cell.id for cell in table.cells] == [
        *("momentum=0.5-queue=32", "momentum=0.5-queue=64"),
        *("momentum=0.99-queue=32", "momentum=0.99-queue=64"),
    ]
    assert table.cells[1].set == {"contrast.momentum": 0.5, "contrast.queue": 64}
    assert table.cells[1].label == "0.5, 64"
    assert table.axis == "momentum m, queue K"
    assert not table.of_paper


def test_its_own_axis_and_title_are_kept() -> None:
    table = made("title: T\naxis: A\ngrid: {optim.lr: [1, 2]}\n")
    assert (table.title, table.axis) == ("T", "A")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: {}", "mine.yaml:2: grid: needs fields"),
        ("grid: [1]", "mine.yaml:2: grid: needs fields"),
        ("grid:\n  optim.lr: 0.1", "mine.yaml:3: grid.optim.lr: needs a list"),
        ("grid:\n  optim.lr: []", "mine.yaml:3: grid.optim.lr: needs a list"),
        ("grid:\n  optim.lr: [0.1, 1e-1]", "mine.yaml:3: grid.optim.lr: 0.1 is given twice"),
        ("grid:\n  optim.lr: [1, 1.0]", "mine.yaml:3: grid.optim.lr: 1 is given twice"),
        ("grid: {optim.lr: [1]}\ncells: []", "mine.yaml:2: grid: an ablation has cells or a grid"),
        ("grid: {optim..lr: [1]}", "mine.yaml:2: 'optim..lr' is not a field"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_too_many_combinations_are_refused_before_they_are_made() -> None:
    fields = "".join(f"  f.x{n}: {list(range(10))}\n" for n in range(12))
    assert "1,000,000,000,000 cells" in refusal(f"grid:\n{fields}")


@pytest.mark.parametrize("values", ["[true, 1]", '["1", 1]', "[null, 0]", "[[1], [1, 1]]"])
def test_values_that_only_look_alike_are_two_cells(values: str) -> None:
    ids = [cell.id for cell in made(f"grid: {{watch.x: {values}}}").cells]
    assert len(set(ids)) == 2


def test_ids_are_short_and_of_the_characters_of_names() -> None:
    long = ", ".join(f"optim.some_long_field_name_{n}: [0.123456789, 2]" for n in range(4))
    cells = made(f"grid: {{{long}}}").cells
    assert len({cell.id for cell in cells}) == 16
    assert max(len(cell.id) for cell in cells) <= LONGEST_ID
    odd = made('grid: {data.folder: ["A b/c", "Ä"], optim.schedule: [{kind: cosine}]}').cells
    assert odd[0].id == "folder=a_b_c-schedule=cosine"
    assert len({cell.id for cell in odd}) == 2


def test_fields_with_the_same_last_part_are_told_apart() -> None:
    names = short_names(["optim.lr", "linear.lr", "contrast.momentum"])
    assert names == {
        "optim.lr": "optim.lr",
        "linear.lr": "linear.lr",
        "contrast.momentum": "momentum",
    }


def test_words() -> None:
    assert heading("contrast.momentum") == "momentum m"
    assert symbol("contrast.momentum") == "m"
    assert symbol("optim.lr") == "learning rate"
    assert heading("tasks.x.lr") == "tasks.x.lr"
    assert heading("augment.crop_scale") == "augment.crop_scale", "its label has a comma"
    assert value_text([0.1, 2]) == "[0.1 2]"
    assert value_text({"kind": "step", "drops": [1]}) == "step drops [1]"
    assert value_text(1e-05) == "1e-05"
