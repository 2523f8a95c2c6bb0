"""A stage's row in words: how far it is, its newest figures, how long it may still take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cli import show
from harness.errors import StoreError, clause
from harness.launch.truth import Row
from harness.recipe.rules import KNOWN_SIZES
from harness.spec.registry import metrics, task_of, tasks
from harness.store.latest import Figures, Latest
from harness.store.ledger import look


@dataclass(frozen=True)
class Cells:
    """A row's texts, "" where there is nothing to say."""

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


class Reader:
    """Makes cells; reads on in each journal from where it was."""

    def __init__(self) -> None:
        self._latest: dict[Path, Latest] = {}
        self._recipes: dict[Path, Mapping[str, Any]] = {}

    def cells(self, row: Row) -> Cells:
        """The row's cells; what cannot be read is left out."""
        kind = str((row.entry.described or {}).get("kind", ""))
        figures, total, epochs = self._figures(row, kind), None, None
        if row.state in ("running", "suspended", "silent", "ending", "interrupted", "failed"):
            total, epochs = totals(self._recipe(row), kind, figures)
        step = f"{figures.step}" if figures.step else ""
        if kind in tasks() and tasks()[kind].progress is None:
            step = ""  # its step is its parent's
        elif total and step:
            step = f"{step}/{total}"
        epoch = f"{figures.epoch:.3g}/{epochs}" if epochs and step else ""
        value = {name: each for name, each in figures.values.items() if name in metrics()}
        named = metrics()
        loss = next((value[name] for name in value if named[name].unit == "nats"), None)
        reported = [name for name in task_of() if name in value and named[name].short]
        accuracy = named[reported[-1]].short.format(value[reported[-1]]) if reported else ""
        running = row.state == "running"
        speed = next((value[name] for name in value if named[name].unit == "images/s"), None)
        speed = speed if running else None
        left = _left(figures, total) if running else None
        return Cells(
            id=row.id,
            state=row.state,
            node=row.node,
            step=step,
            epoch=epoch,
            loss="" if loss is None else f"{loss:.3f}",
            accuracy=accuracy,
            speed="" if speed is None else f"{speed:,.0f}",
            left="" if left is None else show.duration(left),
            why=short(row),
        )

    def _figures(self, row: Row, kind: str) -> Figures:
        result = row.entry.result
        if result is not None:
            values = {k: v for k, v in result.get("values", {}).items() if _number(v)}
            step = result.get("step", 0)
            return Figures(step if isinstance(step, int) else 0, values=values)
        path = row.entry.folder.path
        watched = tasks()[kind].watched if kind in tasks() else ()
        latest = self._latest.setdefault(path, Latest(row.entry.folder, watched))
        try:
            return latest.look()
        except StoreError:
            return Figures()

    def _recipe(self, row: Row) -> Mapping[str, Any]:
        path = row.entry.folder.path
        if path not in self._recipes:
            described = row.entry.described or look(row.entry.folder).described or {}
            recipe = described.get("recipe")
            self._recipes[path] = recipe if isinstance(recipe, dict) else {}
        return self._recipes[path]


def short(row: Row) -> str:
    """Why the stage is in its state, in a line: of an error's text the first clause."""
    if row.state in ("failed", "damaged", "unreadable"):
        return clause(row.why)
    return row.why.splitlines()[0] if row.why else ""


def totals(recipe: Mapping[str, Any], kind: str, figures: Figures) -> tuple[int | None, int | None]:
    """(steps, epochs) of the whole stage, None where they are not known."""
    trains = tasks()[kind].progress if kind in tasks() else None
    section = recipe.get(trains) if trains else None
    if not isinstance(section, dict):
        return None, None
    epochs, data = section.get("epochs"), recipe.get("data")
    if not isinstance(epochs, int):
        return None, None
    each = round(figures.step / figures.epoch) if figures.epoch else 0
    if tasks()[kind].parent is None and isinstance(data, dict):
        images = data.get("images") or KNOWN_SIZES.get(str(data.get("name")))
        batch = section.get("batch")
        if images and isinstance(batch, int) and batch:
            each = images // batch
    steps = section.get("steps")
    total = min(epochs * each, steps) if isinstance(steps, int) else epochs * each
    return total or None, epochs


def _left(figures: Figures, total: int | None) -> float | None:
    """Seconds that the stage may still take, by its speed lately."""
    if not total or not figures.rate:
        return None
    return max(0.0, (total - figures.step) / figures.rate)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
