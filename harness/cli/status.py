"""`moco-harness status`: the stages in the run root, and the state of their jobs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.app import overview
from harness.app.overview import CellValues, not_above_untrained
from harness.cli import show
from harness.cli.cells import CellReader, Cells, short, with_name
from harness.cli.shortened import shortened
from harness.command import Commands
from harness.errors import HarnessError
from harness.inputs import Inputs
from harness.launch.status import Row, Statuses, StatusReader
from harness.site import Site
from harness.spec.registry import alarms, metrics, tasks

INPUTS_LIMIT_S = 5.0
"""Time limit in seconds to compare data of many files; a plan has more."""
EVERY_S = 3.0
"""Seconds between two updates of --watch."""
LINES = 10
"""Maximum number of reasons below a table; `--all` in a pipe prints all."""
ALARMS = 5
"""Maximum number of stages whose alarms are told below a table, and below the sums."""
CELLS = 40
"""Maximum number of cells whose accuracies are told below the sums."""
DIGITS = 4
"""Of a stage's hash, shown where a run has two stages of one name."""
STYLE = {
    "finished": "green",
    "diverged": "magenta",
    "running": "blue",
    "suspended": "yellow",
    "silent": "yellow",
    "ending": "yellow",
    "held": "yellow",
    "waiting": "cyan",
    "stale": "yellow",
    "interrupted": "yellow",
    "cancelled": "yellow",
    "unknown": "yellow",
    "failed": "red",
    "lost": "red",
    "damaged": "red",
    "unreadable": "red",
    "absent": "dim",
}
_FIRST = (
    *("running", "suspended", "silent", "ending", "failed", "lost", "damaged", "unreadable"),
    *("cancelled", "interrupted", "held", "unknown", "waiting"),
)
"""The order of rows if there is not enough space for all."""
_HEADINGS = {
    "state": "state",
    "node": "node",
    "step": "step",
    "epoch": "epoch",
    "loss": "loss",
    "accuracy": "accuracy",
    "speed": "images/s",
    "left": "left",
}
_LEAST_WANTED = ("speed", "epoch", "node", "loss", "left")
"""Columns that are left out on a narrow terminal, before a name is cut."""
_BEFORE_NAMES = ("step", "accuracy")
"""Columns that are left out once the runs' names are cut to CUT_TO characters."""
CUT_TO = 16
_RIGHT = ("step", "epoch", "loss", "speed", "left")


def status_command(site: Site, *, every: bool, watch: bool = False) -> None:
    """Print a summary by ablation and, if `every` or there are few, a row for each stage.

    With `watch`, on a terminal, update it until Ctrl-C.

    Raises:
        HarnessError: the run root cannot be read, or there is no terminal for `watch`.
    """
    inputs = Inputs(site.data, site.runs, INPUTS_LIMIT_S)
    progress, commands = CellReader(), Commands(site.runs, site.file)
    reader = overview.watch(site, inputs, commands)
    if watch:
        if not show.console.is_terminal:
            raise HarnessError("--watch needs a terminal; leave it out to print the status once")
        _watch(reader, progress, commands)
        return
    seen = overview.status(reader=reader)
    if not seen.rows:
        begin = commands.line("run", "quickstart")
        show.line(f"no runs under {site.runs} yet; start with: {begin}")
        return
    rows = sorted(seen.rows, key=_place) if every or len(seen.rows) <= show.ROWS else []
    if show.console.is_terminal:
        if rows:
            cells = [progress.cells(row) for row in rows]
            show.console.print(_table(cells))
            for text in (
                *_measured(cells, commands),
                *_running_alarms(cells),
                *_reasons(rows, commands),
            ):
                show.line(text)
    else:
        for text in _plain(rows, progress, commands, not_above_untrained(seen.rows)):
            show.line(text)
    for each in _summary(seen, commands, CELLS):
        if each.spans:
            show.console.print(each, soft_wrap=not show.console.is_terminal)
        else:
            show.line(each.plain, str(each.style))
    show.unfinished(inputs.unfinished)


def _watch(reader: StatusReader, progress: CellReader, commands: Commands) -> None:
    console = show.console
    try:
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while True:
                screen = _screen(reader.read(), progress, commands, console.height)
                live.update(screen, refresh=True)
                time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return


def _screen(
    seen: Statuses, progress: CellReader, commands: Commands, height: int
) -> RenderableType:
    """The part that fits on a screen: the sums, and the most important rows."""
    below = [
        *_summary(seen, commands, max(0, height // 5)),
        Text(f"{time.strftime('%H:%M:%S')}, Ctrl-C to leave", style="dim"),
    ]
    room = max(3, height - len(below) - LINES - 3)
    order = {state: n for n, state in enumerate(_FIRST)}
    rows = sorted(seen.rows, key=lambda row: (order.get(row.state, len(order)), _place(row)))
    rows = rows[:room]
    cut = len(seen.rows) - len(rows)
    parts: list[RenderableType] = []
    cells = [progress.cells(row) for row in rows]
    parts.append(_table(cells) if rows else Text("no runs yet"))
    if cut:
        parts.append(Text(f"and {cut} more stages", style="dim"))
    lines = [*_running_alarms(cells), *_reasons(rows, commands)]
    parts += [Text(text, no_wrap=True, overflow="ellipsis") for text in lines]
    return Group(*parts, *below)


def _place(row: Row) -> tuple[str, str, int]:
    """Sort key: by ablation and run; in a run, parents first."""
    run, _, stage = row.id.rpartition(".")
    kinds = list(tasks())
    kind = stage.partition("-")[0]
    return _group(row), run, kinds.index(kind) if kind in kinds else len(kinds)


def _table(cells: Iterable[Cells]) -> Table:
    """A table for a terminal. Empty columns are left out. On a narrow terminal the least important
    columns are left out too; the state always stands whole, and no two names are cut alike."""
    shown = list(cells)
    runs = [each.id.rpartition(".") for each in shown]
    names = [name for name in _HEADINGS if any(getattr(each, name) for each in shown)]
    wide = {n: 2 + max(len(_HEADINGS[n]), *(len(getattr(c, n)) for c in shown)) for n in names}
    width = sum(wide.values())
    twice = Counter((run, kind.partition("-")[0]) for run, _, kind in runs)
    stages = [
        own if twice[run, own := kind.partition("-")[0]] == 1 else kind[: len(own) + 1 + DIGITS]
        for run, _, kind in runs
    ]
    longest = max(len(run or kind) for run, _, kind in runs)
    width += longest + 2 + max(map(len, ["stage", *stages]))
    for name in _LEAST_WANTED:
        if width > show.console.width and name in names:
            width -= wide[name]
            names.remove(name)
    for name in _BEFORE_NAMES:
        if width - max(0, longest - CUT_TO) > show.console.width and name in names:
            width -= wide[name]
            names.remove(name)
    table = Table(box=None, pad_edge=False, header_style="bold")
    # Rich shortens all columns alike, the state too, unless these two leave room for the others
    over = max(0, width - show.console.width)
    run_width = max(min(longest, 12), longest - over)
    over -= longest - run_width
    stage_width = max(len("pretrain"), max(map(len, ["stage", *stages])) - over)
    called = shortened([run or kind for run, _, kind in runs], run_width)
    kinds = shortened(stages, stage_width)
    table.add_column("run", overflow="fold")
    table.add_column("stage", overflow="fold")
    for name in names:
        side: Literal["left", "right"] = "right" if name in _RIGHT else "left"
        table.add_column(_HEADINGS[name], no_wrap=True, justify=side)
    for each, (run, _, kind), stage in zip(shown, runs, stages, strict=True):
        texts = [escape(getattr(each, name)) for name in names]
        texts[0] = f"[{STYLE[each.state]}]{texts[0]}[/]"
        table.add_row(escape(called[run or kind]), escape(kinds[stage]), *texts)
    return table


def _plain(
    rows: Sequence[Row], progress: CellReader, commands: Commands, low: Mapping[str, str]
) -> Iterator[str]:
    """One line per stage for pipes and logs, of any width, nothing cut. `low`: stage id -> that its
    result is not above the untrained network's."""
    if not rows:
        return
    shown = [progress.cells(row) for row in rows]
    names = [name for name in _HEADINGS if any(getattr(each, name) for each in shown)]
    lines = [["stage", *(_HEADINGS[name] for name in names), "remarks"]]
    for row, each in zip(rows, shown, strict=True):
        why = _why(row, each.why, commands)
        remarks = "; ".join(filter(None, (each.alarm, low.get(row.id), each.measured, why)))
        lines.append([each.id, *(getattr(each, name) for name in names), remarks])
    widths = [max(len(line[n]) for line in lines) for n in range(len(names) + 1)]
    for line in lines:
        padded = (
            text.rjust(width) if name in _RIGHT else text.ljust(width)
            for text, width, name in zip(line, widths, ["stage", *names], strict=False)
        )
        yield f"{'  '.join(padded)}  {line[-1]}".rstrip()


def _why(row: Row, clause: str, commands: Commands) -> str:
    if row.state in ("failed", "lost", "damaged", "unreadable"):
        more = f"more: {commands.line('logs', row.id)}"
        return f"{clause}; {more}" if clause else more
    if row.state == "running" and row.entry.state == "running":
        return ""  # the node column says which process
    return clause if row.state != "finished" else ""


def _measured(cells: Sequence[Cells], commands: Commands) -> Iterator[str]:
    """Below a table: how its accuracies were measured, one line for each way."""
    measured = [each for each in cells if each.measured and each.accuracy]
    of_run: dict[str, set[str]] = {}
    for each in measured:
        of_run.setdefault(each.id.rpartition(".")[0], set()).add(each.measured)
    ways: dict[str, dict[str, None]] = {}
    for each in measured:
        run, _, stage = each.id.rpartition(".")
        several = len(of_run[run]) > 1
        label = f"{run} {stage.partition('-')[0]}" if several else run or each.id
        ways.setdefault(each.measured, {})[label] = None
    for words, runs in [*ways.items()][:LINES]:
        yield f"  accuracy of {show.named(list(runs))}: {words}"
    if len(ways) > LINES:
        yield f"  and {len(ways) - LINES} ways more: {commands.line('status', '--all')} | cat"


def _running_alarms(cells: Iterable[Cells]) -> Iterator[str]:
    """Below a table: what the newest values of running stages warn of; `_summary` has the rest."""
    raised = [each for each in cells if each.alarm and each.state == "running"]
    yield from (f"  {each.id}: {each.alarm}" for each in raised[:ALARMS])


def _reasons(rows: Sequence[Row], commands: Commands) -> Iterator[str]:
    """Below a table: why stages are not running or finished."""
    failing = [
        row for row in rows if row.why and row.state not in ("finished", "running", "diverged")
    ]
    for row in failing[:LINES]:
        run, _, kind = row.id.rpartition(".")
        failed = row.state in ("failed", "lost")
        more = f"; more: {commands.line('logs', row.id)}" if failed else ""
        yield f"  {run} {kind.partition('-')[0]} {row.state}: {short(row)}{more}"
    if len(failing) > LINES:
        yield f"  and {len(failing) - LINES} more: {commands.line('status', '--all')} | cat"


def _summary(seen: Statuses, commands: Commands, most: int) -> Iterator[Text]:
    """A line for each ablation, with the accuracies of its cells, `most` in all; what to do about
    failed stages, and which services did not answer."""
    groups: dict[str, Counter[str]] = {}
    measured = overview.accuracies(seen.rows)
    for row in seen.rows:
        groups.setdefault(_group(row), Counter())[row.state] += 1
    for group, states in sorted(groups.items()):
        line = Text.assemble((group, "bold"), ": ")
        for n, (state, count) in enumerate(sorted(states.items())):
            line.append(", " if n else "")
            line.append(f"{count} {state}", style=STYLE[state])
        yield line
        cells = measured.get(group, [])
        if len(cells) > 1 or any(len(each.values) > 1 for each in cells):
            yield from map(Text, _accuracies(cells[:most], len(cells)))
            most -= len(cells[:most])
    over = [row for row in seen.rows if row.over]
    for remedy, count in Counter(row.remedy for row in seen.rows if row.remedy).most_common(3):
        example = next(row for row in seen.rows if row.remedy == remedy)
        stages = "1 stage" if count == 1 else f"{count} stages"
        what = example.why.partition(" on ")[0] if example.over else example.state
        yield Text(f"{what} ({stages}): {remedy}")
    raised = [f"{row.id}: {', '.join(said)}" for row in seen.rows if (said := _alarms(row))]
    yield from (Text(text, style="yellow") for text in raised[:ALARMS])
    if len(raised) > ALARMS:
        yield Text(f"and {len(raised) - ALARMS} more stages with an alarm", style="yellow")
    low = not_above_untrained(seen.rows)
    yield from (Text(f"{id_}: {why}", style="bold red") for id_, why in [*low.items()][:ALARMS])
    if len(low) > ALARMS:
        yield Text(f"and {len(low) - ALARMS} more results not above the untrained network's")
    mend: dict[str, bool] = {}
    for row in over[: show.ROWS]:
        if again := row.again(commands):
            mend[again] = mend.get(again, True) and row.explained
    for again, first in sorted(mend.items())[:3]:
        yield Text(f"{'fix what failed, then run again' if first else 'run again'}: {again}")
    for note in seen.notes:
        yield Text(f"note: {note}", style="yellow")


def _accuracies(cells: Sequence[CellValues], of: int) -> Iterator[str]:
    """A line for each cell: its leading accuracy, the mean over its runs."""
    named = metrics()
    names = shortened([each.cell for each in cells], max(12, show.console.width - 45))
    width = max(map(len, names.values()), default=0)
    for each in cells:
        low, high = (f"{end(each.values):.1f}" for end in (min, max))
        runs = f"{len(each.values)} runs"
        if each.mixed:
            said = f"{named[each.metric].label} {low} to {high} in {runs} of different code or data"
        else:
            said = with_name(named[each.metric], sum(each.values) / len(each.values))
            said += f"  {runs}, {low} to {high}" if len(each.values) > 1 else ""
        yield f"  {names[each.cell].ljust(width)}  {said}"
    if of > len(cells):
        yield f"  and {show.count(of - len(cells), 'cell')} more"


def _alarms(row: Row) -> list[str]:
    """What a finished stage's values warn of."""
    values = (row.entry.result or {}).get("values")
    return alarms(values) if isinstance(values, dict) else []


def _group(row: Row) -> str:
    described = row.entry.described
    if described is None:
        return "(cannot be read)" if row.state == "unreadable" else "(damaged)"
    return str(described.get("group", "?"))
