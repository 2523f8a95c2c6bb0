"""What the functions of `harness.app` take beside their types, and how they refuse the rest."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.app.public import READERS, public
from harness.errors import HarnessError, RecipeError, Unreadable


@public
def given(
    path: Path,
    name: Path | str = "",
    *,
    sets: Sequence[str] = (),
    seeds: Sequence[int] = (),
    out: Path | None = None,
) -> tuple[object, ...]:
    return path, name, sets, seeds, out


def test_no_path_and_no_list_of_a_function_is_left_unread() -> None:
    functions = [getattr(harness.app, name) for name in harness.app.__all__ if name.islower()]
    assert len(functions) > 10
    for each in functions:
        for name, parameter in inspect.signature(each).parameters.items():
            said = str(parameter.annotation).removesuffix(" | None")
            if re.search("Path|Sequence", said) and not said.startswith("Mapping"):
                assert said in READERS, f"{each.__name__}: {name}"


def test_text_is_a_path_and_one_thing_is_a_list_of_one() -> None:
    found = given("a/b", sets="optim.lr=1", seeds=np.arange(2), out="c")  # type: ignore[arg-type]
    assert found == (Path("a/b"), "", ("optim.lr=1",), (0, 1), Path("c"))
    assert {type(seed) for seed in found[3]} == {int}  # type: ignore[attr-defined]


def test_what_can_be_read_once_is_read_once() -> None:
    _, _, sets, _, _ = given(Path(), sets=(each for each in ("a=1", "b=2")))  # type: ignore[arg-type]
    assert sets == ("a=1", "b=2")


@pytest.mark.parametrize("wrong", [{"seeds": ["one"]}, {"seeds": 3}, {"name": "a\0b"}])
def test_what_has_no_meaning_is_refused_with_its_name(wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        given(Path(), **wrong)  # type: ignore[arg-type]


def test_a_limit_of_the_machine_is_an_error_of_ours() -> None:
    @public
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    with pytest.raises(Unreadable, match="/there"):
        closed(Path("/there"))


@pytest.mark.parametrize("name", ["verify", "export", "plan"])
def test_an_impossible_name_is_refused_by_every_function(name: str, tmp_path: Path) -> None:
    site = harness.load_site(runs=tmp_path)
    more = {"verify": (), "export": ("timm", site), "plan": (site,)}[name]
    for wrong in ("x" * 300, "a\0b"):
        with pytest.raises(HarnessError):
            getattr(harness.app, name)(wrong, *more)


def test_settings_that_can_be_read_once_make_the_same_plan(tmp_path: Path) -> None:
    site = harness.load_site(runs=tmp_path)
    listed = harness.app.plan("miniature_embedded", site, sets=["optim.epochs=2"])
    once = harness.app.plan("miniature_embedded", site, sets=(e for e in ["optim.epochs=2"]))  # type: ignore[arg-type]
    assert once.name == listed.name
    assert [s.id for s in once.stages] == [s.id for s in listed.stages]


def test_a_misspelt_recipe_is_no_success(tmp_path: Path) -> None:
    site = harness.load_site(runs=tmp_path)
    found = harness.app.check("quickstrat", site)  # type: ignore[arg-type]
    assert found is not None
    assert [where for where, _ in found.asked.errors] == ["quickstrat"]
    assert found.exit_code == RecipeError.exit_code


def test_more_seeds_are_of_cells_that_are_run(tmp_path: Path) -> None:
    site = harness.load_site(runs=tmp_path)
    for added in ({"nope": [1]}, {"m0.99": [-1]}, {"m0.99": ["x"]}):
        with pytest.raises(RecipeError, match=f"more seeds of {next(iter(added))}"):
            harness.app.plan("ablation_momentum_cpu", site, added=added)  # type: ignore[arg-type]
    plain = harness.app.plan("ablation_momentum_cpu", site)
    own = [stage.recipe.seed for stage in plain.stages if stage.member.cell == "m0.99"]
    again = harness.app.plan("ablation_momentum_cpu", site, added={"m0.99": own})
    assert len(again.stages) == len(plain.stages)


def test_the_site_takes_text_and_refuses_counts_below_one(tmp_path: Path) -> None:
    site = harness.load_site(data=str(tmp_path), runs=str(tmp_path / "runs"))
    assert str(site.data) == str(tmp_path)
    for wrong in ({"processes": -3}, {"at_once": 0}):
        with pytest.raises(RecipeError, match=next(iter(wrong))):
            harness.load_site(**wrong)  # type: ignore[arg-type]
