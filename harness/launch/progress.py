"""Progress of running stages: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from rich.console import Console, RenderableType
from rich.control import Control
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import ControlType
from rich.text import Text

from harness.spec.registry import alarms, foremost, metrics

EVERY_S = 15.0
"""Seconds between two plain lines about one stage."""

_ERASED = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))


def in_short(values: dict[str, float]) -> str:
    """The newest metric values, in short."""
    shown = [each for name in foremost(values) if (each := metrics()[name]).short]
    # losses first, then accuracies
    shown.sort(key=lambda each: (each.unit == "images/s", each.unit in ("%", "points")))
    said = [
        f"{rate(values[each.name])} images/s"
        if each.unit == "images/s"
        else each.short.format(values[each.name])
        for each in shown
    ]
    return " · ".join([*said, *alarms(values)])


def rate(images_per_s: float) -> str:
    """A number of images a second in short; that of a slow detector is not rounded to 0."""
    return f"{images_per_s:,.0f}" if images_per_s >= 10 else f"{images_per_s:.2g}"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))


class _Display(Progress):
    """The bar and, below it, the stage's values: together they would be too long for one line."""

    below = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(f"  {self.below}", style="dim", no_wrap=True, overflow="ellipsis")


class Bars:
    """A bar for the running stage, and one line for each stage that has ended."""

    def __init__(self, console: Console, stages: int) -> None:
        self._console = console
        self._ended, self._stages = 0, stages
        self._display: _Display | None = None  # set while a stage runs
        self._id, self._total, self._per_epoch, self._opened = "", 0, 1, 0.0

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def open(self, stage_id: str, since: float | None = None) -> None:
        """See Reporter; `since`: when it was opened, if not now, by time.monotonic."""
        # No display yet: it would hide torchvision's download progress on the same line.
        self._id, self._opened = stage_id, time.monotonic() if since is None else since
        title = f"       {self._title()}: opening the data"
        self._console.print(f"[dim]{title}[/]", end="", no_wrap=True, overflow="ellipsis")

    def begin(self, stage_id: str, *, total: int, done: int, steps_per_epoch: int) -> None:
        self._id, self._total, self._per_epoch = stage_id, total, steps_per_epoch
        self._clear()
        self._display = _Display(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
            transient=True,
            refresh_per_second=4,
        )
        self._display.add_task(self._title(), total=max(total, 1), completed=done)
        self._display.start()

    def advance(self, step: int, figures: dict[str, float]) -> None:
        where = f"step {step}/{self._total}"
        if self._per_epoch > 1:
            where = f"epoch {step / self._per_epoch:.1f}/{self._total // self._per_epoch} · {where}"
        if self._display is not None:
            self._display.below = " · ".join(filter(None, [where, in_short(figures)]))
            self._display.update(self._display.task_ids[0], completed=step)

    def note(self, text: str) -> None:
        if self._display is None:
            self._clear()
        self._console.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)

    def end(self, state: str, figures: dict[str, float]) -> None:
        self._ended += 1
        self._clear()
        sign = {"finished": "[green]✓[/]", "interrupted": "[yellow]▸[/]"}.get(state, "[red]✗[/]")
        took = _time(time.monotonic() - self._opened)
        said = " · ".join(filter(None, [state if state != "finished" else "", in_short(figures)]))
        self._console.print(f"{sign} {escape(self._id)} [dim]{took}[/] {said}", soft_wrap=True)

    def _clear(self) -> None:
        """Clear everything below the last permanent line."""
        if self._display is not None:
            self._display.stop()
            self._display = None
        self._console.control(_ERASED)

    def _title(self) -> str:
        """The stage's number and name; a long name keeps its end, which differs between stages."""
        name, count = self._id.rpartition("-")[0] or self._id, f"{self._ended + 1}/{self._stages}"
        room = max(12, self._console.width - len(count) - 45)
        return f"{count} {name if len(name) <= room else '…' + name[1 - room :]}"


class Lines:
    """One line from time to time, for logs and pipes."""

    def __init__(self, console: Console, stages: int) -> None:
        self._console = console
        self._ended, self._stages = 0, stages
        self._id, self._total, self._per_epoch, self._next = "", 0, 1, 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None: ...

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def open(self, stage_id: str) -> None:
        self._id = stage_id

    def begin(self, stage_id: str, *, total: int, done: int, steps_per_epoch: int) -> None:
        self._id, self._total, self._per_epoch = stage_id, total, steps_per_epoch
        self._next = time.monotonic() + EVERY_S
        going_on = f", resuming from {done}" if done else ""
        steps = "1 step" if total == 1 else f"{total} steps"
        self._print(f"[{self._ended + 1}/{self._stages}] {stage_id}: {steps}{going_on}")

    def advance(self, step: int, figures: dict[str, float]) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_S
        epoch = f"epoch {step / self._per_epoch:.1f}, " if self._per_epoch > 1 else ""
        self._print(f"  {self._id}: {epoch}step {step}/{self._total} · {in_short(figures)}")

    def note(self, text: str) -> None:
        self._print(f"note: {text}")

    def end(self, state: str, figures: dict[str, float]) -> None:
        self._ended += 1
        self._print(f"  {self._id}: " + " · ".join(filter(None, [state, in_short(figures)])))


def watching(console: Console, stages: int) -> Bars | Lines:
    """Bars if the console is a terminal, else lines; a context manager."""
    drawn = console.is_terminal and not console.is_dumb_terminal
    return Bars(console, stages) if drawn else Lines(console, stages)
