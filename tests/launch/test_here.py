"""A plan run on this machine, beside others who run the same."""

from __future__ import annotations

import os
from pathlib import Path

from cli.tiny import TINY

from harness.launch.here import run_here
from harness.plan import describe, make_plan
from harness.site import load_site
from harness.stage.reporter import Silent
from harness.store.attempt import begin
from harness.store.layout import stage_folder


def test_what_another_began_since_the_plan_is_left_to_it_with_all_that_waits(
    tmp_path: Path,
) -> None:
    recipe, runs = tmp_path / "tiny.yaml", tmp_path / "runs"
    recipe.write_text(TINY)
    made = make_plan(recipe, [], runs)
    folder = stage_folder(runs, made.stages[0].id)
    folder.create(describe(made.stages[0], "tiny"))
    attempt = begin(folder)
    tally = run_here(made, load_site(runs=runs, device="cpu"), Silent(), lambda: False)
    assert list(tally.elsewhere) == [stage.id for stage in made.stages]
    assert [str(os.getpid()) in why for why in tally.elsewhere.values()] == [True, False, False]
    attempt.end("interrupted")
