"""A long plan is asked about once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cli.tiny import TINY

from harness.app import Amount, Progress, planning
from harness.app.progress import Declined
from harness.plan import Plan
from harness.site import Site, load_site


class Asked(Progress):
    def __init__(self, answer: bool = True) -> None:
        self.answer, self.times = answer, 0

    def confirm(self, plan: Plan, amount: Amount) -> bool:
        del plan, amount
        self.times += 1
        return self.answer


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return load_site(runs=tmp_path / "runs", data=tmp_path, device="cpu")


def times(plan: Plan, site: Site, hours: float | None, *, ask: bool = True) -> int:
    asked = Asked()
    planning.ask_long(plan, site, Amount(hours, limit=1.0), asked, ask=ask)
    return asked.times


def test_going_on_asks_nothing_and_more_asks_again(recipe: Path, site: Site) -> None:
    plan = planning.plan(recipe, site)
    with pytest.raises(Declined):
        planning.ask_long(plan, site, Amount(20.0, limit=1.0), Asked(answer=False), ask=True)
    assert times(plan, site, 20.0) == 1, "what was refused was not confirmed"
    assert times(plan, site, 20.0) == times(plan, site, 12.0) == times(plan, site, 25.0) == 0
    assert times(plan, site, 40.0) == 1, "twice as much"
    other = planning.plan(recipe, site, sets=["seed=1"])
    assert times(other, site, 20.0) == 1
    anew = replace(plan, stages=tuple(replace(each, action="again") for each in plan.stages))
    assert times(anew, site, 20.0) == 1, "done once more"
    (site.runs / ".confirmed").write_text("{torn\n")
    assert times(plan, site, 20.0) == 1


def test_yes_on_the_command_line_counts_too(recipe: Path, site: Site) -> None:
    plan = planning.plan(recipe, site)
    assert times(plan, site, 20.0, ask=False) == 0
    assert times(plan, site, 20.0) == 0


def test_short_work_is_not_noted(recipe: Path, site: Site) -> None:
    assert times(planning.plan(recipe, site), site, 0.5, ask=False) == 0
    assert not (site.runs / ".confirmed").exists()


@pytest.mark.parametrize("line", ["3", "null", "[1]", "{}", '{"plan": 1}', '{"plan"'])
def test_a_line_of_anything_else_confirms_nothing(recipe: Path, site: Site, line: str) -> None:
    plan = planning.plan(recipe, site)
    site.runs.mkdir()
    (site.runs / ".confirmed").write_text(f"{line}\n")
    assert times(plan, site, 20.0) == 1
    assert times(plan, site, 20.0) == 0, "the lines behind it count"
