"""`run --seeds-until-decided MAX`: run, judge, add seeds to what is undecided, and again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.cli import show
from harness.cli.run import run_command
from harness.errors import RecipeError
from harness.inputs import Inputs
from harness.recipe.ablation import Scale
from harness.recipe.expand import expand
from harness.recipe.load import load
from harness.report.claims import judge, next_seeds
from harness.report.collect import collect
from harness.site import Site


def run_until_decided(
    path: Path, sets: Sequence[str], site: Site, most: int, *, ask: bool, again: bool = False
) -> int:
    """As run_command, with further seeds until every claim is decided or cells have `most` seeds.

    Which seeds come next, and when to look, follows from the ablation recipe alone: stopped and
    started again, it goes on as if it had not been.

    Raises:
        RecipeError: no ablation recipe, or one that does not plan for so many seeds.
    """
    scale = load(path, sets)
    _refuse(scale, path, most)
    assert isinstance(scale, Scale)
    added: dict[str, list[int]] = {}
    while True:
        code = run_command(path, sets, site, ask=ask, again=again, added=added)
        if code:
            return code
        results = collect(
            expand(scale, path),
            scale,
            site.runs,
            path=path,
            inputs=Inputs(site.data, site.runs),
        )
        wanted = next_seeds(judge(results), scale, most)
        if not wanted or wanted == added:
            return 0
        added = wanted
        seeds = sorted({seed for of_cell in added.values() for seed in of_cell})
        show.line(f"undecided claims: seeds {', '.join(map(str, seeds))} for {', '.join(added)}")


def _refuse(scale: object, path: Path, most: int) -> None:
    option = f"--seeds-until-decided {most}"
    if not isinstance(scale, Scale):
        raise RecipeError(f"{path}: {option} needs an ablation recipe: one recipe has no claims")
    if scale.max_seeds is None:
        raise RecipeError(
            f"{path}: {option} needs `max_seeds: {most}` in the ablation recipe, written before "
            "the first run: alpha is spent over the looks that it plans"
        )
    if not len(scale.seeds) <= most <= scale.max_seeds:
        raise RecipeError(
            f"{path}: {option}: the ablation recipe has {len(scale.seeds)} seeds and plans at most "
            f"{scale.max_seeds} (max_seeds); choose a number between them"
        )
