"""Cost of a table so far: GPU-hours and CPU-hours of every stage with a result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.report.runs import Run

CPU = "cpu"


@dataclass(frozen=True)
class Cost:
    """Hours of one kind of device: seconds of each stage times its processes."""

    device: str
    """cpu, a GPU's name, or "" if a result has no device."""
    hours: float

    @property
    def words(self) -> str:
        """E.g. "12.5 GPU-hours on NVIDIA H100"."""
        if self.device == CPU:
            return f"{_figure(self.hours)} CPU-hours"
        unit, where = ("GPU-hours", self.device) if self.device else ("hours", "an unnamed device")
        return f"{_figure(self.hours)} {unit} on {where}"


def costs(runs: Iterable[Run]) -> list[Cost]:
    """Cost of all stages with a result, each counted once, by device; the largest first."""
    stages = {stage.id: stage for run in runs for stage in run.stages.values()}
    hours: dict[str, float] = {}
    for stage in stages.values():
        if stage.seconds:
            spent = stage.seconds * stage.processes / 3600
            hours[stage.device] = hours.get(stage.device, 0.0) + spent
    found = [Cost(device, round(spent, 6)) for device, spent in hours.items()]
    return sorted(found, key=lambda cost: (-cost.hours, cost.device))


def _figure(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.0f}" if hours >= 100 else f"{hours:.1f}"
    return f"{hours:.2g}" if hours >= 1e-4 else f"{hours:.6f}".rstrip("0").rstrip(".")
