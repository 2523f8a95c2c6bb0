"""Results that are not above the untrained network's, in sentences.

Only means are compared, of the same seeds and by the same protocol: a mean that is not above is
said, and one that is above proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from harness.recipe.ablation import Metric
from harness.recipe.claims import Fails
from harness.report.collect import Results
from harness.report.measures import measure
from harness.report.results_table import measured
from harness.report.tables import further_columns


def not_above(pairs: Mapping[Metric, Sequence[tuple[float, float]]]) -> str:
    """ "not above the untrained network (kNN top-1 34.8 against 42.5 %)", with every metric of
    which `against` says something; "" if there is none."""
    said = [
        f"{measure(metric).label} {words}"
        for metric, each in pairs.items()
        if (words := against(metric, each))
    ]
    return f"not above the untrained network ({', '.join(said)})" if said else ""


def against(metric: Metric, pairs: Iterable[tuple[float, float]]) -> str:
    """ "34.8 against 42.5 %", of means; "" if ours is above, without pairs, and for a metric of
    which less is better.

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
    return f"{ours:.{digits}f} against {theirs:.{digits}f} {declared.unit}"


def cells_not_above(results: Results, *, unclaimed: bool = False) -> list[str]:
    """For each cell of the table that is not above the untrained network: "“0”: kNN top-1 34.8
    against 42.5 %", with every such metric.

    Args:
        unclaimed: leave out the cells of which a claim says that they fail.
    """
    claims = results.ablation.claims if unclaimed and results.ablation is not None else ()
    expected = {claim.cell for claim in claims if isinstance(claim, Fails)}
    columns = [*((each, "") for each in measured(results)), *further_columns(results)]
    found = []
    for cell in results.cells:
        if cell.id in expected:
            continue
        said = [
            f"{under}: {measure(metric).label} {words}"
            if under
            else f"{measure(metric).label} {words}"
            for metric, under in columns
            if (words := against(metric, results.beside_untrained(cell, metric, under)))
        ]
        if said:
            found.append(f"“{cell.label}”: {', '.join(said)}")
    return found
