"""Print lines and the plan's table."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table

from harness import command
from harness.cli.shortened import shortened
from harness.errors import HarnessError
from harness.output import inert
from harness.redact import redact

if TYPE_CHECKING:
    from harness.plan import Plan, PlannedStage
    from harness.preflight.warned import Preflight
    from harness.site import Site

ROWS = 40
"""Maximum number of rows in a table; with more runs, it shows a summary."""

REASONS = 10
"""Maximum number of reasons below the table."""
NAMED = 3
"""Maximum number of stages named in a sentence; for more it gives the number."""
UNBROKEN = 10_000
"""Width for a pipe or a file, so that each row stays on one line."""


class InertConsole(Console):
    """A console that prints only plain text: records and logs may contain terminal commands."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for part in super().render(renderable, options):
            yield part if part.control else Segment(inert(part.text), part.style)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # main sets the exit code, not rich


console = InertConsole(highlight=False, emoji=False)
if not console.is_terminal:
    console.width = UNBROKEN

_STYLE = {
    "run": "cyan",
    "resume": "cyan",
    "retry": "yellow",
    "again": "cyan",
    "skip": "dim",
    "busy": "blue",
    "refuse": "red",
}


def line(text: str, style: str = "") -> None:
    """Print a line. On a terminal it is wrapped between words, never inside a path, and the rest is
    indented like its start; a command at its end that does not fit stands below it, in a form that
    can be copied. Secrets are hidden: a job's output is stored in its log."""
    text = redact(text)
    if console.is_terminal and "\n" not in text:  # several lines are a script's, or an error's
        text = "\n".join(wrapped(text, console.width))
    console.print(text, style=style, markup=False, soft_wrap=True)


_AT_END = re.compile(rf"(.*:) ({command.PROGRAM} .*)")
_INSIDE = re.compile(rf"{command.PROGRAM} [\w-]+(?: (?:-\S+|\S*[/.=]\S*\w))*")
_WORD = re.compile(r"(?:'[^']*'|\"[^\"]*\"|\\.|[^\s'\"\\])+")
"""A word of a shell."""


def wrapped(text: str, width: int) -> list[str]:
    """The text as lines of at most `width` characters, as far as words and paths allow. A command
    is never cut, or goes on behind a backslash."""
    if len(text) <= width:
        return [text]
    margin = text[: len(text) - len(text.lstrip())]
    found = _AT_END.fullmatch(text)
    told, at_end = (found[1], found[2]) if found else (text, "")
    kept = _INSIDE.sub(lambda each: each[0].replace(" ", "\0"), told)
    lines = textwrap.wrap(
        kept,
        width,
        break_long_words=False,
        break_on_hyphens=False,
        subsequent_indent=margin + margin,
    )
    lines = [each.replace("\0", " ") for each in lines]
    if at_end and len(lines[-1]) + 1 + len(at_end) <= width:
        lines[-1] += f" {at_end}"
    elif at_end:
        lines += _continued(_WORD.findall(at_end), width, f"{margin}{margin}  ")
    return lines


def _continued(words: Sequence[str], width: int, margin: str) -> list[str]:
    """The words of a command as lines that a shell reads as one."""
    lines = [margin + words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= width - 2:
            lines[-1] += f" {word}"
        else:
            lines[-1] += " \\"
            lines.append(f"{margin}  {word}")
    return lines


def count(number: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def named(names: Sequence[str]) -> str:
    """The first few of the names, and the number of the others."""
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])


def duration(seconds: float) -> str:
    """About `seconds`, as text: 40 s, 12 min, 3.5 h, 2.2 days."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def _words(stage: PlannedStage) -> str:
    if stage.action != "skip":
        return stage.action
    return stage.entry.state if stage.entry.done else "–"


def _cell(stage: PlannedStage) -> str:
    return f"[{_STYLE[stage.action]}]{_words(stage)}[/]"


def plan(made: Plan, site: Site, too_large: Sequence[str] = ()) -> None:
    """Print the plan: a row for each run, what is skipped and why, the duration, and the folders.

    `too_large` names data that was too large to be compared in time.
    """
    runs = _by_run(made)
    names = list(dict.fromkeys(stage.name for stage in made.stages))
    if len(runs) <= ROWS:
        table = Table(box=None, pad_edge=False, header_style="bold")
        called = shortened([stages[0].recipe.name for stages in runs], _room(runs, names))
        table.add_column("run", overflow="fold")
        table.add_column("seed", justify="right")
        for name in names:
            table.add_column(name, no_wrap=True)
        table.add_column("about", justify="right", no_wrap=True)
        for stages in runs:
            by_name = {stage.name: stage for stage in stages}
            parts = [s.seconds for s in stages if s.action != "skip"]
            known = None if None in parts else sum(p for p in parts if p)
            took = "" if not parts else "?" if known is None else duration(known)
            first = stages[0].recipe
            table.add_row(
                escape(called[first.name]),
                str(first.seed),
                *(_cell(by_name[n]) if n in by_name else "" for n in names),
                took,
            )
        console.print(table)
    reasons = sorted({s.why for s in made.stages if s.action in ("busy", "refuse", "retry")})
    for why in reasons[:REASONS]:
        line(f"  {why}")
    if len(reasons) > REASONS:
        line(f"  ... and {len(reasons) - REASONS} more")
    if stale := [s for s in made.stages if s.stale and s.action == "skip"]:
        what, them = ("is", "it") if len(stale) == 1 else ("are", "them")
        whys = named(sorted({s.why.partition(", ")[2] for s in stale}))
        line(f"  {count(len(stale), 'finished stage')} {what} stale: {whys}")
        again = command.present("run", "--again") or "run --again"
        line(f"  to move {them} aside and repeat: {again}")
    unfinished(too_large)
    from harness.data_check import check_data
    from harness.spec.libraries import missing_libraries

    for lacks in missing_libraries(stage.kind for stage in made.todo):
        line(lacks, "yellow")
    for found in check_data((stage.recipe for stage in made.todo), site.data):
        line(found.says, "" if found.there else "yellow")
    line(f"{count(len(runs), 'run')}, {count(len(made.stages), 'stage')}: {_counted(made)}")
    if control := _control(made):
        line(control)
    if made.todo:
        line(f"{_how_long(made)}; run root: {site.runs}")


def _room(runs: Sequence[Sequence[PlannedStage]], names: Sequence[str]) -> int:
    """The width that the other columns of the plan's table leave for the runs' names."""
    words = {name: [len(name)] for name in (*names, "seed")}
    for stage in (each for stages in runs for each in stages):
        words[stage.name].append(len(_words(stage)))
        words["seed"].append(len(str(stage.recipe.seed)))
    longest_duration = len("5400 min")
    taken = sum(2 + max(each) for each in words.values()) + 2 + longest_duration
    return max(12, console.width - taken)


def refusal(refuse: Callable[[], object]) -> None:
    """Call what raises the error with which `run` would refuse the plan above; it is announced, and
    goes on."""
    try:
        refuse()
    except HarnessError as error:
        line(f"run would refuse this, with exit code {error.exit_code}", "red")
        raise


def preflight(found: Preflight, below: str = "", *, as_option: bool = False) -> None:
    """Print the warnings, each with its key, how to accept them (in the recipe, or with `--set`
    where options made the runs differ from it), and what the seeds can decide."""
    for each in found.warnings:
        cells = f" ({named(each.cells)})" if each.cells else ""
        line(f"{below}warning: {each.key}: {each.says}{cells}", "yellow")
    if found.warnings:
        keys = ", ".join(dict.fromkeys(each.key for each in (*found.accepted, *found.warnings)))
        if as_option:
            line(f"{below}to accept them, add --set 'about.accept=[{keys}]'")
        else:
            line(f"{below}to accept them, write in the recipe about: {{accept: [{keys}]}}")
    for said in found.power:
        line(f"{below}{said}")
    if number := len(found.accepted):
        line(f"{below}{count(number, 'warning')} accepted in about.accept")


def unfinished(folders: Sequence[str]) -> None:
    """Name the data that was too large to be compared in time."""
    for folder in folders:
        line(f"note: {folder} is too large to compare in one call; the next call continues")


def nothing_to_do(made: Plan) -> None:
    """Print that nothing is left to do, and whether all results are still valid."""
    stale = sum(stage.stale for stage in made.stages)
    but = f", but {count(stale, 'stage')} {'is' if stale == 1 else 'are'} stale" if stale else ""
    line(f"nothing to do: everything is finished{but}")


def _counted(made: Plan) -> str:
    """Number of stages for each action."""
    numbers = {
        "done": sum(s.action == "skip" and s.entry.done for s in made.stages),
        "skipped, as their pre-training diverged": sum(
            s.action == "skip" and not s.entry.done for s in made.stages
        ),
        "run by another process": sum(s.action == "busy" for s in made.stages),
        "unreadable": sum(s.entry.state == "unreadable" for s in made.stages),
        "that cannot start": sum(s.action == "refuse" and not _began(s) for s in made.stages),
        "damaged": sum(
            s.action == "refuse" and _began(s) and s.entry.state != "unreadable"
            for s in made.stages
        ),
    }
    counts = [f"{number} {what}" for what, number in numbers.items() if number]
    return ", ".join([f"{len(made.todo)} to do", *counts])


def _control(made: Plan) -> str:
    """What the control of a single recipe costs; "" if none is left to run."""
    left = [stage for stage in made.todo if made.is_beside(stage)]
    if not left:
        return ""
    known = [stage.seconds for stage in left if stage.seconds is not None]
    much = f"about {duration(sum(known))}" if len(known) == len(left) else "not measured here yet"
    return f"control: kNN of the untrained network, {much}; watch.control: false leaves it out"


def _began(stage: PlannedStage) -> bool:
    return stage.entry.state != "absent"


def _by_run(made: Plan) -> list[list[PlannedStage]]:
    runs: dict[tuple[str, int], list[PlannedStage]] = {}
    for stage in made.stages:
        runs.setdefault((stage.recipe.name, stage.recipe.seed), []).append(stage)
    return list(runs.values())


def _how_long(made: Plan) -> str:
    if made.seconds is not None:
        return f"about {duration(made.seconds)}, {_measured(made)}"
    hours = made.stated_hours
    costs = [cost for stage in made.todo if (cost := stage.recipe.about.cost)]
    cost = max(costs, key=lambda cost: cost.hours, default=None)
    cost = cost or (made.scale.about.cost if made.scale else None)
    if hours is None or cost is None:
        known = [stage.seconds for stage in made.todo if stage.seconds is not None]
        if not known:
            return f"duration unknown: nothing similar was measured here on {made.on} yet"
        part = f"about {duration(sum(known))} for {len(known)} of {len(made.todo)} stages"
        return f"{part}, {_measured(made)}; duration of the others unknown"
    return f"about {duration(hours * 3600)} on {cost.on} ({cost.source}); not measured here yet"


def _measured(made: Plan) -> str:
    """Source of the time estimate: finished runs, unless a `bench` is named."""
    if not any(source.startswith("bench") for source in made.sources):
        return f"as measured here on {made.on}"
    return f"by {' and '.join(made.sources)} here on {made.on}"
