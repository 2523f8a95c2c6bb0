"""The commands of `moco-harness` that plan, run and monitor runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import harness
from harness.cli import completion, computer, data, recipes, sweep, weights
from harness.cli.options import (
    RECIPE_HELP,
    Again,
    AtOnce,
    DataRoot,
    Device,
    DryRun,
    Launcher,
    Processes,
    RecipePath,
    Runs,
    Seeds,
    Sets,
    SitePath,
    WithImages,
    Yes,
    found,
    known_launcher,
    machine,
    parse_seeds,
    path,
    settings,
)

app = typer.Typer(
    name="moco-harness",
    help="Reproduce MoCo v1 and v2: run recipes, and compare your tables with the papers'.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"moco-harness {harness.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options of the program itself."""
    del version


app.add_typer(recipes.app, name="recipes")
app.add_typer(data.app, name="data")


@app.command()
def plan(
    recipe: RecipePath,
    sets: Sets = None,
    seeds: Seeds = None,
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    device: Device = None,
    processes: Processes = None,
    at_once: AtOnce = None,
) -> None:
    """Show what a recipe would run, what of it is done, and about how long the rest takes here.

    Where `run` would refuse to start, the exit code is that of `run`.
    """
    from harness.app import planning
    from harness.cli import show
    from harness.inputs import Inputs

    where = machine(
        data=data, runs=runs, device=device, processes=processes, at_once=at_once, site=site
    )
    inputs = Inputs(where.data, where.runs)
    options = settings(sets, seeds)
    made = planning.plan(recipe, where, sets=options, inputs=inputs)
    show.plan(made, where, inputs.unfinished)
    show.preflight(planning.preflight(made, where), as_option=bool(options))
    show.refusal(lambda: planning.refuse_as_run(made, where))


@app.command()
def run(
    recipe: RecipePath,
    sets: Sets = None,
    seeds: Seeds = None,
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    device: Device = None,
    processes: Processes = None,
    at_once: AtOnce = None,
    again: Again = False,
    seeds_until_decided: Annotated[
        int | None,
        typer.Option(
            metavar="MAX", min=1, help="Add seeds where claims are undecided, up to MAX a cell."
        ),
    ] = None,
    on: Launcher = "auto",
    dry: DryRun = False,
    yes: Yes = False,
) -> None:
    """Run what is missing of a recipe, or submit it as jobs; at its end the report is written. Run
    it again to resume."""
    from harness.cli.run import RunOptions, run_command

    where = machine(
        data=data, runs=runs, device=device, processes=processes, at_once=at_once, site=site
    )
    options = RunOptions(known_launcher(on), not yes, again, dry, seeds_until_decided)
    raise typer.Exit(run_command(recipe, settings(sets, seeds), where, options))


app.command()(sweep.sweep)
app.command()(weights.export)
app.command()(weights.convert)
app.command()(weights.evaluate)


@app.command()
def report(
    recipe: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECIPE", help=RECIPE_HELP, parser=found, autocompletion=completion.recipes
        ),
    ] = None,
    sets: Sets = None,
    seeds: Seeds = None,
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to (default: RUNS/reports/NAME).", parser=path),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the table while runs are active.")
    ] = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="A B",
            help="Instead, show what differs between two reports, run roots or recipes with runs.",
            readable=False,  # else typer refuses a closed path without naming its owner
        ),
    ] = None,
) -> None:
    """Write the paper's table with ours beside it, as Markdown, HTML, LaTeX, CSV and JSON."""
    from harness.cli.report import report_command
    from harness.plan import make_plan

    if compare is not None:
        from harness.app.comparing import is_recipe
        from harness.cli.compare import compare_command

        if watch:
            raise typer.BadParameter("--watch and --compare cannot be combined")
        of_runs = any(map(is_recipe, compare))
        if not of_runs and (runs, data, site) != (None, None, None):
            raise typer.BadParameter(
                "--compare names both sides; leave out --runs, --site and --data"
            )
        where = machine(data=data, runs=runs, site=site) if of_runs else None
        compare_command(recipe, settings(sets, seeds), compare, out, where)
        return
    if recipe is None:
        raise typer.BadParameter("name a recipe (only --compare of two reports needs none)")
    where = machine(data=data, runs=runs, site=site)
    made = make_plan(recipe, settings(sets, seeds), where.runs)
    if watch:
        from harness.cli.watch import watch_command

        watch_command(made, where)
    report_command(made, where, out)


@app.command()
def publish(
    recipe: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECIPE",
            help="Recipe to publish (default: write all published reports again).",
            parser=found,
            autocompletion=completion.recipes,
        ),
    ] = None,
    sets: Sets = None,
    seeds: Seeds = None,
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    to: Annotated[Path, typer.Option(help="Folder of published reports.", parser=path)] = Path(
        "reports"
    ),
    with_images: WithImages = False,
) -> None:
    """Copy a recipe's run records, without checkpoints, and write their report beside them."""
    from harness.app.publishing import publish
    from harness.cli import show

    where = machine(data=data, runs=runs, site=site) if recipe is not None else None
    made = publish(
        recipe, to, where, sets=settings(sets, seeds), with_images=with_images,
        on_written=lambda page: show.line(str(page)),
    )  # fmt: skip
    if made.left_out:
        show.line("note: without images of your data; --with-images publishes them too")


@app.command()
def verify(
    reports: Annotated[
        list[Path] | None,
        typer.Argument(metavar="REPORT", help="Folders of published reports (default: all)."),
    ] = None,
    to: Annotated[
        Path, typer.Option(help="Folder of published reports, without REPORT.", parser=path)
    ] = Path("reports"),
) -> None:
    """Recompute published reports from their records, and compare every file with its digest."""
    from harness.cli.verify import verify_command

    raise typer.Exit(verify_command(reports or [], to))


@app.command()
def status(
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    all_: Annotated[bool, typer.Option("--all", help="Show a row for each stage.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Refresh every few seconds until Ctrl-C.")
    ] = False,
) -> None:
    """List the runs under the run root: state, node, progress, newest values, time left."""
    from harness.cli.status import status_command

    where = machine(data=data, runs=runs, site=site)
    status_command(where, every=all_, watch=watch)


@app.command()
def logs(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Stage id, or a unique part of one.",
            autocompletion=completion.stages,
        ),
    ],
    runs: Runs = None,
    site: SitePath = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new lines until the stage ends.")
    ] = False,
) -> None:
    """Print the newest attempt's log, then the stage's state and what to do."""
    from harness.cli.logs import logs_command

    logs_command(run, machine(runs=runs, site=site), following=follow)


@app.command()
def cancel(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|RECIPE...",
            help="Runs, stages, or recipes.",
            autocompletion=completion.runs_and_recipes,
        ),
    ],
    sets: Sets = None,
    seeds: Seeds = None,
    runs: Runs = None,
    site: SitePath = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Cancel jobs and stop runs on this machine; `run` resumes from their last checkpoints."""
    from harness.cli.cancel import cancel_command

    cancel_command(what, sets or [], seeds, machine(runs=runs, site=site), ask=not yes)


@app.command()
def check(
    recipes: Annotated[
        list[Path],
        typer.Argument(
            metavar="RECIPE...",
            help="Recipes (files or names), or lists of recipes, e.g. lists/nightly.",
            autocompletion=completion.recipes,
        ),
    ],
    sets: Sets = None,
    seeds: Seeds = None,
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    device: Device = None,
    processes: Processes = None,
    run: Annotated[
        bool, typer.Option("--run", help="First run or submit what is missing or stale.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Judge after the current runs and jobs have ended.")
    ] = False,
    yes: Yes = False,
    against: Annotated[
        Path | None,
        typer.Option(metavar="BASELINE", help="Compare also with this baseline.", parser=path),
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write results as baseline.", parser=path)
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write verdicts as JSON.", parser=path)
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.", parser=path)
    ] = None,
) -> None:
    """Compare results of the present code with the recipes' targets, and with a baseline.

    Exit codes: 0 all passed.

    6 a result misses its target, leaves its band, is stale, missing or incomparable.

    7 no failure so far, but some results are not there yet.

    2 a file is wrong. 4 a file cannot be written. 130 stopped on request.
    """
    from harness.cli.check import CheckOptions, check_command, fresh

    with fresh(json, junit, write_baseline):
        if against is not None and write_baseline is not None:
            raise typer.BadParameter("--against and --write-baseline cannot be combined")
        where = machine(data=data, runs=runs, device=device, processes=processes, site=site)
        options = CheckOptions(
            run, wait, not yes, parse_seeds(seeds), against, write_baseline, json, junit
        )
        code = check_command(recipes, sets or [], where, options)
    raise typer.Exit(code)


app.command()(computer.bench)
app.command()(computer.doctor)
app.command()(computer.certify)


@app.command()
def gc(
    runs: Runs = None,
    site: SitePath = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Delete the files (default: only list them).")
    ] = False,
) -> None:
    """List unused checkpoints and leftover files, or delete them; records of runs always stay."""
    from harness.cli.gc import gc_command

    raise typer.Exit(gc_command(machine(runs=runs, site=site), delete=yes))


@app.command()
def sync(runs: Runs = None, site: SitePath = None) -> None:
    """Upload to the experiment trackers what is missing there, from the journals."""
    from harness.cli import show
    from harness.track.sync import sync as sync_runs

    where = machine(runs=runs, site=site)
    done = sync_runs(where.runs, None, show.line)
    raise typer.Exit(1 if any(each.state == "failed" for each in done) else 0)
