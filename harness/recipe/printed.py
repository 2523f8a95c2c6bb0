"""The papers' numbers, all in `ablations/printed.yaml`, and how a table refers to them.

A table names its block (`numbers: momentum`), a cell its number (`printed: momentum.m0.99`). So
each number and its source are written once, even if several tables show it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from harness.errors import RecipeError
from harness.recipe.ablation import Confidence, Metric, Number
from harness.recipe.field_errors import Complaint, dotted
from harness.recipe.section import Section
from harness.recipe.suggest import did_you_mean, printable
from harness.recipe.tree import Keys, Node, placed
from harness.recipe.validate import check
from harness.recipe.yaml_source import display, read

FILE = "printed.yaml"
"""The file, in the same folder as the tables that refer to it."""


class Numbers(Section):
    """A block of printed numbers: one quantity, one setting, one source."""

    paper: str
    place: str
    """The place of the numbers in the paper."""
    setting: str
    """The setting in which the paper measured them."""
    source: str
    """Where they were read."""
    confidence: Confidence
    uncertainty: float = 0.0
    """How far a value may be off because it was read off a drawn curve; 0: printed as digits."""
    metric: (
        Metric
        | Literal["pretext/top1", "train/loss", "finetune/top5", "parameters"]
        | Literal["keypoints/ap", "keypoints/ap50", "keypoints/ap75"]
        | Literal["densepose/ap", "densepose/ap50", "densepose/ap75"]
        | Literal["lvis/ap", "lvis/ap50", "lvis/ap75", "cityscapes/ap", "cityscapes/ap50"]
    )
    units: str
    values: dict[str, Number]
    """Key -> number; "fail" and null (none printed) as the paper has them."""
    runs: dict[str, tuple[float, ...]] = {}
    """Key -> the single runs behind a printed mean."""

    def about(self) -> dict[str, Any]:
        """The fields that a table takes from its block."""
        return {
            "paper": f"{self.paper}, {self.place}",
            "setting": self.setting,
            "source": self.source,
            "confidence": self.confidence,
            "uncertainty": self.uncertainty,
            "metric": self.metric,
        }


def blocks(file: Path) -> dict[str, Numbers]:
    """All blocks of the file, in its order. Raises RecipeError with all mistakes of all blocks."""
    node = read(file)
    found, wrong = {}, []
    for name, block in node.children():
        try:
            found[name] = check(Numbers, block)
        except RecipeError as error:
            wrong.append(str(error))
    if wrong:
        raise RecipeError("\n".join(wrong))
    return found


def resolve(table: Node, file: Path) -> Node:
    """The table with its printed numbers filled in. `file` is read only if the table refers to it.

    Raises:
        RecipeError: a block or number does not exist, or measures another quantity than the table;
            all such complaints together.
    """
    return _Resolver(table, file).resolved()


class _Resolver:
    def __init__(self, table: Node, file: Path) -> None:
        self.table = table
        self.file = file
        self.complaints: list[Complaint] = []
        self.found: dict[str, Numbers | None] = {}
        self.keys: dict[str, str] = {}
        """Cell -> the key of its own printed number, which it has in the columns' blocks too."""
        self.node: Node | None = None

    def resolved(self) -> Node:
        table = self._described()
        for field, fill in (
            ("cells", self._cell),
            ("columns", self._column),
            ("curves", self._curve),
        ):
            table = self._each(table, field, fill)
        if self.complaints:
            lines = sorted(dict.fromkeys(self.complaints), key=Complaint.order)
            raise RecipeError("\n".join(map(str, lines)))
        return table

    def _described(self) -> Node:
        """The table with the fields of its own block."""
        table, name = self.table, self.table.get("numbers")
        block = self._block(name, ("numbers",)) if name is not None else None
        if block is None or name is None:
            return table
        for field, value in block.about().items():
            own = table.get(field)
            if own is not None:
                self._complain(
                    own, (field,), f"remove it: {self.file.name} has it, in {name.value}"
                )
            table = table.with_(field, placed(value, name.place))
        return table

    def _each(self, table: Node, field: str, fill: Callable[[Node, Keys], Node]) -> Node:
        node = table.get(field)
        if node is None or not isinstance(node.value, list):
            return table
        filled = [
            fill(item, (field, n)) if isinstance(item.value, dict) else item
            for n, item in enumerate(node.value)
        ]
        return table.with_(field, Node(filled, node.place))

    def _cell(self, cell: Node, at: Keys) -> Node:
        name = cell.get("printed")
        if name is None or not isinstance(name.value, str) or "." not in name.value:
            return cell  # the table's own number, or a mistake that its validation reports
        at = (*at, "printed")
        block_name, _, key = name.value.partition(".")
        block = self._block(Node(block_name, name.place), at)
        if block is None:
            return cell
        if key not in block.values:
            meant = did_you_mean(key, block.values)
            self._complain(name, at, f"{self.file.name}: no {printable(name.value)}{meant}")
            return cell
        metric = self.found_metric()
        if metric is not None and block.metric != metric:
            self._complain(name, at, f"{block.metric}, but the table needs {metric}")
        if (known := cell.get("id")) is not None:
            self.keys[str(known.value)] = key
        cell = cell.with_("printed", Node(block.values[key], name.place))
        if key in block.runs:
            cell = cell.with_("printed_runs", placed(block.runs[key], name.place))
        return cell

    def _column(self, column: Node, at: Keys) -> Node:
        name = column.get("numbers")
        block = self._block(name, (*at, "numbers")) if name is not None else None
        if block is None or name is None:
            return column
        metric = column.get("metric")
        if metric is not None and metric.value != block.metric:
            self._complain(metric, (*at, "metric"), f"the numbers are of {block.metric}")
        column = column.with_("units", Node(block.units, name.place))
        values = self._rows(column, at, str(name.value), block)
        return column.with_("values", placed(values, name.place))

    def _rows(self, column: Node, at: Keys, name: str, block: Numbers) -> dict[str, Number]:
        """The column's numbers by cell."""
        rows = column.get("rows")
        if rows is None or not isinstance(rows.value, dict):
            theirs = block.values
            return theirs | {cell: theirs[key] for cell, key in self.keys.items() if key in theirs}
        found: dict[str, Number] = {}
        for cell, key in rows.children():
            if isinstance(key.value, str) and key.value in block.values:
                found[cell] = block.values[key.value]
            else:
                meant = did_you_mean(str(key.value), block.values)
                why = f"{self.file.name}: no {name}.{printable(str(key.value))}{meant}"
                self._complain(key, (*at, "rows", cell), why)
        return found

    def _curve(self, curve: Node, at: Keys) -> Node:
        name = curve.get("numbers")
        block = self._block(name, (*at, "numbers")) if name is not None else None
        if block is None or name is None:
            return curve
        metric = curve.get("metric")
        if metric is not None and metric.value != block.metric:
            self._complain(metric, (*at, "metric"), f"the numbers are of {block.metric}")
        points = []
        for key, value in block.values.items():
            if not key.isdecimal() or value == "fail":
                why = f"{name.value} is not a curve over epochs: it has {printable(key)}: {value}"
                self._complain(name, (*at, "numbers"), why)
                return curve
            if value is not None:
                points.append([int(key), value])
        return curve.with_("points", placed(points, name.place))

    def found_metric(self) -> str | None:
        """The metric of the table's own block; None if the table names no block."""
        name = self.table.get("numbers")
        block = self.found.get(str(name.value)) if name is not None else None
        return block.metric if block is not None else None

    def _block(self, name: Node, at: Keys) -> Numbers | None:
        """The block; None after adding a complaint."""
        if not isinstance(name.value, str):
            return None  # the table's own validation reports it
        if not self.file.is_file():
            self._complain(name, at, f"{display(self.file)} does not exist")
            return None
        if name.value not in self.found:
            if self.node is None:
                self.node = read(self.file)
            node = self.node.get(name.value)
            self.found[name.value] = check(Numbers, node) if node is not None else None
        block = self.found[name.value]
        if block is None and self.node is not None:
            near = did_you_mean(name.value, sorted(self.node.fields()))
            self._complain(name, at, f"{self.file.name}: no block {printable(name.value)}{near}")
        return block

    def _complain(self, node: Node, at: Keys, message: str) -> None:
        self.complaints.append(Complaint(node.place, dotted(at), message))
