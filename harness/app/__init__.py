"""The command line's functions for Python. They print nothing and never exit.

They return typed results, report their progress to a `Progress`, and raise a `HarnessError` that
says what is wrong, where, and what to do. Modules are imported only when they are used.

    plan(recipe)         what a recipe would run, what of it is done, about how long the rest takes
    preflight(plan, site) warnings: settings of the plan's recipe that cannot work
    run(recipe)          run what is missing in this process, then write the report
    run_until_decided(recipe, most)  the same with more seeds, until the claims are decided
    submit(recipe)       the same as jobs, or in the background of this machine
    status()             every stage under the run root, and the state of its job
    report(recipe)       the paper's table with ours beside it
    check([recipe])      compare results with the recipes' targets and a baseline
    publish(recipe, to)  a report with the records it is made from
    verify(folder)       recompute a published report, and compare its files with their digests
    new_recipe(path, images)  write a recipe that fits a folder of images
    export(run, format)  a trained network for torchvision, timm, detectron2 or transformers
    convert(weights, to)  MSRA's ResNet-50 as a file that a recipe of detection can begin with
    compare(a, b)        what differs between two sets of runs, and their results
    sweep(recipe, sets)  write a grid over a recipe's fields as an ablation recipe
    evaluate(weights, on)  a run's or a file's weights on other data, by a recipe that it writes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.spec.declarations import load

if TYPE_CHECKING:
    from harness.app.checking import Checked, check
    from harness.app.comparing import Comparison, compare
    from harness.app.converting import Converted, convert
    from harness.app.evaluating import Evaluated, evaluate
    from harness.app.exported import Exported
    from harness.app.exporting import export
    from harness.app.overview import ProgressReader, StageProgress, status
    from harness.app.planning import plan, preflight
    from harness.app.progress import Declined, Progress
    from harness.app.publishing import Published, publish
    from harness.app.recipe_writing import NewRecipe, new_recipe
    from harness.app.reporting import report
    from harness.app.results import Outcome, Ran, Report, Submitted
    from harness.app.running import run, run_until_decided
    from harness.app.submitting import submit
    from harness.app.sweeping import NewSweep, sweep
    from harness.app.verifying import Verified, verify
    from harness.launch.protocol import Amount

__all__ = [
    "Amount",
    "Checked",
    "Comparison",
    "Converted",
    "Declined",
    "Evaluated",
    "Exported",
    "NewRecipe",
    "NewSweep",
    "Outcome",
    "Progress",
    "ProgressReader",
    "Published",
    "Ran",
    "Report",
    "StageProgress",
    "Submitted",
    "Verified",
    "check",
    "compare",
    "convert",
    "evaluate",
    "export",
    "new_recipe",
    "plan",
    "preflight",
    "publish",
    "report",
    "run",
    "run_until_decided",
    "status",
    "submit",
    "sweep",
    "verify",
]

_LIES_IN = {
    **dict.fromkeys(("Amount", "Declined", "Progress"), "progress"),
    **dict.fromkeys(("Outcome", "Ran", "Report", "Submitted"), "results"),
    **dict.fromkeys(("StageProgress", "ProgressReader", "status"), "overview"),
    **dict.fromkeys(("run", "run_until_decided"), "running"),
    **dict.fromkeys(("Checked", "check"), "checking"),
    **dict.fromkeys(("NewRecipe", "new_recipe"), "recipe_writing"),
    **dict.fromkeys(("Published", "publish"), "publishing"),
    "Exported": "exported",
    "export": "exporting",
    **dict.fromkeys(("Converted", "convert"), "converting"),
    **dict.fromkeys(("Evaluated", "evaluate"), "evaluating"),
    **dict.fromkeys(("Verified", "verify"), "verifying"),
    **dict.fromkeys(("plan", "preflight"), "planning"),
    **dict.fromkeys(("NewSweep", "sweep"), "sweeping"),
    **dict.fromkeys(("Comparison", "compare"), "comparing"),
    "report": "reporting",
    "submit": "submitting",
}
"""No module may have the name of a function: importing it would replace the function."""


def __getattr__(name: str) -> Any:
    if name not in _LIES_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(f"{__name__}.{_LIES_IN[name]}:{name}")
