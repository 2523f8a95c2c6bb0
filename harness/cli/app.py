"""The commands of `moco-harness` that plan, run and look at runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import recipes

app = typer.Typer(
    name="moco-harness",
    help="Reproduce MoCo v1 and v2: recipes in, the papers' tables with yours beside them out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(recipes.app, name="recipes")

RecipePath = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="A recipe or ablation recipe (YAML).")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field, e.g. optim.epochs=2."),
]
Runs = Annotated[Path | None, typer.Option(help="Run root [default: site file's, else runs].")]
DataRoot = Annotated[Path | None, typer.Option(help="Data root [default: site file's, or cache].")]
SitePath = Annotated[Path | None, typer.Option("--site", help="Site file: machine's settings.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]


@app.command()
def plan(
    recipe: RecipePath,
    sets: Sets = None,
    runs: Runs = None,
    site: SitePath = None,
) -> None:
    """Show what a recipe would run, what of it is done, and about how long the rest takes."""
    from harness.cli import show
    from harness.plan import make_plan
    from harness.site import load_site

    where = load_site(runs=runs, site=site)
    show.plan(make_plan(recipe, sets or [], where.runs), where)


@app.command()
def run(
    recipe: RecipePath,
    sets: Sets = None,
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    device: Device = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that share a run: this machine's GPUs.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Run anew what is stale; old folders are kept aside.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")] = False,
) -> None:
    """Run what is missing of a recipe, then write its report. Run it again to go on."""
    from harness.cli.run import run_command
    from harness.site import load_site

    where = load_site(data=data, runs=runs, device=device, processes=processes, site=site)
    raise typer.Exit(run_command(recipe, sets or [], where, ask=not yes, again=again))


@app.command()
def report(
    recipe: RecipePath,
    sets: Sets = None,
    runs: Runs = None,
    site: SitePath = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to [default: RUNS/reports/NAME].")
    ] = None,
) -> None:
    """Write the paper's table with ours beside it, as Markdown and HTML, from the runs so far."""
    from harness.cli.report import report_command
    from harness.plan import make_plan
    from harness.site import load_site

    where = load_site(runs=runs, site=site)
    report_command(make_plan(recipe, sets or [], where.runs), where.runs, out)


@app.command()
def status(
    runs: Runs = None,
    site: SitePath = None,
    all_: Annotated[bool, typer.Option("--all", help="A row for each stage.")] = False,
) -> None:
    """List the runs under the run root: their state, step and last figures."""
    from harness.cli.status import status_command
    from harness.site import load_site

    status_command(load_site(runs=runs, site=site).runs, every=all_)


@app.command()
def check(
    recipe: RecipePath,
    sets: Sets = None,
    runs: Runs = None,
    site: SitePath = None,
) -> None:
    """Compare results with the recipe's targets; exit with 6 if one falls short or is missing."""
    from harness.cli.check import check_command
    from harness.site import load_site

    where = load_site(runs=runs, site=site)
    raise typer.Exit(check_command(recipe, sets or [], where.runs))


@app.command()
def bench(
    recipe: RecipePath,
    sets: Sets = None,
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    device: Device = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are over them.")] = 7,
    steps: Annotated[int, typer.Option(min=1, help="Steps that are timed as one.")] = 10,
    noise: Annotated[
        bool, typer.Option("--noise", help="Random pixels in memory in place of the data.")
    ] = False,
) -> None:
    """Measure a recipe's training step, input and evaluation against their floors."""
    from harness.cli.bench import How, bench_command
    from harness.site import load_site

    where = load_site(data=data, runs=runs, device=device, site=site)
    bench_command(recipe, sets or [], where, How(rounds, steps, noise))


@app.command()
def sync(runs: Runs = None, site: SitePath = None) -> None:
    """Upload to Weights & Biases what is not mirrored there yet, rebuilt from the journals."""
    from harness.cli import show
    from harness.site import load_site
    from harness.track.mirror import sync as sync_runs

    where = load_site(runs=runs, site=site)
    sync_runs(where.runs, None, show.line)
