"""What a measurement found, as a record that is kept and as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from harness.bench.clock import Timing

ALONE, SHARED = "one process", "all processes"
"""Who makes the steps that are compared in `Result.sharing`."""
WHOLE = ("floor", "step", "end to end", "input")


@dataclass
class Result:
    """All timings in seconds: of a step, but "knn" and "product" of the whole evaluation."""

    recipe: str
    device: str
    processes: int
    batch: int
    precision: str
    whole: dict[str, Timing]
    parts: dict[str, Timing]
    evaluation: dict[str, Timing] = field(default_factory=dict)
    sharing: dict[str, Timing] = field(default_factory=dict)
    """Of several processes: what the first makes alone, and what all make."""
    peak_bytes: int = 0
    """Peak memory of the device, or of the process where the device is the CPU."""
    moved: dict[str, int] = field(default_factory=dict)
    """Bytes that the first process sent in a step, counted."""
    expected: dict[str, float] = field(default_factory=dict)
    """The same by the closed form."""
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Result:
        """The result of which `record` was made; KeyError or TypeError if it is none."""
        kept = {f.name: record[f.name] for f in fields(cls)}
        for group in ("whole", "parts", "evaluation", "sharing"):
            kept[group] = {name: Timing(**each) for name, each in record[group].items()}
        return cls(**kept)

    def ratio(self, what: str) -> float:
        """The floor's time over that of `what`: 1 is the floor's rate, 0.8 four fifths of it."""
        return self.whole["floor"].median / self.whole[what].median

    def images_per_s(self, what: str) -> float:
        """Images a second over all processes."""
        return self.batch / self.whole[what].median

    def record(self) -> dict[str, Any]:
        """For bench.json."""
        return {
            **asdict(self),
            "ratios": {what: round(self.ratio(what), 4) for what in WHOLE[1:]},
            "images_per_s": {what: round(self.images_per_s(what), 1) for what in WHOLE},
        }


def rows(result: Result) -> list[tuple[str, str, str, str]]:
    """(what, milliseconds, images a second, rate against the floor's) of each whole."""
    return [
        (
            what,
            f"{1e3 * result.whole[what].median:,.2f}",
            f"{result.images_per_s(what):,.0f}",
            f"{result.ratio(what):.2f}",
        )
        for what in WHOLE
    ]


def part_rows(result: Result) -> list[tuple[str, str, str]]:
    """(part, milliseconds, in percent of the floor) of each part."""
    floor = result.whole["floor"].median
    return [
        (name, f"{1e3 * timing.median:,.2f}", f"{100 * timing.median / floor:,.1f}")
        for name, timing in result.parts.items()
    ]


def evaluation_rows(result: Result) -> list[tuple[str, str, str]]:
    """(what, milliseconds, ratio to what it is compared with)."""
    found = result.evaluation
    said = []
    for what, base in (("knn", "product"), ("all rates", "one rate")):
        if what in found:
            ratio = found[what].median / found[base].median
            said.append((base, f"{1e3 * found[base].median:,.2f}", "1.00"))
            said.append((what, f"{1e3 * found[what].median:,.2f}", f"{ratio:.2f}"))
    return said


def sharing_rows(result: Result) -> list[tuple[str, str, str, str]]:
    """(who, milliseconds, images a second, rate against one process's) of the loop."""
    found = result.sharing
    return [
        (
            f"{result.processes} processes" if name == SHARED else ALONE,
            f"{1e3 * timing.median:,.2f}",
            f"{result.batch / timing.median:,.0f}",
            f"{found[ALONE].median / timing.median:.2f}",
        )
        for name, timing in found.items()
    ]


def sent(result: Result) -> list[str]:
    """What a process sends in a step: by the closed form, and what was counted in one step (how
    many images change places depends on the order; of gradients also the gaps between them)."""

    def told(bytes_by_collective: Mapping[str, float]) -> str:
        found = (f"{name} {n / 2**20:.3f} MiB" for name, n in bytes_by_collective.items())
        return ", ".join(found)

    if not result.expected:
        return []
    return [
        f"a process sends a step, by the closed form: {told(result.expected)}",
        f"counted in one step: {told(result.moved)}",
    ]


def stall_share(result: Result) -> tuple[float, float]:
    """What checkpoints cost, as shares of the steps' time: of the training's thread, which copies
    the state, and with all of the writing, were it done by that thread."""
    steps = result.facts["steps_per_checkpoint"] * result.whole["end to end"].median
    copied, written = (result.parts[p].median for p in ("checkpoint", "checkpoint on disk"))
    return copied / steps, written / steps


def stall(result: Result) -> str:
    """`stall_share` in a sentence."""
    copied, written = stall_share(result)
    every = result.facts["steps_per_checkpoint"]
    return (
        f"a checkpoint every {every:,} steps stalls them by {copied:.3%} of their time "
        f"({written:.3%} if it were written by the training's thread)"
    )
