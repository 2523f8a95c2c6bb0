"""A stage's row as text: progress, newest values, time left."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.app import overview
from harness.cli import show
from harness.errors import clause
from harness.launch.progress import rate
from harness.launch.status import Row
from harness.spec.declarations import Metric
from harness.spec.registry import alarms, metrics, task_of, tasks


@dataclass(frozen=True)
class Cells:
    """A row's texts; "" if there is nothing to show."""

    id: str
    state: str
    node: str
    step: str
    epoch: str
    loss: str
    accuracy: str
    speed: str
    left: str
    why: str
    measured: str = ""
    """How the accuracy was measured: the protocol, given weights."""
    alarm: str = ""
    """What its newest values warn of."""


class CellReader:
    """Makes cells; continues each journal from its last position."""

    def __init__(self) -> None:
        self._reader = overview.ProgressReader()

    def cells(self, row: Row) -> Cells:
        """The row's cells; what cannot be read is left out."""
        kind = str((row.entry.described or {}).get("kind", ""))
        reached = self._reader.read(row)
        step = f"{reached.step}" if reached.step else ""
        if kind in tasks() and tasks()[kind].progress is None:
            step = ""  # the parent's step, not its own
        elif reached.steps and step:
            step = f"{step}/{reached.steps}"
        epoch = f"{_tenths(reached.epoch)}/{reached.epochs}" if reached.epochs and step else ""
        value = {name: each for name, each in reached.values.items() if name in metrics()}
        named = metrics()
        loss = next((value[name] for name in value if name.endswith("/loss")), None)
        reported = [name for name in task_of() if name in value]
        reported = [name for name in reported if named[name].short] or reported[:1]
        accuracy = with_name(named[reported[-1]], value[reported[-1]]) if reported else ""
        speed = next((value[name] for name in value if named[name].unit == "images/s"), None)
        speed = speed if row.state == "running" else None
        return Cells(
            id=row.id,
            state=row.state,
            node=row.node,
            step=step,
            epoch=epoch,
            loss="" if loss is None else f"{loss:.3f}",
            accuracy=accuracy,
            speed="" if speed is None else rate(speed),
            left="" if reached.left_s is None else show.duration(reached.left_s),
            why=short(row),
            measured=self._reader.measured(row, reported[-1]) if reported else "",
            alarm=", ".join(alarms(value)),
        )


def _tenths(epoch: float) -> str:
    """The epoch with a decimal, cut off and not rounded up; none if it is whole."""
    return f"{math.floor(10 * epoch + 1e-6) / 10:.1f}".removesuffix(".0")


def with_name(metric: Metric, value: float) -> str:
    """A reported value as a progress line shows it, e.g. "kNN 49.3 %"."""
    return metric.short.format(value) if metric.short else f"{metric.label} {value:.4g}".strip()


def short(row: Row) -> str:
    """Why the stage is in its state, in one line: for an error, its first clause."""
    if row.state in ("failed", "damaged", "unreadable"):
        return clause(row.why)
    return row.why.splitlines()[0] if row.why else ""
