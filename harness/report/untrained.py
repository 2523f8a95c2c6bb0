"""Results that are not above the untrained network's, in sentences.

Only means are compared, of the same seeds and by the same protocol: a mean that is not above is
said, and one that is above proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import fmean

from harness.recipe.ablation import Metric
from harness.recipe.claims import CONTROL
from harness.report.collect import Results
from harness.report.measures import measure
from harness.report.results_table import measured
from harness.report.tables import further_columns


def not_above(metric: Metric, pairs: Iterable[tuple[float, float]]) -> str:
    """ "not above the untrained network (34.8 against 42.5 %)"; "" if it is above, without pairs,
    and for a metric of which less is better.

    Args:
        pairs: (ours, the untrained network's), one for each seed.
    """
    found, declared = list(pairs), measure(metric)
    if not found or declared.better != "higher":
        return ""
    ours, theirs = (fmean(values) for values in zip(*found, strict=True))
    if ours > theirs:
        return ""
    digits = next((n for n in (1, 2, 3) if f"{ours:.{n}f}" != f"{theirs:.{n}f}"), 1)
    pair = f"{ours:.{digits}f} against {theirs:.{digits}f} {declared.unit}"
    return f"not above the untrained network ({pair})"


def lines(results: Results) -> list[str]:
    """A sentence for each of the table's cells and metrics that is not above the untrained
    network."""
    return list(_lines(results))


def _lines(results: Results) -> Iterator[str]:
    if results.cell(CONTROL) is None:
        return
    for cell in results.cells:
        for metric, under in [
            *((each, "") for each in measured(results)),
            *further_columns(results),
        ]:
            said = not_above(metric, results.beside_untrained(cell, metric, under))
            if said:
                what = f"{under}: {measure(metric).label}" if under else measure(metric).label
                yield f"{cell.label}: {what} is {said}."
