"""What a person sees while stages run: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_S = 15.0
"""Seconds between two plain lines of one stage."""


def _figures(figures: dict[str, float]) -> str:
    """The newest values in a few words."""
    shown = [
        ("train/loss", "loss {:.3f}"),
        ("linear/loss", "loss {:.3f}"),
        ("knn/top1", "kNN {:.1f} %"),
        ("linear/top1", "linear {:.1f} %"),
        ("train/images_per_s", "{:,.0f} images/s"),
    ]
    return " · ".join(text.format(figures[name]) for name, text in shown if name in figures)


class Bars:
    """A bar for the running stage, and a line for each that has ended."""

    def __init__(self, console: Console, stages: int) -> None:
        self._console = console
        self._ended, self._stages = 0, stages
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[where]}"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", where="", figures="", total=None, visible=False)
        self._id, self._total, self._per_epoch, self._began = "", 0, 1, 0.0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, stage_id: str, *, total: int, done: int, steps_per_epoch: int) -> None:
        self._id, self._total, self._per_epoch = stage_id, total, steps_per_epoch
        self._began = time.monotonic()
        title = f"[dim]{self._ended + 1}/{self._stages}[/] {escape(stage_id)}"
        self._progress.reset(
            self._task, description=title, where="", figures="", total=total, visible=True
        )
        self._progress.update(self._task, completed=done)

    def advance(self, step: int, figures: dict[str, float]) -> None:
        where = f"step {step}/{self._total}"
        if self._per_epoch > 1:
            where = f"epoch {step / self._per_epoch:.1f}/{self._total // self._per_epoch} {where}"
        self._progress.update(self._task, completed=step, where=where, figures=_figures(figures))

    def note(self, text: str) -> None:
        self._console.print(f"[yellow]note:[/] {escape(text)}", highlight=False)

    def end(self, state: str, figures: dict[str, float]) -> None:
        self._ended += 1
        sign = {"finished": "[green]✓[/]", "interrupted": "[yellow]▸[/]"}.get(state, "[red]✗[/]")
        took = time.monotonic() - self._began
        said = " · ".join(filter(None, [state if state != "finished" else "", _figures(figures)]))
        self._progress.update(self._task, visible=False)
        name = escape(self._id)
        self._console.print(f"{sign} {name} [dim]{took:.1f} s[/] {said}", highlight=False)


class Lines:
    """A line now and then, for logs and pipes."""

    def __init__(self, console: Console, stages: int) -> None:
        self._console = console
        self._ended, self._stages = 0, stages
        self._id, self._total, self._per_epoch, self._next = "", 0, 1, 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None: ...

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def begin(self, stage_id: str, *, total: int, done: int, steps_per_epoch: int) -> None:
        self._id, self._total, self._per_epoch = stage_id, total, steps_per_epoch
        self._next = time.monotonic() + EVERY_S
        going_on = f", going on from {done}" if done else ""
        steps = "1 step" if total == 1 else f"{total} steps"
        self._print(f"[{self._ended + 1}/{self._stages}] {stage_id}: {steps}{going_on}")

    def advance(self, step: int, figures: dict[str, float]) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_S
        epoch = f"epoch {step / self._per_epoch:.1f}, " if self._per_epoch > 1 else ""
        self._print(f"  {self._id}: {epoch}step {step}/{self._total} · {_figures(figures)}")

    def note(self, text: str) -> None:
        self._print(f"note: {text}")

    def end(self, state: str, figures: dict[str, float]) -> None:
        self._ended += 1
        self._print(f"  {self._id}: " + " · ".join(filter(None, [state, _figures(figures)])))


def watching(console: Console, stages: int) -> Bars | Lines:
    """Bars if the console is a terminal, else lines; use it as a context manager."""
    return Bars(console, stages) if console.is_terminal else Lines(console, stages)
